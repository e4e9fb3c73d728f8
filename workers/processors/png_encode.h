/* SPDX-License-Identifier: MIT
 * PNG with libpng itself: no interlacing, no chunk but IHDR, pHYs, IDAT, IEND and padding of ours. */
#ifndef WORKERS_PROCESSORS_PNG_ENCODE_H
#define WORKERS_PROCESSORS_PNG_ENCODE_H

#include "workers/processor.h"
#include "workers/processors/pixels.h"

/* dpi 0: no pHYs chunk. 0, or -1 after processor_fail. */
int png_encode(struct processor_context *context, const struct pixels *pixels, int dpi,
               struct encoded *encoded);
/* Lengthens a PNG of ours by at least `bytes` (by 12 if fewer) with one private, ancillary, safe-to-copy
 * chunk "fmPd" of zeros before IEND; returns by how many, or -1 when there is no memory. */
long png_pad(struct encoded *encoded, size_t bytes);
/* Reads a PNG of ours back: `pixels` says what is expected, `bytes` has room for it. 0, or -1 after
 * processor_fail. */
int png_decode(struct processor_context *context, const struct encoded *encoded, const struct pixels *pixels,
               unsigned char *bytes);

#endif
