/* SPDX-License-Identifier: MIT
 * What the child does between fork and _exit. Descriptors 0 to 2 stay closed, so that nothing an engine
 * prints can reach an output; the rest is moved down to fixed numbers and all others are closed with the
 * sandbox. After sandbox_enter the process belongs to the document. */
#include "workers/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <dlfcn.h>
#include <sanitizer/common_interface_defs.h>
#endif

#include "lib/log.h"
#include "workers/deaths.h"
#include "workers/result.h"

#define FIRST_DESCRIPTOR 3
#define SCRATCH_DESCRIPTOR 64 /* above every fixed number, below the default limit of open files */

static const unsigned char no_input[1];

/* Moves `count` descriptors to FIRST_DESCRIPTOR and up; -1 entries are skipped. Copies first go high, so that
 * none is overwritten before it was moved. Returns the first free number, or -1. */
static int place_descriptors(int *const *descriptors, size_t count) {
    int next = FIRST_DESCRIPTOR;

    for (size_t i = 0; i < count; i++) {
        if (*descriptors[i] < 0)
            continue;
        *descriptors[i] = fcntl(*descriptors[i], F_DUPFD, SCRATCH_DESCRIPTOR);
        if (*descriptors[i] < 0)
            return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (*descriptors[i] < 0)
            continue;
        *descriptors[i] = dup2(*descriptors[i], next++);
        if (*descriptors[i] < 0)
            return -1;
    }
    return next;
}

static int place_context(struct processor_context *context) {
    int *descriptors[1 + MESSAGE_MAX_OUTPUTS];

    descriptors[0] = &context->result;
    for (size_t i = 0; i < MESSAGE_MAX_OUTPUTS; i++)
        descriptors[1 + i] = &context->outputs[i];
    return place_descriptors(descriptors, 1 + MESSAGE_MAX_OUTPUTS);
}

/* Input and parts are sealed against change, so mapping it is safe and reading it is free. */
static int map_input(const struct runner_request *request, struct processor_context *context) {
    context->input = context->parts = no_input;
    if (request->input >= 0 && request->input_bytes > 0) {
        context->input_size = request->input_bytes;
        context->input = mmap(NULL, context->input_size, PROT_READ, MAP_PRIVATE, request->input, 0);
    }
    if (request->parts >= 0 && request->parts_bytes > 0) {
        context->parts_size = request->parts_bytes;
        context->parts = mmap(NULL, context->parts_size, PROT_READ, MAP_PRIVATE, request->parts, 0);
    }
    return context->input == MAP_FAILED || context->parts == MAP_FAILED ? -1 : 0;
}

#ifdef __SANITIZE_ADDRESS__
/* What the sanitizers find later can't open a file then: theirs takes the place of standard error. Each of
 * the two libraries has a reporter of its own. */
static void keep_reports(void) {
    const char *const libraries[] = {"libasan.so.8", "libubsan.so.1"};
    int fd = open(__sanitizer_get_report_path(), O_WRONLY | O_APPEND | O_CLOEXEC);

    if (fd < 0) /* no file is named: they go to standard error */
        return;
    (void)dup2(fd, STDERR_FILENO);
    close(fd);
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
        void *library = dlopen(libraries[i], RTLD_NOW | RTLD_NOLOAD);
        void (*set)(void *) = NULL;
        if (library != NULL)
            *(void **)&set = dlsym(library, "__sanitizer_set_report_fd");
        if (set != NULL)
            set((void *)(intptr_t)STDERR_FILENO);
    }
}
#endif

static void close_standard(void) {
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
#ifdef __SANITIZE_ADDRESS__
    keep_reports();
#else
    close(STDERR_FILENO);
#endif
}

static void enter(const struct runner_request *request, const struct sandbox *sandbox,
                  struct processor_context *context) {
    struct sandbox_limits limits = {.memory_bytes = request->memory_bytes,
                                    .mapped_bytes = request->mapped_bytes + request->input_bytes + request->parts_bytes,
                                    .cpu_seconds = request->cpu_seconds,
                                    .file_bytes = request->output_bytes,
                                    .parent = request->nursery};
    int keep_below;

    if (request->output_bytes != 0 && request->output_bytes < RESULT_MAX_BYTES)
        limits.file_bytes = RESULT_MAX_BYTES;
    (void)signal(SIGPIPE, SIG_DFL); /* the nursery's only other one */
    (void)prctl(PR_SET_NAME, "filemill-runner", 0, 0, 0);
    if (map_input(request, context) != 0 || (keep_below = place_context(context)) < 0) {
        log_warn_errno("state=refused");
        _exit(RUNNER_EXIT_SETUP);
    }
    close_standard();
    if (sandbox_enter(sandbox, request->row->profile, &limits, (unsigned)keep_below) != 0)
        _exit(RUNNER_EXIT_SETUP);
}

_Noreturn void runner_run(const struct runner_request *request, const struct sandbox *sandbox) {
    static struct processor_context context; /* zeroed, and not on the stack that an overflow would reach */
    const struct processor *processor = processor_of(request->row);

    context.row = request->row;
    context.mime = request->mime;
    context.parameters = request->parameters;
    context.pages = request->pages;
    context.pixels = request->pixels;
    context.memory_bytes = request->memory_bytes;
    context.output_bytes = request->output_bytes;
    context.guards = request->guards;
    context.range_pages = request->range_pages;
    context.ranges = request->ranges;
    context.joins = request->joins;
    context.progress = request->progress;
    context.result = request->result;
    memcpy(context.outputs, request->outputs, sizeof context.outputs);
    enter(request, sandbox, &context);

    if (processor->run(&context) != 0 && context.error == NULL)
        (void)processor_fail(&context, "engine_failed", "the engine gave no reason");
    /* Writing a result needs a few bytes of memory: a document that has eaten all of it cannot even do that. */
    _exit(result_write(context.result, &context) == 0 ? RUNNER_EXIT_RESULT : RUNNER_EXIT_MEMORY);
}
