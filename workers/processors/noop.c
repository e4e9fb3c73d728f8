/* SPDX-License-Identifier: MIT
 * Does nothing, in a real runner: what a document costs before anything is done with it. `ping` does not even
 * get that far: its profile says that the worker answers it. */
#include "workers/processor.h"

static int run(struct processor_context *context) {
    processor_progress(context, 1, 1);
    return 0;
}

const struct processor processor_noop = {.name = "noop", .run = run};
const struct processor processor_ping = {.name = "ping", .run = run};
