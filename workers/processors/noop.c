/* SPDX-License-Identifier: MIT
 * Does nothing, in a real runner: what a document costs before anything is done with it. */
#include "workers/processor.h"

static int run(struct processor_context *context) {
    processor_progress(context, 1, 1);
    return 0;
}

const struct processor processor_noop = {.name = "noop", .run = run};
