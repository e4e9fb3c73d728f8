/* SPDX-License-Identifier: MIT
 * Baseline JPEG with libjpeg-turbo itself: one thread, an exact JFIF header, and no way for a metadata
 * segment to get in. The resolution stands in both places where readers look, as equal numbers: the 18-byte
 * JFIF APP0 (JFIF 1.02, density in dots per inch) and an EXIF IFD0 of XResolution, YResolution,
 * ResolutionUnit and YCbCrPositioning, nothing else. */
#ifndef WORKERS_PROCESSORS_JPEG_H
#define WORKERS_PROCESSORS_JPEG_H

#include "workers/processor.h"
#include "workers/processors/pixels.h"

#define JPEG_FULL_CHROMA_QUALITY 90 /* from here on 4:4:4, below 4:2:0 */

/* dpi 0: a JFIF header without density, and no EXIF. The pixels have no alpha. 0, or -1 after processor_fail.
 */
int jpeg_encode(struct processor_context *context, const struct pixels *pixels, int quality, int dpi,
                struct encoded *encoded);
/* Lengthens a JPEG of ours by at least `bytes` (by 4 if fewer) with COM segments of blanks after the APP
 * segments; returns by how many, or -1 when there is no memory. */
long jpeg_pad(struct encoded *encoded, size_t bytes);
/* The luma plane of a JPEG of ours, width * height bytes. 0, or -1 after processor_fail. */
int jpeg_luma(struct processor_context *context, const struct encoded *encoded, unsigned char *luma);

#endif
