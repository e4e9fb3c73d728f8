/* SPDX-License-Identifier: MIT
 * Loading pictures. */
#include "workers/processors/engines.h"
#include "workers/processors/image.h"

#include <gmodule.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/text.h"
#include "workers/deaths.h"
#include "workers/processors/webp.h"

#define STRICT "fail_on=error"   /* as the loader's option: thumbnail's own does not reach every loader */
#define PROGRESSIVE_JPEG_BYTES 6 /* per pixel, measured */
#define SHRINKING_FACTOR 3       /* a baseline JPEG is shrunk while it is decoded: more pixels are allowed */

enum decoding { DECODE_BY_ROWS, DECODE_JPEG, DECODE_WHOLE };

struct loader {
    const char *mime;
    const char *name; /* of the libvips class */
    enum decoding decoding;
    bool moves; /* can be an animation */
    bool paged;
};

static const struct loader loaders[] = {
    {.mime = "image/jpeg", .name = "VipsForeignLoadJpegBuffer", .decoding = DECODE_JPEG},
    {.mime = "image/png", .name = "VipsForeignLoadPngBuffer", .decoding = DECODE_BY_ROWS},
    {.mime = "image/webp", .name = "VipsForeignLoadWebpBuffer", .decoding = DECODE_WHOLE, .moves = true},
    {.mime = "image/gif", .name = "VipsForeignLoadNsgifBuffer", .decoding = DECODE_WHOLE, .moves = true},
    {.mime = "image/tiff", .name = "VipsForeignLoadTiffBuffer", .decoding = DECODE_BY_ROWS, .paged = true},
    {.mime = "image/heic", .name = "VipsForeignLoadHeifBuffer", .decoding = DECODE_WHOLE},
    {.mime = "image/heif", .name = "VipsForeignLoadHeifBuffer", .decoding = DECODE_WHOLE},
    {.mime = "image/avif", .name = "VipsForeignLoadHeifBuffer", .decoding = DECODE_WHOLE},
};

/* How libraries word it; first match wins, else the bytes are bad. */
static const struct {
    const char *words;
    const char *code;
} vips_faults[] = {
    {"out of memory", "memory_limit"},
    {"Out of memory", "memory_limit"},
    {"nsufficient memory", "memory_limit"},
    {"unable to allocate", "memory_limit"},
    {"ailed to allocate", "memory_limit"},
    {"Security limit exceeded", "too_many_pixels"},
    {"exceeds the maximum image size", "too_many_pixels"},
    {"operation is blocked", "unsupported_input"},
};

int image_fail(struct processor_context *context) {
    const char *said = vips_error_buffer();
    const char *code = "bad_input";

    for (size_t i = 0; i < sizeof vips_faults / sizeof vips_faults[0]; i++) {
        if (strstr(said, vips_faults[i].words) != NULL) {
            code = vips_faults[i].code;
            break;
        }
    }
    return processor_fail(context, code, "%.*s", (int)strcspn(said, "\n"), said);
}

/* --- before decoding ----------------------------------------------------------------------------- */

static const struct loader *find_loader(const char *mime) {
    for (size_t i = 0; i < sizeof loaders / sizeof loaders[0]; i++) {
        if (strcmp(loaders[i].mime, mime) == 0)
            return &loaders[i];
    }
    return NULL;
}

static bool is_interlaced(VipsImage *image) {
    int interlaced = 0;

    return vips_image_get_typeof(image, "interlaced") != 0 &&
           vips_image_get_int(image, "interlaced", &interlaced) == 0 && interlaced != 0;
}

static uint64_t sample_bytes(const VipsImage *image) {
    return image->BandFmt == VIPS_FORMAT_USHORT || image->BandFmt == VIPS_FORMAT_SHORT ? 2 : 1;
}

/* Memory that decoding takes beyond a few rows. */
static uint64_t decoding_cost(VipsImage *image, const struct loader *loader) {
    uint64_t pixels = (uint64_t)image->Xsize * (uint64_t)image->Ysize;

    if (loader->decoding == DECODE_WHOLE || image->Type == VIPS_INTERPRETATION_CMYK)
        return pixels * 4;
    if (!is_interlaced(image))
        return 0;
    return loader->decoding == DECODE_JPEG ? pixels * PROGRESSIVE_JPEG_BYTES
                                           : pixels * (uint64_t)image->Bands * sample_bytes(image);
}

static int check_size(struct processor_context *context, VipsImage *image, const struct loader *loader,
                      int frames) {
    uint64_t pixels = (uint64_t)image->Xsize * (uint64_t)image->Ysize * (uint64_t)frames;
    uint64_t cost = decoding_cost(image, loader) * (uint64_t)frames;
    uint64_t allowed = context->pixels;

    if (loader->decoding == DECODE_JPEG && cost == 0)
        allowed *= SHRINKING_FACTOR;
    if (context->pixels != 0 && pixels > allowed)
        return processor_fail(context, "too_many_pixels",
                              "%d x %d pixels, %d frames, %" PRIu64 " pixels allowed", image->Xsize,
                              image->Ysize, frames, allowed);
    if (context->memory_bytes != 0 && cost > context->memory_bytes / 4 * 3)
        return processor_fail(context, "too_many_pixels", "%d x %d pixels take %" PRIu64 " MiB to decode",
                              image->Xsize, image->Ysize, cost >> 20);
    return 0;
}

static void read_header(VipsImage *image, int frames, struct image_header *header) {
    bool lies = vips_image_get_orientation_swap(image);

    header->width = lies ? image->Ysize : image->Xsize;
    header->height = lies ? image->Xsize : image->Ysize;
    header->turned = lies;
    header->frames = frames;
    header->profiled = vips_image_get_typeof(image, VIPS_META_ICC_NAME) != 0;
    header->inked = image->Type == VIPS_INTERPRETATION_CMYK;
}

#define OPTION_SIZE 48

/* For the loader: strict where pixels are wanted; all frames, or one page. */
static void loader_option(const struct image_header *header, const char *start, char *option) {
    if (header->frames > 1)
        (void)text_format(option, OPTION_SIZE, "%s,n=-1", start);
    else if (header->page > 0)
        (void)text_format(option, OPTION_SIZE, "%s,page=%d", start, header->page);
    else
        (void)text_copy(option, OPTION_SIZE, start);
}

static int check(struct processor_context *context, bool animation, int page, struct image_header *header) {
    const struct loader *loader = find_loader(context->mime);
    const char *found;
    char option[OPTION_SIZE];
    VipsImage *image;
    int status, frames;

    if (loader == NULL)
        return processor_fail(context, "unsupported_input", "no loader for %s", context->mime);
    found = vips_foreign_find_load_buffer(context->input, context->input_size);
    if (found == NULL || strcmp(found, loader->name) != 0)
        return processor_fail(context, "bad_input", "the bytes are not %s", loader->mime);
    *header = (struct image_header){.page = page};
    loader_option(header, "access=random", option);
    image = vips_image_new_from_buffer(context->input, context->input_size, option, NULL);
    if (image == NULL)
        return image_fail(context);
    frames = animation && loader->moves ? vips_image_get_n_pages(image) : 1;
    status = check_size(context, image, loader, frames);
    read_header(image, frames, header);
    header->pages = loader->paged ? vips_image_get_n_pages(image) : 1;
    g_object_unref(image);
    return status;
}

int image_check(struct processor_context *context, bool animation, struct image_header *header) {
    bool lies;

    if (check(context, animation, 0, header) != 0)
        return -1;
    lies = header->turned;
    processor_fact(context, -1, "width", (uint64_t)(lies ? header->height : header->width));
    processor_fact(context, -1, "height", (uint64_t)(lies ? header->width : header->height));
    return 0;
}

int image_check_page(struct processor_context *context, int page, struct image_header *header) {
    return check(context, false, page, header);
}

/* --- pixels -------------------------------------------------------------------------------------- */

/* 8 bits, sRGB, with or without alpha. Takes the image. */
static VipsImage *normalize(VipsImage *image) {
    VipsImage *converted = NULL;
    int status;

    if (image->Type == VIPS_INTERPRETATION_sRGB && image->BandFmt == VIPS_FORMAT_UCHAR &&
        (image->Bands == 3 || image->Bands == 4))
        return image;
    status = vips_colourspace(image, &converted, VIPS_INTERPRETATION_sRGB, NULL);
    g_object_unref(image);
    if (status == 0 && converted->Bands > 4) {
        VipsImage *all = converted;
        status = vips_extract_band(all, &converted, 0, "n", 4, NULL);
        g_object_unref(all);
    }
    if (status == 0 && converted->BandFmt != VIPS_FORMAT_UCHAR) {
        VipsImage *wide = converted;
        status = vips_cast_uchar(wide, &converted, NULL);
        g_object_unref(wide);
    }
    return status == 0 ? converted : NULL;
}

/* A picture without a profile is sRGB already; libvips 8.14 would send its colours through CIELAB of another
 * white, which is not lossless at all. The intent is perceptual as in browsers: some profiles have no other,
 * for those of screens it makes no difference. */
static VipsImage *decode_light(struct processor_context *context, const struct image_header *header,
                               int width, int height) {
    VipsImage *image = NULL;
    /* libvips does not write to the buffer, it only lacks the const. */
    void *input = (void *)(uintptr_t)context->input;
    char option[OPTION_SIZE];
    int status;

    loader_option(header, STRICT, option);
    status = vips_thumbnail_buffer(
        input, context->input_size, &image, width, "height", height, "size", VIPS_SIZE_DOWN, "option_string",
        option, "intent", VIPS_INTENT_PERCEPTUAL,
        /* NULL ends the list, for a picture without a profile */
        header->profiled ? "export_profile" : NULL, "srgb", NULL);

    return status == 0 ? image : NULL;
}

/* vips_thumbnail of 8.14.1 takes its own profile of ink even when there is one in the file. */
static VipsImage *decode_ink(struct processor_context *context, const struct image_header *header, int width,
                             int height) {
    char option[OPTION_SIZE];
    VipsImage *light = NULL, *upright = NULL, *small = NULL, *image;

    loader_option(header, STRICT, option);
    image = vips_image_new_from_buffer(context->input, context->input_size, option, NULL);
    if (image != NULL &&
        vips_icc_transform(image, &light, "srgb", "embedded", TRUE, "input_profile", "cmyk", "intent",
                           VIPS_INTENT_PERCEPTUAL, NULL) == 0 &&
        vips_autorot(light, &upright, NULL) == 0)
        (void)vips_thumbnail_image(upright, &small, width, "height", height, "size", VIPS_SIZE_DOWN, NULL);
    g_clear_object(&image);
    g_clear_object(&light);
    g_clear_object(&upright);
    return small;
}

VipsImage *image_decode(struct processor_context *context, const struct image_header *header, int width,
                        int height) {
    VipsImage *image =
        header->inked ? decode_ink(context, header, width, height) : decode_light(context, header, width, height);

    if (image != NULL)
        image = normalize(image);
    if (image == NULL)
        (void)image_fail(context);
    return image;
}

VipsImage *image_compute(struct processor_context *context, VipsImage *image) {
    VipsImage *copy = vips_image_copy_memory(image);

    g_object_unref(image);
    if (copy == NULL)
        (void)image_fail(context);
    return copy;
}

VipsImage *image_shrink(struct processor_context *context, VipsImage *image, int longest) {
    VipsImage *smaller = NULL;

    if (vips_thumbnail_image(image, &smaller, longest, "height", longest, "size", VIPS_SIZE_DOWN, NULL) == 0)
        smaller = normalize(smaller);
    if (smaller != NULL)
        return image_compute(context, smaller);
    (void)image_fail(context);
    return NULL;
}

VipsImage *image_flatten(struct processor_context *context, VipsImage *image,
                         const unsigned char background[3]) {
    double ink[3] = {background[0], background[1], background[2]};
    VipsArrayDouble *colour = vips_array_double_new(ink, 3);
    VipsImage *flat = NULL;

    if (!vips_image_hasalpha(image)) {
        flat = g_object_ref(image);
    } else if (vips_flatten(image, &flat, "background", colour, NULL) != 0) {
        flat = NULL;
        (void)image_fail(context);
    }
    vips_area_unref(VIPS_AREA(colour));
    g_object_unref(image);
    return flat;
}

int image_pixels(struct processor_context *context, VipsImage *image, struct pixels *pixels) {
    size_t size;

    pixels->width = image->Xsize;
    pixels->height = image->Ysize;
    pixels->alpha = image->Bands == 4;
    pixels->bytes = vips_image_write_to_memory(image, &size);
    return pixels->bytes == NULL ? image_fail(context) : 0;
}

/* --- warming ------------------------------------------------------------------------------------- */

/* GLib ends the process when an allocation fails: that is the memory limit, not a crash. */
static void on_glib_message(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data) {
    if ((level & G_LOG_FLAG_FATAL) != 0 && strstr(message, "failed to allocate") != NULL)
        _exit(RUNNER_EXIT_MEMORY);
}

/* Loads the loaders' plug-ins and their libraries, which a runner could not: it may not map code. */
static int warm_loaders(void) {
    static const unsigned char nothing[64];

    (void)vips_foreign_find_load_buffer(nothing, sizeof nothing); /* asks every loader */
    vips_error_clear();
    for (size_t i = 0; i < sizeof loaders / sizeof loaders[0]; i++) {
        if (g_type_from_name(loaders[i].name) == 0) {
            log_error("loader=%s state=missing", loaders[i].name);
            return -1;
        }
    }
    return 0;
}

/* One pixel, through the whole way that a picture takes. Saving with libvips would start threads. */
static int warm_pipeline(void) {
    static char dot[] =
        "GIF89a\1\0\1\0\x80\0\0\xff\xff\xff\0\0\0!\xf9\4\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;";
    VipsImage *image = NULL;
    void *pixels = NULL;
    size_t size;

    if (vips_thumbnail_buffer(dot, sizeof dot - 1, &image, 1, "export_profile", "srgb", NULL) == 0) {
        pixels = vips_image_write_to_memory(image, &size);
        g_object_unref(image);
    }
    if (pixels == NULL)
        log_error("engine=vips state=cold error=\"%s\"", vips_error_buffer());
    g_free(pixels);
    return pixels == NULL ? -1 : 0;
}

/* libvips loads every plug-in it finds as it starts, and with vips-magick some 130 modules of ImageMagick:
 * code that no picture here may reach, and that every fork would carry. It is shown an empty place, and given
 * the one that is wanted. */
static int start_vips(void) {
    static const char wanted[] = VIPS_MODULES "/vips-heif.so";
    GModule *module;

    (void)setenv("VIPSHOME", "/nonexistent", 1);
    int status = VIPS_INIT("filemill-nursery");
    (void)unsetenv("VIPSHOME");
    if (status != 0)
        return -1;
    module = g_module_open(wanted, G_MODULE_BIND_LAZY);
    if (module != NULL)
        g_module_make_resident(module);
    return 0; /* whether the loaders are there is seen below */
}

int image_warm(void) {
    static bool warm;

    if (warm)
        return 0;
    (void)g_log_set_default_handler(on_glib_message, NULL);
    if (start_vips() != 0 || webp_stay_single() != 0)
        return -1;
    vips_concurrency_set(1);
    vips_cache_set_max(0);
    vips_block_untrusted_set(TRUE);
    /* VIPS_NOVECTOR in the environment: it would make code at run time */
    warm = warm_loaders() == 0 && warm_pipeline() == 0;
    return warm ? 0 : -1;
}

const char *engine_vips(void) {
    static char name[64];

    (void)text_format(name, sizeof name, "libvips/%d.%d.%d", vips_version(0), vips_version(1), vips_version(2));
    return name;
}
