/* SPDX-License-Identifier: MIT
 * Writing PNG into memory. libpng reports errors by jumping. */
#include "workers/processors/png_encode.h"

#include <png.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "lib/buffer.h"

#define COMPRESSION 9
#define INCHES_PER_METRE 39.37007874
#define CHUNK_BYTES 12 /* length, name, checksum */
#define END_BYTES 12   /* IEND */

static void on_error(png_structp png, png_const_charp text) {
    (void)processor_fail(png_get_error_ptr(png), "engine_failed", "PNG: %s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
}

static void on_bytes(png_structp png, png_bytep bytes, size_t size) {
    if (buffer_append(png_get_io_ptr(png), bytes, size) != 0) {
        (void)processor_fail(png_get_error_ptr(png), "memory_limit", "no memory for the PNG");
        png_longjmp(png, 1);
    }
}

static void on_flush(png_structp png) {
}

static void write_png(png_structp png, png_infop info, const struct pixels *pixels, int dpi) {
    size_t row_bytes = pixels_row_bytes(pixels);

    png_set_compression_level(png, COMPRESSION);
    png_set_IHDR(png, info, (png_uint_32)pixels->width, (png_uint_32)pixels->height, 8,
                 pixels->alpha ? PNG_COLOR_TYPE_RGBA : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (dpi != 0) {
        png_uint_32 per_metre = (png_uint_32)(dpi * INCHES_PER_METRE + 0.5);
        png_set_pHYs(png, info, per_metre, per_metre, PNG_RESOLUTION_METER);
    }
    png_write_info(png, info);
    for (int y = 0; y < pixels->height; y++)
        png_write_row(png, pixels->bytes + (size_t)y * row_bytes);
    png_write_end(png, info);
}

int png_encode(struct processor_context *context, const struct pixels *pixels, int dpi,
               struct encoded *encoded) {
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, context, on_error, on_warning);
    png_infop info = png == NULL ? NULL : png_create_info_struct(png);
    struct buffer buffer;

    *encoded = (struct encoded){0};
    if (info == NULL)
        return processor_fail(context, "memory_limit", "no memory for the PNG");
    buffer_init(&buffer, context->output_bytes == 0 ? SIZE_MAX / 2 : context->output_bytes);
    if (setjmp(png_jmpbuf(png)) != 0) {
        png_destroy_write_struct(&png, &info);
        return -1; /* the process ends with its document, and the bytes so far with it */
    }
    png_set_write_fn(png, &buffer, on_bytes, on_flush);
    write_png(png, info, pixels, dpi);
    png_destroy_write_struct(&png, &info);
    encoded->bytes = (unsigned char *)buffer_take(&buffer, &encoded->size);
    return 0;
}

static void write_number(unsigned char *target, unsigned long number) {
    for (int i = 0; i < 4; i++)
        target[i] = (unsigned char)(number >> (24 - 8 * i));
}

long png_pad(struct encoded *encoded, size_t bytes) {
    size_t zeros = bytes > CHUNK_BYTES ? bytes - CHUNK_BYTES : 0;
    size_t at = encoded->size - END_BYTES;
    unsigned char *padded = malloc(encoded->size + CHUNK_BYTES + zeros);
    unsigned char *chunk = padded == NULL ? NULL : padded + at;

    if (padded == NULL)
        return -1;
    memcpy(padded, encoded->bytes, at);
    write_number(chunk, zeros);
    memcpy(chunk + 4, "fmPd", 4);
    memset(chunk + 8, 0, zeros);
    write_number(chunk + 8 + zeros, crc32(0, chunk + 4, (unsigned)(4 + zeros)));
    memcpy(chunk + CHUNK_BYTES + zeros, encoded->bytes + at, END_BYTES);
    free(encoded->bytes);
    encoded->bytes = padded;
    encoded->size += CHUNK_BYTES + zeros;
    return (long)(CHUNK_BYTES + zeros);
}

int png_decode(struct processor_context *context, const struct encoded *encoded, const struct pixels *pixels,
               unsigned char *bytes) {
    png_image image = {.version = PNG_IMAGE_VERSION};
    bool done = png_image_begin_read_from_memory(&image, encoded->bytes, encoded->size) != 0 &&
                image.width == (png_uint_32)pixels->width && image.height == (png_uint_32)pixels->height;

    image.format = pixels->alpha ? PNG_FORMAT_RGBA : PNG_FORMAT_RGB;
    done = done && png_image_finish_read(&image, NULL, bytes, 0, NULL) != 0;
    png_image_free(&image);
    return done ? 0 : processor_fail(context, "engine_failed", "PNG not read back: %s", image.message);
}
