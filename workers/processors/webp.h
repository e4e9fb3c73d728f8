/* SPDX-License-Identifier: MIT
 * WebP encoding with libwebp itself: one thread, and no way for a metadata chunk to get in. */
#ifndef WORKERS_PROCESSORS_WEBP_H
#define WORKERS_PROCESSORS_WEBP_H

#include "workers/processor.h"
#include "workers/processors/pixels.h"

/* Encodes and appends to the output. 0, or -1 after processor_fail. */
int webp_write(struct processor_context *context, int output, const struct pixels *pixels);

#endif
