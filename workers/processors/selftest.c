/* SPDX-License-Identifier: MIT
 * The sandbox's own examination, one attempt per document, chosen by a parameter: {"probe": name} tries what
 * must be refused and writes {"probe": …, "errno": …} unless the attempt ends the process; {"call": number}
 * makes one bare system call with zero arguments; {"act": name} misbehaves, so that each way to die can be
 * seen to be told apart. It does nothing that a hostile document could not do. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "workers/processor.h"
#include "workers/processors/selftest_probes.h"

#define CHUNK (1u << 20)
#define MAX_DESCRIPTORS 1024

/* --- misbehaviour ----------------------------------------------------------------------------------------- */

struct act {
    const char *name;
    int (*perform)(struct processor_context *context, json_int_t amount);
};

static int act_crash(struct processor_context *context, json_int_t amount) {
    char *volatile nowhere = (char *)1; /* UndefinedBehaviorSanitizer would answer for NULL */

    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): to crash is what it is for */
    *nowhere = 1;
    return 0;
}

static int act_abort(struct processor_context *context, json_int_t amount) {
    abort();
    return 0;
}

static volatile int recursion_depth;

static int recurse(int depth) {
    volatile char room[4096];

    room[0] = (char)depth;
    recursion_depth = depth;
    return depth == INT32_MAX ? room[0] : recurse(depth + 1) + room[0];
}

static int act_recurse(struct processor_context *context, json_int_t amount) {
    return recurse(0);
}

static int act_spin(struct processor_context *context, json_int_t amount) {
    volatile uint64_t turns = 0;

    for (;;)
        turns++;
    return 0;
}

static void sleep_ms(json_int_t ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static int act_sleep(struct processor_context *context, json_int_t amount) {
    sleep_ms(amount);
    return 0;
}

/* Steps of 50 ms that are reported, so that it is slow but alive. */
static int act_walk(struct processor_context *context, json_int_t amount) {
    for (json_int_t step = 0; step < amount; step++) {
        sleep_ms(50);
        processor_progress(context, (uint64_t)step + 1, (uint64_t)amount);
    }
    return 0;
}

static int act_allocate(struct processor_context *context, json_int_t amount) {
    static void **last; /* each chunk keeps the one before it */

    for (json_int_t taken = 0; taken < amount; taken += CHUNK) {
        void **memory = malloc(CHUNK);
        if (memory == NULL)
            return processor_fail(context, "memory_limit", "no memory left");
        memset(memory, 1, CHUNK);
        *memory = last;
        last = memory;
    }
    return 0;
}

static int act_write(struct processor_context *context, json_int_t amount) {
    static const char zeros[CHUNK];

    for (json_int_t left = amount; left > 0; left -= CHUNK) {
        if (processor_write(context, 0, zeros, left < CHUNK ? (size_t)left : CHUNK) != 0)
            return -1;
    }
    return 0;
}

static int act_exit(struct processor_context *context, json_int_t amount) {
    _exit((int)amount);
    return 0;
}

/* --- hostile results -------------------------------------------------------------------------------------- */

static void put_result(const struct processor_context *context, const void *bytes, size_t size) {
    if (pwrite(context->result, bytes, size, 0) != (ssize_t)size)
        _exit(1);
    _exit(0);
}

static int act_garbage_result(struct processor_context *context, json_int_t amount) {
    unsigned char bytes[512];
    uint32_t state = (uint32_t)amount * 2654435761u + 1;

    for (size_t i = 0; i < sizeof bytes; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (unsigned char)(state >> 24);
    }
    put_result(context, bytes, sizeof bytes);
    return 0;
}

/* A MessagePack map that announces 2^32 - 1 entries. */
static int act_huge_result(struct processor_context *context, json_int_t amount) {
    static const unsigned char bytes[] = {0xdf, 0xff, 0xff, 0xff, 0xff};

    put_result(context, bytes, sizeof bytes);
    return 0;
}

static int act_long_result(struct processor_context *context, json_int_t amount) {
    static const char zeros[CHUNK];

    put_result(context, zeros, sizeof zeros);
    return 0;
}

/* A code that only the nursery may give. */
static int act_forged_reason(struct processor_context *context, json_int_t amount) {
    return processor_fail(context, "cancelled", "forged");
}

static int act_forged_output(struct processor_context *context, json_int_t amount) {
    processor_fact(context, 7, "width", (uint64_t)amount);
    return 0;
}

static int act_forged_name(struct processor_context *context, json_int_t amount) {
    processor_fact(context, 0, "a\":1,\"b", (uint64_t)amount);
    return 0;
}

static const struct act acts[] = {
    {"crash", act_crash},
    {"abort", act_abort},
    {"recurse", act_recurse},
    {"spin", act_spin},
    {"sleep", act_sleep},
    {"walk", act_walk},
    {"allocate", act_allocate},
    {"write", act_write},
    {"exit", act_exit},
    {"garbage_result", act_garbage_result},
    {"huge_result", act_huge_result},
    {"long_result", act_long_result},
    {"forged_reason", act_forged_reason},
    {"forged_output", act_forged_output},
    {"forged_name", act_forged_name},
};

/* --- choosing --------------------------------------------------------------------------------------------- */

static int report(struct processor_context *context, const char *label, int error) {
    char text[128];
    int size = snprintf(text, sizeof text, "{\"probe\":\"%s\",\"errno\":%d}\n", label, error);

    if (context->outputs[0] < 0)
        return 0;
    return processor_write(context, 0, text, (size_t)size);
}

static int run_probe(struct processor_context *context, const char *name) {
    const struct selftest_probe *probe = selftest_probe_find(name);

    if (probe == NULL)
        return processor_fail(context, "bad_parameters", "no such probe");
    return report(context, probe->name, probe->attempt());
}

static int run_act(struct processor_context *context, const char *name, json_int_t amount) {
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        if (strcmp(acts[i].name, name) == 0)
            return acts[i].perform(context, amount);
    }
    return processor_fail(context, "bad_parameters", "no such act");
}

static int run_call(struct processor_context *context, json_int_t number) {
    long status = syscall((long)number, 0, 0, 0, 0, 0, 0);

    return report(context, "call", status == -1 ? errno : 0);
}

/* What a runner was left with: how many descriptors are open, and its environment. */
static int run_inventory(struct processor_context *context) {
    uint64_t descriptors = 0, variables = 0;

    for (int fd = 0; fd < MAX_DESCRIPTORS; fd++)
        descriptors += fcntl(fd, F_GETFD) >= 0;
    for (char **variable = environ; *variable != NULL; variable++) {
        variables++;
        if (processor_write(context, 0, *variable, strlen(*variable)) != 0 ||
            processor_write(context, 0, "\n", 1) != 0)
            return -1;
    }
    processor_fact(context, -1, "descriptors", descriptors);
    processor_fact(context, -1, "variables", variables);
    return 0;
}

static int warm(void) {
    /* Its seed comes from a device that a runner may not open. */
    json_object_seed(0);
    return 0;
}

static int run(struct processor_context *context) {
    json_t *parameters = json_loads(context->parameters, JSON_REJECT_DUPLICATES, NULL);
    const char *probe = json_string_value(json_object_get(parameters, "probe"));
    const char *act = json_string_value(json_object_get(parameters, "act"));
    const json_t *call = json_object_get(parameters, "call");

    if (probe != NULL)
        return run_probe(context, probe);
    if (act != NULL)
        return run_act(context, act, json_integer_value(json_object_get(parameters, "amount")));
    if (json_is_integer(call))
        return run_call(context, json_integer_value(call));
    if (json_is_true(json_object_get(parameters, "inventory")))
        return run_inventory(context);
    return processor_fail(context, "bad_parameters", "probe, act, call or inventory is needed");
}

const struct processor processor_selftest = {.name = "selftest", .warm = warm, .run = run};
const struct processor processor_selftest_data = {.name = "selftest_data", .run = run};
