/* SPDX-License-Identifier: MIT
 * Plain pixels between decoders, measures and encoders. No metadata can come along. */
#ifndef WORKERS_PROCESSORS_PIXELS_H
#define WORKERS_PROCESSORS_PIXELS_H

#include <stdbool.h>
#include <stddef.h>

struct pixels {
    int width, height;
    bool alpha; /* RGBA, else RGB; 8 bits, sRGB, no padding between rows */
    const unsigned char *bytes;
};

struct encoded {
    unsigned char *bytes; /* free() */
    size_t size;
};

static inline size_t pixels_row_bytes(const struct pixels *pixels) {
    return (size_t)pixels->width * (pixels->alpha ? 4 : 3);
}

#endif
