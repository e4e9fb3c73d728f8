/* SPDX-License-Identifier: MIT
 * Pictures for the web: up to two sizes (400 and 1600 px unless asked otherwise) in up to four formats, from
 * one decoding. Upright, sRGB, never enlarged; no metadata, because encoders get pixels and nothing else.
 * Outputs `variant_1` and `variant_2` are WebP, the others carry their format in the kind. Parameters, all
 * optional:
 *
 *   {"sizes": [400, 1600], "formats": ["webp", "jpeg", "png", "avif"], "quality": 80 or {"webp": 75, "avif":
 * 50}, "animation": "first" or "keep", "background": "#ffffff"}
 *
 * "keep" makes the WebP of an animation one too; its frames count together against the limit of pixels. The
 * background is what JPEG shows behind transparency. */
#include <stdlib.h>
#include <string.h>

#include "workers/processor.h"
#include "workers/processors/avif.h"
#include "workers/processors/engines.h"
#include "workers/processors/image.h"
#include "workers/processors/jpeg.h"
#include "workers/processors/parameters.h"
#include "workers/processors/png_encode.h"
#include "workers/processors/webp.h"

#define SIZES_MAX 2
#define SMALLEST 16
#define LARGEST 8192
#define FRAME_BYTES_PER_PIXEL 4
#define FRAME_MS 100 /* where the file says nothing or 0, as browsers do */

enum format { FORMAT_WEBP, FORMAT_JPEG, FORMAT_PNG, FORMAT_AVIF, FORMAT_COUNT };

static const char *const format_names[] = {"webp", "jpeg", "png", "avif", NULL};
static const char *const animation_words[] = {"first", "keep", NULL};

struct order {
    int sizes[SIZES_MAX];
    int size_count;
    bool formats[FORMAT_COUNT];
    int quality[FORMAT_COUNT];
    int keep_animation;
    unsigned char background[3];
};

/* --- parameters ---------------------------------------------------------------------------------- */

static int read_sizes(struct processor_context *context, const struct parameter_field *field,
                      const json_t *value, void *target) {
    struct order *order = target;
    size_t count = json_array_size(value);

    if (count < 1 || count > SIZES_MAX)
        return processor_fail(context, "bad_parameters", "sizes: one or two numbers");
    for (size_t i = 0; i < count; i++) {
        const struct parameter_field item = {
            .name = field->name, .offset = i * sizeof order->sizes[0], .least = SMALLEST, .most = LARGEST};
        if (parameter_read_int(context, &item, json_array_get(value, i), order->sizes) != 0)
            return -1;
    }
    order->size_count = (int)count;
    return 0;
}

static int read_formats(struct processor_context *context, const struct parameter_field *field,
                        const json_t *value, void *target) {
    struct order *order = target;

    if (json_array_size(value) == 0)
        return processor_fail(context, "bad_parameters", "formats: a list of one or more");
    memset(order->formats, 0, sizeof order->formats);
    for (size_t i = 0; i < json_array_size(value); i++) {
        int format = parameter_word(context, field->name, format_names, json_array_get(value, i));
        if (format < 0)
            return -1;
        if (format == FORMAT_AVIF && !avif_is_available())
            return processor_fail(context, "bad_parameters", "formats: avif can't be written here");
        order->formats[format] = true;
    }
    return 0;
}

static int read_quality(struct processor_context *context, const struct parameter_field *field,
                        const json_t *value, void *target) {
    static const struct parameter_field fields[] = {
        {.name = "webp",
         .read = parameter_read_int,
         .offset = FORMAT_WEBP * sizeof(int),
         .least = 1,
         .most = 100},
        {.name = "jpeg",
         .read = parameter_read_int,
         .offset = FORMAT_JPEG * sizeof(int),
         .least = 1,
         .most = 100},
        {.name = "avif",
         .read = parameter_read_int,
         .offset = FORMAT_AVIF * sizeof(int),
         .least = 1,
         .most = 100},
        {.name = NULL},
    };
    struct order *order = target;

    if (json_is_object(value))
        return parameters_read(context, fields, value, order->quality);
    for (size_t i = 0; i < FORMAT_COUNT; i++) {
        const struct parameter_field item = {
            .name = field->name, .offset = i * sizeof(int), .least = 1, .most = 100};
        if (parameter_read_int(context, &item, value, order->quality) != 0)
            return -1;
    }
    return 0;
}

static int read_order(struct processor_context *context, struct order *order) {
    static const struct parameter_field fields[] = {
        {.name = "sizes", .read = read_sizes},
        {.name = "formats", .read = read_formats},
        {.name = "quality", .read = read_quality},
        {.name = "animation",
         .read = parameter_read_word,
         .offset = offsetof(struct order, keep_animation),
         .words = animation_words},
        {.name = "background", .read = parameter_read_colour, .offset = offsetof(struct order, background)},
        {.name = NULL},
    };

    *order = (struct order){.sizes = {400, 1600},
                            .size_count = 2,
                            .formats = {[FORMAT_WEBP] = true},
                            .quality = {[FORMAT_WEBP] = WEBP_QUALITY, [FORMAT_JPEG] = 80, [FORMAT_AVIF] = 50},
                            .background = {255, 255, 255}};
    return parameters_read_all(context, fields, order);
}

/* --- one picture --------------------------------------------------------------------------------- */

static int write_encoded(struct processor_context *context, int output, struct encoded *encoded) {
    int status = processor_write(context, output, encoded->bytes, encoded->size);

    free(encoded->bytes);
    return status;
}

static int encode_webp(struct processor_context *context, int output, const struct pixels *pixels,
                       int quality) {
    return webp_write(context, output, pixels, quality);
}

static int encode_jpeg(struct processor_context *context, int output, const struct pixels *pixels,
                       int quality) {
    struct encoded encoded;

    return jpeg_encode(context, pixels, quality, 0, &encoded) != 0 ? -1
                                                                   : write_encoded(context, output, &encoded);
}

static int encode_png(struct processor_context *context, int output, const struct pixels *pixels,
                      int quality) {
    struct encoded encoded;

    return png_encode(context, pixels, 0, &encoded) != 0 ? -1 : write_encoded(context, output, &encoded);
}

static const struct {
    int (*encode)(struct processor_context *context, int output, const struct pixels *pixels, int quality);
    bool alpha;
} encoders[FORMAT_COUNT] = {
    [FORMAT_WEBP] = {encode_webp, true},
    [FORMAT_JPEG] = {encode_jpeg, false},
    [FORMAT_PNG] = {encode_png, true},
    [FORMAT_AVIF] = {avif_write, true},
};

static void note_size(struct processor_context *context, int output, const struct pixels *pixels) {
    processor_fact(context, output, "width", (uint64_t)pixels->width);
    processor_fact(context, output, "height", (uint64_t)pixels->height);
}

static int output_of(enum format format, int size) {
    return (int)format * SIZES_MAX + size;
}

static int write_format(struct processor_context *context, const struct order *order, enum format format,
                        VipsImage *image, int output) {
    struct pixels pixels;
    VipsImage *shown = g_object_ref(image);
    int status;

    if (!encoders[format].alpha)
        shown = image_flatten(context, shown, order->background);
    if (shown == NULL)
        return -1;
    status = image_pixels(context, shown, &pixels);
    g_object_unref(shown);
    if (status != 0)
        return -1;
    status = encoders[format].encode(context, output, &pixels, order->quality[format]);
    g_free((void *)(uintptr_t)pixels.bytes);
    note_size(context, output, &pixels);
    return status;
}

/* --- animations ---------------------------------------------------------------------------------- */

struct movie {
    VipsImage *frames; /* below each other, in memory */
    int count, width, height;
    int *delays_ms; /* borrowed from the image; NULL: none given */
    int delay_count;
    int loops;
};

static VipsImage *copy_frame(struct processor_context *context, const struct movie *movie, int index) {
    VipsImage *frame = NULL;

    if (vips_crop(movie->frames, &frame, 0, index * movie->height, movie->width, movie->height, NULL) == 0)
        return frame;
    (void)image_fail(context);
    return NULL;
}

static int add_frame(struct processor_context *context, const struct movie *movie, int index, int size,
                     struct webp_animation **animation, const struct order *order) {
    int delay_ms = index < movie->delay_count ? movie->delays_ms[index] : 0;
    VipsImage *frame = copy_frame(context, movie, index);
    VipsImage *image = frame == NULL ? NULL : image_shrink(context, frame, order->sizes[size]);
    struct pixels pixels;
    int status = image == NULL ? -1 : image_pixels(context, image, &pixels);

    if (frame != NULL)
        g_object_unref(frame);
    if (image != NULL)
        g_object_unref(image);
    if (status != 0)
        return -1;
    if (*animation == NULL) {
        *animation = webp_animation_new(context, pixels.width, pixels.height, movie->loops,
                                        order->quality[FORMAT_WEBP]);
        note_size(context, output_of(FORMAT_WEBP, size), &pixels);
    }
    status =
        *animation == NULL ? -1 : webp_animation_add(*animation, &pixels, delay_ms > 0 ? delay_ms : FRAME_MS);
    g_free((void *)(uintptr_t)pixels.bytes);
    return status;
}

static int write_movie(struct processor_context *context, const struct order *order,
                       const struct movie *movie, int size) {
    struct webp_animation *animation = NULL;
    int output = output_of(FORMAT_WEBP, size), status = 0;

    for (int i = 0; i < movie->count && status == 0; i++) {
        status = add_frame(context, movie, i, size, &animation, order);
        processor_progress(context, (uint64_t)(size * movie->count + i + 1),
                           (uint64_t)(order->size_count * movie->count));
    }
    if (status == 0)
        status = webp_animation_write(animation, output);
    processor_fact(context, output, "frames", (uint64_t)movie->count);
    webp_animation_free(animation);
    return status;
}

static void read_movie(VipsImage *image, const struct image_header *header, struct movie *movie) {
    *movie = (struct movie){.frames = image,
                            .count = header->frames,
                            .width = image->Xsize,
                            .height = image->Ysize / header->frames};
    if (vips_image_get_typeof(image, "loop") != 0)
        (void)vips_image_get_int(image, "loop", &movie->loops);
    if (vips_image_get_typeof(image, "delay") != 0)
        (void)vips_image_get_array_int(image, "delay", &movie->delays_ms, &movie->delay_count);
}

/* --- the document -------------------------------------------------------------------------------- */

static int largest_size(const struct order *order) {
    int largest = 0;

    for (int i = 0; i < order->size_count; i++)
        largest = order->sizes[i] > largest ? order->sizes[i] : largest;
    return largest;
}

static int write_size(struct processor_context *context, const struct order *order, const struct movie *movie,
                      int size) {
    VipsImage *frame = copy_frame(context, movie, 0);
    VipsImage *image = frame == NULL ? NULL : image_shrink(context, frame, order->sizes[size]);
    int status = image == NULL ? -1 : 0;

    for (int format = 0; format < FORMAT_COUNT && status == 0; format++) {
        int output = output_of((enum format)format, size);
        if (!order->formats[format] || context->outputs[output] < 0)
            continue;
        if (format == FORMAT_WEBP && movie->count > 1)
            status = write_movie(context, order, movie, size);
        else
            status = write_format(context, order, (enum format)format, image, output);
    }
    processor_progress(context, (uint64_t)((size + 1) * movie->count),
                       (uint64_t)(order->size_count * movie->count));
    if (frame != NULL)
        g_object_unref(frame);
    if (image != NULL)
        g_object_unref(image);
    return status;
}

/* The one decoding, into memory: nothing after it reads the input again. */
static VipsImage *decode(struct processor_context *context, const struct order *order,
                         const struct image_header *header) {
    int largest = largest_size(order);
    VipsImage *image = image_decode(context, header, largest, largest);

    if (image == NULL)
        return NULL;
    uint64_t bytes = (uint64_t)image->Xsize * (uint64_t)image->Ysize * FRAME_BYTES_PER_PIXEL;
    if (context->memory_bytes != 0 && bytes > context->memory_bytes / 2)
        (void)processor_fail(context, "too_many_pixels", "%d frames take %d MiB", header->frames,
                             (int)(bytes >> 20));
    else
        return image_compute(context, image);
    g_object_unref(image);
    return NULL;
}

static int run(struct processor_context *context) {
    struct image_header header;
    struct order order;
    struct movie movie;
    VipsImage *image;
    int status = 0;

    if (read_order(context, &order) != 0 ||
        image_check(context, order.keep_animation != 0 && order.formats[FORMAT_WEBP], &header) != 0)
        return -1;
    image = decode(context, &order, &header);
    if (image == NULL)
        return -1;
    read_movie(image, &header, &movie);
    for (int i = 0; i < order.size_count && status == 0; i++)
        status = write_size(context, &order, &movie, i);
    g_object_unref(image);
    return status;
}

static int warm(void) {
    avif_warm();
    return image_warm();
}

const struct processor processor_image_variants = {
    .name = "image_variants", .warm = warm, .run = run, .engines = {engine_vips}};
