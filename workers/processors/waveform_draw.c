/* SPDX-License-Identifier: MIT
 * One column per pixel, from the lowest to the highest sample that falls into it. */
#include "workers/processors/waveform.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

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

static void draw_columns(unsigned char *pixels, const struct waveform_points *points, struct waveform_size size) {
    for (int x = 0; x < size.width && points->count > 0; x++) {
        struct waveform_point point = column_of(points, x, size.width);
        int bottom = row_of(point.low, size.height);
        for (int y = row_of(point.high, size.height); y <= bottom; y++)
            memcpy(pixels + ((size_t)y * (size_t)size.width + (size_t)x) * PIXEL_BYTES, curve, PIXEL_BYTES);
    }
}

/* With libpng itself: libvips would start threads to write. The caller frees the result. */
static void *encode(const unsigned char *pixels, struct waveform_size size, size_t *png_size) {
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)size.width,
                       .height = (png_uint_32)size.height,
                       .format = PNG_FORMAT_RGBA};
    png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(image);
    void *png = malloc(bytes);

    if (png != NULL && !png_image_write_to_memory(&image, png, &bytes, 0, pixels, 0, NULL)) {
        free(png);
        png = NULL;
    }
    *png_size = bytes;
    return png;
}

int waveform_draw(struct processor_context *context, int output, const struct waveform_points *points,
                  struct waveform_size size) {
    unsigned char *pixels = calloc((size_t)size.width * (size_t)size.height, PIXEL_BYTES);
    size_t png_size = 0;
    void *png;
    int status;

    if (pixels == NULL)
        return processor_fail(context, "memory_limit", "no memory left");
    draw_columns(pixels, points, size);
    png = encode(pixels, size, &png_size);
    if (png == NULL)
        status = processor_fail(context, "engine_failed", "PNG not written");
    else
        status = processor_write(context, output, png, png_size);
    free(png);
    free(pixels);
    return status;
}
