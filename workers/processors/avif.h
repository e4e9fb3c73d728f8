/* SPDX-License-Identifier: MIT
 * AVIF with libheif and libaom, in one thread. */
#ifndef WORKERS_PROCESSORS_AVIF_H
#define WORKERS_PROCESSORS_AVIF_H

#include <stdbool.h>

#include "workers/processor.h"
#include "workers/processors/pixels.h"

/* Asks for the encoder once, in the nursery; whether there is one is then known. */
void avif_warm(void);
bool avif_is_available(void);

/* Encodes and appends to the output. 0, or -1 after processor_fail. */
int avif_write(struct processor_context *context, int output, const struct pixels *pixels, int quality);

#endif
