/* SPDX-License-Identifier: MIT
 * Small pictures: `thumbnail` (fits 400 px) and `display` (fits 1600 px; of pictures, not of PDFs), as WebP in
 * sRGB, upright, never enlarged, without metadata: the pixels are handed to the encoder, nothing else is. A
 * loader is chosen by the detected type from the list below and by nothing in the bytes. What decoding will
 * cost is computed from the header and refused before a pixel is decoded. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vips/vips.h>

#include "lib/log.h"
#include "workers/deaths.h"
#include "workers/processor.h"
#include "workers/processors/pdf.h"
#include "workers/processors/webp.h"

#define PROGRESSIVE_JPEG_BYTES 6 /* per pixel, measured */
#define SHRINKING_FACTOR 3       /* a baseline JPEG is shrunk while it is decoded: more pixels are allowed */

enum decoding { DECODE_BY_ROWS, DECODE_JPEG, DECODE_WHOLE };

struct loader {
    const char *mime;
    const char *name; /* of the libvips class */
    enum decoding decoding;
};

static const struct loader loaders[] = {
    {"image/jpeg", "VipsForeignLoadJpegBuffer", DECODE_JPEG},
    {"image/png", "VipsForeignLoadPngBuffer", DECODE_BY_ROWS},
    {"image/webp", "VipsForeignLoadWebpBuffer", DECODE_WHOLE},
    {"image/gif", "VipsForeignLoadNsgifBuffer", DECODE_WHOLE},
    {"image/tiff", "VipsForeignLoadTiffBuffer", DECODE_BY_ROWS},
    {"image/heic", "VipsForeignLoadHeifBuffer", DECODE_WHOLE},
    {"image/heif", "VipsForeignLoadHeifBuffer", DECODE_WHOLE},
    {"image/avif", "VipsForeignLoadHeifBuffer", DECODE_WHOLE},
};

/* In the order of the row's outputs. */
static const struct size {
    int pixels;
    bool of_documents;
} sizes[] = {{.pixels = 400, .of_documents = true}, {.pixels = 1600}};
#define SIZE_COUNT (sizeof sizes / sizeof sizes[0])

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

static int fail_with_vips(struct processor_context *context) {
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

/* --- before decoding -------------------------------------------------------------------------------------- */

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

    if (loader->decoding == DECODE_WHOLE)
        return pixels * 4;
    if (!is_interlaced(image))
        return 0;
    return loader->decoding == DECODE_JPEG ? pixels * PROGRESSIVE_JPEG_BYTES
                                           : pixels * (uint64_t)image->Bands * sample_bytes(image);
}

static int check_size(struct processor_context *context, VipsImage *image, const struct loader *loader) {
    uint64_t pixels = (uint64_t)image->Xsize * (uint64_t)image->Ysize;
    uint64_t cost = decoding_cost(image, loader);
    uint64_t allowed = context->pixels;

    if (loader->decoding == DECODE_JPEG && cost == 0)
        allowed *= SHRINKING_FACTOR;
    if (context->pixels != 0 && pixels > allowed)
        return processor_fail(context, "too_many_pixels", "%d x %d pixels, %" PRIu64 " allowed", image->Xsize,
                              image->Ysize, allowed);
    if (context->memory_bytes != 0 && cost > context->memory_bytes / 4 * 3)
        return processor_fail(context, "too_many_pixels", "%d x %d pixels take %" PRIu64 " MiB to decode",
                              image->Xsize, image->Ysize, cost >> 20);
    processor_fact(context, -1, "width", (uint64_t)image->Xsize);
    processor_fact(context, -1, "height", (uint64_t)image->Ysize);
    return 0;
}

static int check_header(struct processor_context *context, const struct loader *loader) {
    const char *found = vips_foreign_find_load_buffer(context->input, context->input_size);
    VipsImage *header;
    int status;

    if (found == NULL || strcmp(found, loader->name) != 0)
        return processor_fail(context, "bad_input", "the bytes are not %s", loader->mime);
    header = vips_image_new_from_buffer(context->input, context->input_size, "", NULL);
    if (header == NULL)
        return fail_with_vips(context);
    status = check_size(context, header, loader);
    g_object_unref(header);
    return status;
}

/* --- pixels ----------------------------------------------------------------------------------------------- */

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

static int write_image(struct processor_context *context, int output, VipsImage *image) {
    size_t size;
    unsigned char *bytes = vips_image_write_to_memory(image, &size);
    struct pixels pixels = {.width = image->Xsize, .height = image->Ysize, .alpha = image->Bands == 4,
                            .bytes = bytes};
    int status;

    if (bytes == NULL)
        return fail_with_vips(context);
    status = webp_write(context, output, &pixels);
    g_free(bytes);
    processor_fact(context, output, "width", (uint64_t)pixels.width);
    processor_fact(context, output, "height", (uint64_t)pixels.height);
    return status;
}

static VipsImage *shrink_input(struct processor_context *context, int pixels) {
    VipsImage *image = NULL;
    /* libvips does not write to the buffer, it only lacks the const. */
    void *input = (void *)(uintptr_t)context->input;

    if (vips_thumbnail_buffer(input, context->input_size, &image, pixels, "height", pixels, "size", VIPS_SIZE_DOWN,
                              "export_profile", "srgb", "intent", VIPS_INTENT_RELATIVE, "fail_on",
                              VIPS_FAIL_ON_ERROR, NULL) != 0)
        return NULL;
    return normalize(image);
}

static int draw_image(struct processor_context *context) {
    const struct loader *loader = find_loader(context->mime);

    if (loader == NULL)
        return processor_fail(context, "unsupported_input", "no loader for %s", context->mime);
    if (check_header(context, loader) != 0)
        return -1;
    for (size_t i = 0; i < SIZE_COUNT && i < context->row->output_count; i++) {
        if (context->outputs[i] < 0)
            continue;
        VipsImage *image = shrink_input(context, sizes[i].pixels);
        if (image == NULL)
            return fail_with_vips(context);
        int status = write_image(context, (int)i, image);
        g_object_unref(image);
        if (status != 0)
            return -1;
        processor_progress(context, i + 1, SIZE_COUNT);
    }
    return 0;
}

/* --- PDFs ------------------------------------------------------------------------------------------------- */

static int draw_page(struct processor_context *context, struct pdf *pdf, int output, int pixels) {
    struct pdf_page_info facts = {0};
    struct pdf_bitmap bitmap = {0};
    enum pdf_status status = pdf_page_facts(pdf, 0, &facts);
    double longest = facts.width > facts.height ? facts.width : facts.height;

    free(facts.label);
    if (status != PDF_OK || !(longest > 0))
        return processor_fail(context, "bad_input", "the first page can't be read");
    status = pdf_page_draw(pdf, 0, pixels * 72.0 / longest, &bitmap);
    if (status != PDF_OK)
        return processor_fail(context, status == PDF_NO_MEMORY ? "memory_limit" : "bad_input",
                              "the first page can't be drawn");
    struct pixels drawn = {.width = bitmap.width, .height = bitmap.height, .bytes = bitmap.pixels};
    processor_fact(context, output, "width", (uint64_t)bitmap.width);
    processor_fact(context, output, "height", (uint64_t)bitmap.height);
    return webp_write(context, output, &drawn);
}

static int draw_pdf(struct processor_context *context) {
    enum pdf_status status;
    struct pdf *pdf = pdf_open(context->input, context->input_size, &status);

    if (pdf == NULL && status == PDF_LOCKED)
        return processor_fail(context, "password_required", "the document is encrypted");
    if (pdf == NULL)
        return processor_fail(context, status == PDF_NO_MEMORY ? "memory_limit" : "bad_input", "not a readable PDF");
    for (size_t i = 0; i < SIZE_COUNT && i < context->row->output_count; i++) {
        if (context->outputs[i] < 0 || !sizes[i].of_documents)
            continue;
        if (draw_page(context, pdf, (int)i, sizes[i].pixels) != 0)
            return -1;
        processor_progress(context, i + 1, SIZE_COUNT);
    }
    return 0;
}

static int run(struct processor_context *context) {
    return strcmp(context->mime, "application/pdf") == 0 ? draw_pdf(context) : draw_image(context);
}

/* --- warming ---------------------------------------------------------------------------------------------- */

/* GLib ends the process when an allocation fails: that is the memory limit, not a crash. */
static void on_glib_message(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data) {
    (void)domain;
    (void)data;
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
    static char dot[] = "GIF89a\1\0\1\0\x80\0\0\xff\xff\xff\0\0\0!\xf9\4\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;";
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

static int warm(void) {
    (void)g_log_set_default_handler(on_glib_message, NULL);
    if (VIPS_INIT("filemill-nursery") != 0)
        return -1;
    vips_concurrency_set(1);
    vips_cache_set_max(0);
    vips_block_untrusted_set(TRUE);
    /* VIPS_NOVECTOR in the environment: it would make code at run time */
    return warm_loaders() == 0 && warm_pipeline() == 0 ? 0 : -1; /* PDFs are warmed by extract_pdf */
}

const struct processor processor_thumbnail = {.name = "thumbnail", .warm = warm, .run = run};
