/* SPDX-License-Identifier: MIT
 * A file of so many bytes. Size does not quite rise with quality (chroma changes its sampling at 90, tables
 * round), so a binary search is followed by a look at the next two. */
#include <inttypes.h>
#include <stdlib.h>

#include "workers/processors/jpeg.h"
#include "workers/processors/photo.h"
#include "workers/processors/png_encode.h"

#define KB_MIN_BYTES 1024
#define KB_MAX_BYTES 1000
#define BEST_QUALITY 100
#define LOOK_AHEAD 2

struct search {
    struct processor_context *context;
    const struct photo_schema *schema;
    const struct pixels *pixels;
    struct photo_fit *fit;
    size_t smallest; /* of all sizes seen */
};

/* 1: it fits, and is kept if it is the best so far; 0: it does not; -1 after processor_fail. */
static int try_quality(struct search *search, int quality) {
    struct photo_fit *fit = search->fit;
    struct encoded encoded;

    if (jpeg_encode(search->context, search->pixels, quality, search->schema->dpi, &encoded) != 0)
        return -1;
    fit->encodings++;
    if (search->smallest == 0 || encoded.size < search->smallest)
        search->smallest = encoded.size;
    int fits = encoded.size <= fit->max_bytes;
    if (fits && quality > fit->quality) {
        free(fit->encoded.bytes);
        fit->encoded = encoded;
        fit->quality = quality;
    } else {
        free(encoded.bytes);
    }
    return fits;
}

/* The largest quality from low to high that fits, if any does. */
static int search_quality(struct search *search, int low, int high) {
    int highest = high;

    while (low <= high) {
        int middle = low + (high - low + 1) / 2;
        int fits = try_quality(search, middle);
        if (fits < 0)
            return -1;
        if (fits)
            low = middle + 1;
        else
            high = middle - 1;
    }
    for (int quality = low + 1; quality <= highest && quality <= low + LOOK_AHEAD; quality++) {
        if (try_quality(search, quality) < 0)
            return -1;
    }
    return 0;
}

static int fit_jpeg(struct search *search) {
    const struct photo_schema *schema = search->schema;
    struct photo_fit *fit = search->fit;

    if (search_quality(search, schema->min_quality, schema->quality) != 0)
        return -1;
    if (fit->quality == 0)
        return processor_fail(search->context, "SIZE_EXCEEDED",
                              "%zu bytes at quality %d, %" PRIu64 " allowed", search->smallest,
                              schema->min_quality, fit->max_bytes);
    if (fit->encoded.size < fit->min_bytes && fit->quality < BEST_QUALITY)
        return search_quality(search, fit->quality + 1, BEST_QUALITY);
    return 0;
}

static int fit_png(struct search *search) {
    struct photo_fit *fit = search->fit;

    if (png_encode(search->context, search->pixels, search->schema->dpi, &fit->encoded) != 0)
        return -1;
    fit->encodings = 1;
    if (fit->encoded.size > fit->max_bytes)
        return processor_fail(search->context, "SIZE_EXCEEDED", "%zu bytes as PNG, %" PRIu64 " allowed",
                              fit->encoded.size, fit->max_bytes);
    return 0;
}

static int read_jpeg(struct processor_context *context, const struct encoded *encoded,
                     const struct pixels *pixels, unsigned char *luma) {
    return jpeg_luma(context, encoded, luma);
}

static int read_png(struct processor_context *context, const struct encoded *encoded,
                    const struct pixels *pixels, unsigned char *luma) {
    struct pixels read = *pixels;
    unsigned char *bytes = malloc((size_t)pixels->height * pixels_row_bytes(pixels));
    int status;

    if (bytes == NULL)
        return processor_fail(context, "memory_limit", "no memory to read back");
    status = png_decode(context, encoded, &read, bytes);
    read.bytes = bytes;
    if (status == 0)
        photo_luma(&read, luma);
    free(bytes);
    return status;
}

static const struct {
    int (*fit)(struct search *search);
    long (*pad)(struct encoded *encoded, size_t bytes);
    int (*read)(struct processor_context *context, const struct encoded *encoded, const struct pixels *pixels,
                unsigned char *luma);
} formats[PHOTO_FORMAT_COUNT] = {
    [PHOTO_JPEG] = {fit_jpeg, jpeg_pad, read_jpeg},
    [PHOTO_PNG] = {fit_png, png_pad, read_png},
};

static int pad(struct processor_context *context, const struct photo_schema *schema, struct photo_fit *fit) {
    long added;

    if (fit->encoded.size >= fit->min_bytes)
        return 0;
    added = formats[schema->format].pad(&fit->encoded, fit->min_bytes - fit->encoded.size);
    if (added < 0)
        return processor_fail(context, "memory_limit", "no memory for padding");
    fit->padding_bytes = (size_t)added;
    if (fit->encoded.size > fit->max_bytes)
        return processor_fail(context, "SIZE_EXCEEDED", "the limits leave no room for padding");
    return 0;
}

static int compare(struct processor_context *context, const struct photo_schema *schema,
                   const struct pixels *pixels, struct photo_fit *fit) {
    size_t count = (size_t)pixels->width * (size_t)pixels->height;
    unsigned char *lumas = malloc(2 * count);
    int status;

    if (lumas == NULL)
        return processor_fail(context, "memory_limit", "no memory to compare");
    photo_luma(pixels, lumas);
    status = formats[schema->format].read(context, &fit->encoded, pixels, lumas + count);
    if (status == 0)
        fit->ssim = photo_ssim(lumas, lumas + count, pixels->width, pixels->height);
    free(lumas);
    return status;
}

int photo_fit(struct processor_context *context, const struct photo_schema *schema,
              const struct pixels *pixels, struct photo_fit *fit) {
    struct search search = {.context = context, .schema = schema, .pixels = pixels, .fit = fit};

    *fit = (struct photo_fit){.min_bytes = (uint64_t)schema->min_kb * KB_MIN_BYTES,
                              .max_bytes = (uint64_t)schema->max_kb * KB_MAX_BYTES};
    if (schema->max_kb == 0)
        fit->max_bytes = UINT64_MAX;
    if (formats[schema->format].fit(&search) != 0 || pad(context, schema, fit) != 0)
        return -1;
    return compare(context, schema, pixels, fit);
}
