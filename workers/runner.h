/* SPDX-License-Identifier: MIT
 * The life of a runner: the child that the nursery forks for one document. */
#ifndef WORKERS_RUNNER_H
#define WORKERS_RUNNER_H

#include "workers/processor.h"
#include "workers/sandbox.h"

struct runner_request {
    const struct processor_row *row;
    const char *mime;
    const char *parameters;
    uint64_t input_bytes, parts_bytes;
    uint64_t pages, pixels;
    uint64_t memory_bytes, output_bytes, cpu_seconds;
    uint64_t mapped_bytes; /* sandbox_mapped_bytes of the nursery */
    struct processor_guards guards;
    uint64_t range_pages, ranges;
    bool joins;
    int input;  /* -1: none */
    int parts;  /* -1: none */
    int result;
    int outputs[MESSAGE_MAX_OUTPUTS]; /* -1: not wanted */
    struct progress_page *progress;
    pid_t nursery;
};

/* Places the descriptors, enters the sandbox, runs the processor, writes the result. Called in the child
 * right after fork, with one thread and no signal blocked. Never returns. */
_Noreturn void runner_run(const struct runner_request *request, const struct sandbox *sandbox);

#endif
