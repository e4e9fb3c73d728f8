/* SPDX-License-Identifier: MIT
 * Jobs that a service outside does run in no runner: `compute_submit` and `compute_poll` are network
 * tasks (workers/remote_compute.c), and `compute_deadline` runs out where it waits. A runner that is given one all
 * the same refuses it. */
#include "workers/processor.h"

static int run(struct processor_context *context) {
    return processor_fail(context, "unsupported_input", "this is no work for a runner");
}

const struct processor processor_compute_submit = {.name = "compute_submit", .run = run};
const struct processor processor_compute_poll = {.name = "compute_poll", .run = run};
const struct processor processor_compute_deadline = {.name = "compute_deadline", .run = run};
