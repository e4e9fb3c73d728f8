/* SPDX-License-Identifier: MIT
 * Spawning the first nursery with an explicit environment and a socket for each of them, and speaking nursery_wire.h
 * with all. */
#include "workers/nursery_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/process.h"
#include "lib/text.h"
#include "workers/nursery.h"
#include "workers/nursery_wire.h"

#define START_PATIENCE_MS 60000
#define END_PATIENCE_MS 5000
#define CANCEL_PATIENCE_MS 1000
#define PACKETS_PER_TURN 32
#define MAX_PARAMETERS (64u * 1024u)
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* To one nursery. The first starts the others when something is sent to them. */
struct line {
    struct nursery_client *client;
    struct loop_watch *watch;
    int socket;
    bool used, ready;
    char engines[MESSAGE_ENGINES_SIZE];
};

struct nursery_client {
    struct loop *loop;
    struct line lines[NURSERY_COUNT];
    struct nursery_events events;
    void *context;
    int pidfd;
    pid_t pid;
    bool gone, complete;
    char layers[SANDBOX_LAYERS_SIZE];
    char engines[MESSAGE_ENGINES_SIZE]; /* of all lines */
    struct wire_packet packet;
};

/* Read by engines at load time, so they must be there before exec. One thread and one heap per process; no
 * code made at run time; no loader that libvips itself does not trust; no home to keep caches in; every symbol
 * looked up once, in the nursery, and not anew in each runner. */
static const char *const engine_environment[] = {
    "OMP_THREAD_LIMIT=1", "MALLOC_ARENA_MAX=2",     "VIPS_CONCURRENCY=1", "VIPS_NOVECTOR=1",
    "ORC_CODE=emulate",   "VIPS_BLOCK_UNTRUSTED=1", "HOME=/nonexistent",  "XDG_CACHE_HOME=/nonexistent",
    "LC_ALL=C.UTF-8",     "TZ=UTC",                 "LD_BIND_NOW=1",
};

/* Set by test runs only. */
static const char *const passed_on[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"};

/* --- environment ---------------------------------------------------------------------------------------- */

struct environment {
    char **entries; /* NULL-terminated, all owned */
    size_t count;
};

static void environment_add(struct environment *environment, char *entry) {
    environment->entries = memory_resize_array(environment->entries, environment->count + 2, sizeof(char *));
    environment->entries[environment->count++] = entry;
    environment->entries[environment->count] = NULL;
}

static void environment_clear(struct environment *environment) {
    for (size_t i = 0; i < environment->count; i++)
        free(environment->entries[i]);
    free(environment->entries);
}

static void environment_fill(struct environment *environment, const struct settings *settings) {
    char **own = settings_environment(settings, FOR_NURSERY);

    for (size_t i = 0; own[i] != NULL; i++)
        environment_add(environment, memory_copy_text(own[i]));
    options_free_environment(own);
    for (size_t i = 0; i < COUNT_OF(engine_environment); i++)
        environment_add(environment, memory_copy_text(engine_environment[i]));
    for (size_t i = 0; i < COUNT_OF(passed_on); i++) {
        const char *value = getenv(passed_on[i]);
        if (value != NULL)
            environment_add(environment, memory_format("%s=%s", passed_on[i], value));
    }
}

/* --- packets -------------------------------------------------------------------------------------------- */

static void join_engines(struct nursery_client *client) {
    size_t length = 0;

    client->engines[0] = '\0';
    for (size_t i = 0; i < NURSERY_COUNT; i++) {
        const char *engines = client->lines[i].engines;
        if (engines[0] == '\0')
            continue;
        (void)text_format(client->engines + length, sizeof client->engines - length, "%s%s", length == 0 ? "" : ";",
                          engines);
        length += strlen(client->engines + length);
    }
}

static void handle_ready(struct nursery_client *client, struct line *line) {
    const struct wire_packet *packet = &client->packet;

    (void)text_copy(client->layers, sizeof client->layers, wire_text(packet, "layers"));
    (void)text_copy(line->engines, sizeof line->engines, wire_text(packet, "engines"));
    join_engines(client);
    client->complete = wire_number(packet, "complete") != 0;
    if (line->ready && client->events.renewed != NULL)
        client->events.renewed(client->context, wire_number(packet, "generation"));
    line->ready = true;
}

static void handle_started(struct nursery_client *client, struct line *line) {
    if (client->events.started != NULL)
        client->events.started(client->context, wire_number(&client->packet, "id"),
                               (pid_t)wire_number(&client->packet, "pid"));
}

static void handle_ended(struct nursery_client *client, struct line *line) {
    const struct wire_packet *packet = &client->packet;
    const char *reason = wire_text(packet, "reason");
    struct nursery_end end = {
        .id = wire_number(packet, "id"),
        .detail = wire_text(packet, "detail"),
        .cpu_us = wire_number(packet, "cpu_us"),
        .wall_ms = wire_number(packet, "wall_ms"),
        .peak_rss_bytes = wire_number(packet, "peak_rss_bytes"),
        .pid = (pid_t)wire_number(packet, "pid"),
    };

    if (reason[0] != '\0') {
        end.reason = reason_find(reason);
        if (end.reason == NULL)
            end.reason = reason_find("no_runner");
    }
    client->events.ended(client->context, &end);
}

static const struct {
    const char *verb;
    void (*handle)(struct nursery_client *client, struct line *line);
} verbs[] = {
    {"ended", handle_ended},
    {"started", handle_started},
    {"ready", handle_ready},
};

/* 1: handled, 0: nothing there, -1: the nursery is gone or talks nonsense. */
static int receive_one(struct line *line) {
    struct nursery_client *client = line->client;

    switch (wire_receive(line->socket, &client->packet)) {
    case WIRE_NOTHING:
        return 0;
    case WIRE_CLOSED:
    case WIRE_BAD:
        return -1;
    case WIRE_PACKET:
        break;
    }
    wire_close(&client->packet); /* nothing is ever sent to us with descriptors */
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        if (strcmp(verbs[i].verb, wire_text(&client->packet, "verb")) == 0) {
            verbs[i].handle(client, line);
            return 1;
        }
    }
    return -1;
}

static void on_packet(void *context, uint32_t events) {
    struct line *line = context;
    struct nursery_client *client = line->client;

    for (int i = 0; i < PACKETS_PER_TURN && !client->gone; i++) {
        int status = receive_one(line);
        if (status == 0)
            return;
        if (status < 0) {
            client->gone = true;
            for (size_t other = 0; other < NURSERY_COUNT; other++)
                loop_watch_set(client->lines[other].watch, 0);
            client->events.gone(client->context);
            return;
        }
    }
}

/* --- life ----------------------------------------------------------------------------------------------- */

static int spawn(struct nursery_client *client, const struct settings *settings, const char *program,
                 const struct process_descriptor *descriptors) {
    struct environment environment = {0};
    char name[] = "filemill-nursery";
    char *arguments[] = {name, NULL};
    char *path = program != NULL ? memory_copy_text(program)
                                 : memory_format("%s/filemill-nursery", process_own_directory());
    struct process_plan plan = {.path = path, .arguments = arguments, .descriptors = descriptors,
                                .descriptor_count = NURSERY_COUNT};

    environment_fill(&environment, settings);
    plan.environment = environment.entries;
    client->pid = process_spawn(&plan, &client->pidfd);
    if (client->pid < 0)
        log_error_errno("program=%s state=not-started", path);
    environment_clear(&environment);
    free(path);
    return client->pid < 0 ? -1 : 0;
}

static int wait_until_ready(struct line *line) {
    int64_t deadline = clock_monotonic_ms() + START_PATIENCE_MS;

    line->used = true;
    while (!line->ready) {
        struct pollfd readable = {.fd = line->socket, .events = POLLIN};
        int64_t left = deadline - clock_monotonic_ms();
        if (left <= 0 || (poll(&readable, 1, (int)left) < 0 && errno != EINTR) || receive_one(line) < 0) {
            log_error("service=nursery state=not-ready");
            return -1;
        }
    }
    return 0;
}

static void close_if_open(int fd) {
    if (fd >= 0)
        close(fd);
}

static int open_lines(struct nursery_client *client, struct process_descriptor *descriptors) {
    int sockets[2];

    for (int i = 0; i < NURSERY_COUNT; i++) {
        client->lines[i] = (struct line){.client = client, .socket = -1};
        descriptors[i] = (struct process_descriptor){.from = -1, .to = NURSERY_SOCKET + i};
    }
    for (int i = 0; i < NURSERY_COUNT; i++) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
            log_error_errno("service=nursery state=no-socket");
            return -1;
        }
        client->lines[i].socket = sockets[0];
        descriptors[i].from = sockets[1];
    }
    return 0;
}

struct nursery_client *nursery_client_new(struct loop *loop, const struct settings *settings, const char *program,
                                          const struct nursery_events *events, void *context) {
    struct process_descriptor descriptors[NURSERY_COUNT];
    struct nursery_client *client = memory_new(sizeof *client);

    client->loop = loop;
    client->events = *events;
    client->context = context;
    client->pidfd = -1;
    int status = open_lines(client, descriptors);
    if (status == 0)
        status = spawn(client, settings, program, descriptors);
    for (int i = 0; i < NURSERY_COUNT; i++)
        close_if_open(descriptors[i].from);
    if (status != 0 || wait_until_ready(&client->lines[NURSERY_FIRST]) != 0) {
        nursery_client_free(client);
        return NULL;
    }
    for (int i = 0; i < NURSERY_COUNT; i++) {
        struct line *line = &client->lines[i];
        line->watch = loop_watch_new(loop, line->socket, LOOP_READ, on_packet, line);
    }
    return client;
}

int nursery_client_start_all(struct nursery_client *client) {
    const struct message_pair wake = {.key = "verb", .text = "wake"};

    for (int i = 0; i < NURSERY_COUNT; i++) {
        if (!client->lines[i].used && wire_send(client->lines[i].socket, &wake, 1, NULL, 0) != 0)
            return -1;
    }
    for (int i = 0; i < NURSERY_COUNT; i++) {
        if (wait_until_ready(&client->lines[i]) != 0)
            return -1;
    }
    return 0;
}

static void await_end(struct nursery_client *client) {
    struct pollfd ended = {.fd = client->pidfd, .events = POLLIN};
    int status;
    char text[64];

    if (client->pid <= 0)
        return;
    if (poll(&ended, 1, END_PATIENCE_MS) <= 0) {
        log_warn("service=nursery pid=%d state=not-ending", client->pid);
        return; /* it dies with this process */
    }
    if (waitpid(client->pid, &status, 0) == client->pid) {
        process_describe_status(text, sizeof text, status);
        log_debug("service=nursery pid=%d state=ended status=\"%s\"", client->pid, text);
    }
}

void nursery_client_free(struct nursery_client *client) {
    if (client == NULL)
        return;
    for (int i = 0; i < NURSERY_COUNT; i++) {
        loop_watch_free(client->lines[i].watch);
        close_if_open(client->lines[i].socket);
    }
    await_end(client);
    if (client->pidfd >= 0)
        close(client->pidfd);
    free(client);
}

const char *nursery_client_engines(const struct nursery_client *client) {
    return client->engines;
}

const char *nursery_client_layers(const struct nursery_client *client) {
    return client->layers;
}

bool nursery_client_sandbox_is_complete(const struct nursery_client *client) {
    return client->complete;
}

pid_t nursery_client_pid(const struct nursery_client *client) {
    return client->pid;
}

/* --- documents ------------------------------------------------------------------------------------------ */

static size_t gather_descriptors(const struct document *document, int *descriptors, uint64_t *wanted) {
    size_t count = 0;

    *wanted = 0;
    descriptors[count++] = document->result;
    descriptors[count++] = document->progress_fd;
    if (document->input >= 0)
        descriptors[count++] = document->input;
    if (document->parts >= 0)
        descriptors[count++] = document->parts;
    for (size_t i = 0; i < MESSAGE_MAX_OUTPUTS; i++) {
        if (document->outputs[i] < 0)
            continue;
        descriptors[count++] = document->outputs[i];
        *wanted |= UINT64_C(1) << i;
    }
    return count;
}

int nursery_client_run(struct nursery_client *client, uint64_t id, const struct document *document,
                       const struct nursery_limits *limits, const char *mime, const char *parameters) {
    struct line *line = &client->lines[document->row->nursery];
    int descriptors[WIRE_MAX_DESCRIPTORS];
    uint64_t wanted;
    size_t descriptor_count = gather_descriptors(document, descriptors, &wanted);
    const struct message_pair pairs[] = {
        {.key = "verb", .text = "run"},
        {.key = "id", .number = id},
        {.key = "type", .text = document->row->name},
        {.key = "mime", .text = mime},
        {.key = "parameters", .text = parameters},
        {.key = "input", .number = document->input >= 0},
        {.key = "input_bytes", .number = document->input_bytes},
        {.key = "outputs", .number = wanted},
        {.key = "wall_ms", .number = limits->wall_ms},
        {.key = "no_progress_ms", .number = limits->no_progress_ms},
        {.key = "cpu_seconds", .number = limits->cpu_seconds},
        {.key = "memory_bytes", .number = limits->memory_bytes},
        {.key = "output_bytes", .number = limits->output_bytes},
        {.key = "pages", .number = limits->pages},
        {.key = "pixels", .number = limits->pixels},
        {.key = "parts", .number = document->parts >= 0},
        {.key = "parts_bytes", .number = document->parts_bytes},
        {.key = "range_pages", .number = limits->range_pages},
        {.key = "ranges", .number = limits->ranges},
        {.key = "joins", .number = limits->joins},
    };

    if (strlen(parameters) > MAX_PARAMETERS) {
        errno = EMSGSIZE;
        return -1;
    }
    line->used = true;
    return wire_send(line->socket, pairs, COUNT_OF(pairs), descriptors, descriptor_count);
}

static void cancel(const struct line *line, uint64_t id) {
    const struct message_pair pairs[] = {{.key = "verb", .text = "cancel"}, {.key = "id", .number = id}};
    struct pollfd writable = {.fd = line->socket, .events = POLLOUT};

    /* Worth a short wait: a cancel that is lost leaves a runner until its deadline. */
    (void)poll(&writable, 1, CANCEL_PATIENCE_MS);
    if (wire_send(line->socket, pairs, COUNT_OF(pairs), NULL, 0) != 0)
        log_warn_errno("document=%llu state=not-cancelled", (unsigned long long)id);
}

/* Nurseries that don't know the document pass over it. */
void nursery_client_cancel(struct nursery_client *client, uint64_t id) {
    for (size_t i = 0; i < NURSERY_COUNT; i++) {
        if (client->lines[i].used)
            cancel(&client->lines[i], id);
    }
}
