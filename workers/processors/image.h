/* SPDX-License-Identifier: MIT
 * Pictures of any allowed type into upright sRGB pixels, with libvips. A loader is chosen by the detected
 * type from a short list and by nothing in the bytes. What decoding will cost is computed from the header and
 * refused before a pixel is decoded. */
#ifndef WORKERS_PROCESSORS_IMAGE_H
#define WORKERS_PROCESSORS_IMAGE_H

#include <stdbool.h>
#include <vips/vips.h>

#include "workers/processor.h"
#include "workers/processors/pixels.h"

struct image_header {
    int width, height; /* of one frame, upright */
    int frames;        /* 1 unless animation was asked for and there is one */
    bool turned;       /* as stored, width and height are the other way round */
    bool profiled;     /* there is a colour profile */
    bool inked;        /* CMYK */
    int pages;         /* of a TIFF; else 1 */
    int page;          /* of a TIFF, from 0: the one that is meant */
};

/* In the nursery, by any number of processors. 0 or -1. */
int image_warm(void);

/* Type, size and cost of the context's input; notes its width and height as facts. With `animation`, the
 * frames of a GIF or WebP are counted, and count together against the limits. 0, or -1 after processor_fail.
 */
int image_check(struct processor_context *context, bool animation, struct image_header *header);

/* The same for one page of a TIFF, without facts. */
int image_check_page(struct processor_context *context, int page, struct image_header *header);

/* Decodes what image_check has accepted to fit width x height: upright, 8 bits, sRGB, 3 bands or 4 with
 * alpha, never enlarged. All frames (as many as the header says) stand below each other. NULL after
 * processor_fail; the caller unrefs. */
VipsImage *image_decode(struct processor_context *context, const struct image_header *header, int width,
                        int height);

/* Takes the image and computes it into memory: what it was made from is not read again. NULL after
 * processor_fail. */
VipsImage *image_compute(struct processor_context *context, VipsImage *image);
/* As a copy in memory, fitting a square of that many pixels, never enlarged. NULL after processor_fail. */
VipsImage *image_shrink(struct processor_context *context, VipsImage *image, int longest);
/* Takes the image; without alpha afterwards, over the background. NULL after processor_fail. */
VipsImage *image_flatten(struct processor_context *context, VipsImage *image,
                         const unsigned char background[3]);

/* Computes the pixels; g_free((void *)pixels->bytes). 0, or -1 after processor_fail. */
int image_pixels(struct processor_context *context, VipsImage *image, struct pixels *pixels);

/* Fails with what libvips said last, sorted into codes; returns -1. */
int image_fail(struct processor_context *context);

#endif
