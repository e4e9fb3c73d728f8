/* SPDX-License-Identifier: MIT
 * One column per pixel, from the lowest to the highest sample that falls into it. */
#include "workers/processors/waveform.h"

#include <stdlib.h>
#include <string.h>

#include "workers/processors/png_encode.h"

#define PIXEL_BYTES 4
#define FULL_SCALE 32768

static const unsigned char curve[PIXEL_BYTES] = {0x2f, 0x6f, 0xb3, 0xff};

/* Rows from 0 (top, +32767) to height - 1 (bottom, -32768). */
static int row_of(int value, int height) {
    return (int)(((int64_t)(FULL_SCALE - 1 - value) * height) / (2 * (int64_t)FULL_SCALE));
}

/* Columns get whole pixels of the waveform, every one at least one. */
static struct waveform_point column_of(const struct waveform_points *points, int column, int width) {
    size_t pixels = points->count / (size_t)points->channels;
    size_t first = pixels * (size_t)column / (size_t)width;
    size_t end = pixels * ((size_t)column + 1) / (size_t)width;
    struct waveform_point widest;

    end = end > first ? end : first + 1;
    first *= (size_t)points->channels;
    end *= (size_t)points->channels;
    widest = points->at[first];
    for (size_t i = first + 1; i < end; i++) {
        widest.low = points->at[i].low < widest.low ? points->at[i].low : widest.low;
        widest.high = points->at[i].high > widest.high ? points->at[i].high : widest.high;
    }
    return widest;
}

static void draw_columns(unsigned char *pixels, const struct waveform_points *points,
                         struct waveform_size size) {
    for (int x = 0; x < size.width && points->count > 0; x++) {
        struct waveform_point point = column_of(points, x, size.width);
        int bottom = row_of(point.low, size.height);
        for (int y = row_of(point.high, size.height); y <= bottom; y++)
            memcpy(pixels + ((size_t)y * (size_t)size.width + (size_t)x) * PIXEL_BYTES, curve, PIXEL_BYTES);
    }
}

int waveform_draw(struct processor_context *context, int output, const struct waveform_points *points,
                  struct waveform_size size) {
    unsigned char *bytes = calloc((size_t)size.width * (size_t)size.height, PIXEL_BYTES);
    const struct pixels pixels = {.width = size.width, .height = size.height, .alpha = true, .bytes = bytes};
    struct encoded png = {0};
    int status;

    if (bytes == NULL)
        return processor_fail(context, "memory_limit", "no memory left");
    draw_columns(bytes, points, size);
    status = png_encode(context, &pixels, 0, &png);
    if (status == 0)
        status = processor_write(context, output, png.bytes, png.size);
    free(png.bytes);
    free(bytes);
    return status;
}
