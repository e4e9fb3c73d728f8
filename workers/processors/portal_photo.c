/* SPDX-License-Identifier: MIT
 * A photo as a portal's form wants it: exact pixels, resolution, format and size in bytes, with a proof
 * beside it. The stages DECODE, QUALITY, ENHANCE, OCR and SCHEMA run in this order; a failure names its
 * stage, and has the code that the stage's row gives. The limits that guard the service keep their own codes.
 * Parameters: see photo_order.c. The proof holds nothing that a second run would not say again; times are
 * metrics. */
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/text.h"
#include "workers/processors/engines.h"
#include "workers/processors/image.h"
#include "workers/processors/jpeg.h"
#include "workers/processors/photo.h"
#include "workers/processors/zip_store.h"

#define OVERSAMPLING 2             /* of the picture that is measured and enhanced, against what is written */
#define OVERSAMPLED_PIXELS 1000000 /* of a photo up to this size */
#define WORKING_BYTES_PER_PIXEL 8  /* of memory: the picture itself and what enhancing keeps */
#define MEASURED_SIDE 512
#define OUTPUT_PROOF PHOTO_FORMAT_COUNT /* after one output for each format */
#define OUTPUT_PREVIEW (PHOTO_FORMAT_COUNT + 1) /* of a row that has one */
#define OUTPUT_ZIP (PHOTO_FORMAT_COUNT + 2)     /* the same: what is in the others */
#define PREVIEW_SIDE 256
#define PREVIEW_QUALITY 80

#define NOISY 12
#define FLAT 80

#define TEXT_PIXELS 4000000.0
#define LOW_CONFIDENCE 0.7

struct photo {
    struct processor_context *context;
    struct photo_order order;
    struct image_header header;
    VipsImage *image; /* upright, cropped, without alpha, in memory */
    double enlarged;  /* how many times, 1 if not */
    struct photo_measures measures;
    bool denoised, equalized;
    struct photo_text text;
    struct photo_fit fit;
    json_t *warnings;
    struct zip_store zip;
};

static void warn(struct photo *photo, const char *format, double number) {
    char text[100];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)text_format(text, sizeof text, format, number);
#pragma GCC diagnostic pop
    json_array_append_new(photo->warnings, json_string(text));
    processor_warn(photo->context, text);
}

/* Takes the new image for the old; -1 when there is none. */
static int replace(struct photo *photo, VipsImage *image) {
    if (photo->image != NULL)
        g_object_unref(photo->image);
    photo->image = image;
    return image == NULL ? -1 : 0;
}

/* From here on nothing reads what came before. */
static int settle(struct photo *photo) {
    VipsImage *image = photo->image;

    photo->image = NULL;
    return replace(photo, image_compute(photo->context, image));
}

/* --- outputs ------------------------------------------------------------------------------------- */

static bool has_output(const struct photo *photo, size_t output) {
    return output < photo->context->row->output_count && photo->context->outputs[output] >= 0;
}

static int write_zip(void *context, const void *bytes, size_t size) {
    return processor_write(context, OUTPUT_ZIP, bytes, size);
}

/* Into its output, and under this name into the ZIP. */
static int deliver(struct photo *photo, size_t output, const char *name, const void *bytes, size_t size) {
    if (has_output(photo, output) && processor_write(photo->context, (int)output, bytes, size) != 0)
        return -1;
    return has_output(photo, OUTPUT_ZIP) ? zip_add(&photo->zip, name, bytes, size) : 0;
}

/* --- DECODE -------------------------------------------------------------------------------------- */

struct rectangle {
    int left, top, width, height;
};

static int rounded(double value, int least, int most) {
    int whole = (int)(value + 0.5);

    return whole < least ? least : whole > most ? most : whole;
}

/* The asked part of a picture of this size. */
static struct rectangle find_region(const struct photo_order *order, int width, int height) {
    struct rectangle region = {.width = width, .height = height};

    if (order->crop != PHOTO_BOX)
        return region;
    region.left = rounded(order->box.left * width, 0, width - 1);
    region.top = rounded(order->box.top * height, 0, height - 1);
    region.width = rounded(order->box.width * width, 1, width - region.left);
    region.height = rounded(order->box.height * height, 1, height - region.top);
    return region;
}

/* The largest rectangle of the photo's shape in the middle of the region. */
static struct rectangle find_cut(const struct photo_schema *schema, struct rectangle region) {
    struct rectangle cut = region;
    double shape = (double)schema->width / schema->height;

    cut.width = rounded(region.height * shape, 1, region.width);
    cut.height = rounded(region.width / shape, 1, region.height);
    cut.left += (region.width - cut.width) / 2;
    cut.top += (region.height - cut.height) / 2;
    return cut;
}

/* Decodes at the scale that the photo needs, or at full size if that is less. */
static int decode_scaled(struct photo *photo) {
    const struct photo_schema *schema = &photo->order.schema;
    struct processor_context *context = photo->context;
    struct rectangle cut =
        find_cut(schema, find_region(&photo->order, photo->header.width, photo->header.height));
    double least = fmax((double)schema->width / cut.width, (double)schema->height / cut.height);
    double scale =
        (double)schema->width * schema->height <= OVERSAMPLED_PIXELS ? least * OVERSAMPLING : least;

    photo->enlarged = fmax(least, 1);
    scale = fmin(scale, 1);
    int width = rounded(ceil(photo->header.width * scale), 1, photo->header.width);
    int height = rounded(ceil(photo->header.height * scale), 1, photo->header.height);
    if (context->memory_bytes != 0 &&
        (uint64_t)width * (uint64_t)height * WORKING_BYTES_PER_PIXEL > context->memory_bytes)
        return processor_fail(context, "too_many_pixels", "%d x %d pixels would be needed at once", width,
                              height);
    return replace(photo, image_decode(context, &photo->header, width, height));
}

static int crop_centre(struct photo *photo, VipsImage **cropped) {
    struct rectangle cut =
        find_cut(&photo->order.schema, find_region(&photo->order, photo->image->Xsize, photo->image->Ysize));

    return vips_crop(photo->image, cropped, cut.left, cut.top, cut.width, cut.height, NULL);
}

static int crop_attention(struct photo *photo, VipsImage **cropped) {
    struct rectangle cut =
        find_cut(&photo->order.schema, find_region(&photo->order, photo->image->Xsize, photo->image->Ysize));

    return vips_smartcrop(photo->image, cropped, cut.width, cut.height, "interesting",
                          VIPS_INTERESTING_ATTENTION, NULL);
}

static int stage_decode(struct photo *photo) {
    static int (*const crops[])(struct photo * photo, VipsImage * *cropped) = {
        [PHOTO_CENTRE] = crop_centre, [PHOTO_ATTENTION] = crop_attention, [PHOTO_BOX] = crop_centre};
    VipsImage *cropped = NULL;

    if (image_check(photo->context, false, &photo->header) != 0 || decode_scaled(photo) != 0 ||
        replace(photo, image_flatten(photo->context, g_object_ref(photo->image),
                                     photo->order.schema.background)) != 0 ||
        settle(photo) != 0)
        return -1;
    if (crops[photo->order.crop](photo, &cropped) != 0)
        return image_fail(photo->context);
    if (replace(photo, cropped) != 0 || settle(photo) != 0)
        return -1;
    if (photo->enlarged > 1)
        warn(photo, "Enlarged %.2f times", photo->enlarged);
    return 0;
}

/* --- QUALITY ------------------------------------------------------------------------------------- */

static void judge(struct photo *photo) {
    const struct photo_measures *measures = &photo->measures;
    const struct {
        bool applies;
        const char *format;
        double number;
    } rows[] = {
        {measures->sharpness < 50, "Low sharpness: %.1f", measures->sharpness},
        {measures->brightness < 60, "Too dark: mean %.0f of 255", measures->brightness},
        {measures->brightness > 230, "Too bright: mean %.0f of 255", measures->brightness},
        {measures->contrast < FLAT, "Low contrast: %.0f levels", measures->contrast},
        {measures->dark > 0.25, "Shadows without detail: %.2f of the picture", measures->dark},
        {measures->bright > 0.6, "Lights without detail: %.2f of the picture", measures->bright},
        {measures->noise > NOISY, "High noise: %.1f", measures->noise},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].applies)
            warn(photo, rows[i].format, rows[i].number);
    }
}

/* At one size, so that the numbers mean the same for every picture and portal. */
static int stage_quality(struct photo *photo) {
    VipsImage *small = image_shrink(photo->context, photo->image, MEASURED_SIDE);
    struct pixels pixels;
    unsigned char *luma;

    if (small == NULL || image_pixels(photo->context, small, &pixels) != 0)
        return -1;
    g_object_unref(small);
    luma = malloc((size_t)pixels.width * (size_t)pixels.height);
    if (luma == NULL)
        return processor_fail(photo->context, "memory_limit", "no memory to measure");
    photo_luma(&pixels, luma);
    photo_measure(luma, pixels.width, pixels.height, &photo->measures);
    free(luma);
    g_free((void *)(uintptr_t)pixels.bytes);
    judge(photo);
    return 0;
}

/* --- ENHANCE and OCR ----------------------------------------------------------------------------- */

static bool is_chosen(int choice, bool needed) {
    return choice == PHOTO_ON || (choice == PHOTO_AUTO && needed);
}

static int enhance(struct photo *photo,
                   VipsImage *(*apply)(struct processor_context *context, VipsImage *image)) {
    return replace(photo, apply(photo->context, g_object_ref(photo->image))) != 0 ? -1 : settle(photo);
}

static int stage_enhance(struct photo *photo) {
    photo->denoised = is_chosen(photo->order.denoise, photo->measures.noise > NOISY);
    photo->equalized = is_chosen(photo->order.clahe, photo->measures.contrast < FLAT);
    if (photo->denoised && enhance(photo, photo_denoise) != 0)
        return -1;
    return photo->equalized ? enhance(photo, photo_clahe) : 0;
}

/* All of the picture, at a size that small print can be read at: the photo itself may be too small for that. */
static int decode_for_text(struct photo *photo, struct pixels *pixels) {
    struct processor_context *context = photo->context;
    double share = fmin(1, sqrt(TEXT_PIXELS / ((double)photo->header.width * photo->header.height)));
    VipsImage *image = image_decode(context, &photo->header, rounded(photo->header.width * share, 1, INT_MAX),
                                    rounded(photo->header.height * share, 1, INT_MAX));
    int status;

    image = image == NULL ? NULL : image_flatten(context, image, photo->order.schema.background);
    status = image == NULL ? -1 : image_pixels(context, image, pixels);
    if (image != NULL)
        g_object_unref(image);
    return status;
}

static int stage_ocr(struct photo *photo) {
    struct pixels pixels = {0};
    int status;

    if (!photo->order.ocr) {
        warn(photo, "OCR skipped", 0);
        return 0;
    }
    status = decode_for_text(photo, &pixels);
    if (status == 0)
        status = photo_text_read(photo->context, &pixels, &photo->text);
    g_free((void *)(uintptr_t)pixels.bytes);
    if (status != 0)
        return -1;
    processor_fact(photo->context, -1, "ocr_confidence_percent", (uint64_t)(photo->text.confidence * 100 + 0.5));
    processor_fact(photo->context, -1, "ocr_words", photo->text.words);
    if (photo->text.confidence < LOW_CONFIDENCE)
        warn(photo, "Low OCR confidence: %.2f", photo->text.confidence);
    return 0;
}

/* --- SCHEMA -------------------------------------------------------------------------------------- */

static int resize(struct photo *photo, struct pixels *pixels) {
    const struct photo_schema *schema = &photo->order.schema;
    VipsImage *exact = NULL;

    if (vips_thumbnail_image(photo->image, &exact, schema->width, "height", schema->height, "size",
                             VIPS_SIZE_FORCE, NULL) != 0)
        return image_fail(photo->context);
    if (replace(photo, exact) != 0 || image_pixels(photo->context, exact, pixels) != 0)
        return -1;
    if (pixels->width != schema->width || pixels->height != schema->height || pixels->alpha)
        return processor_fail(photo->context, "SCHEMA_FAILED", "%d x %d pixels came out", pixels->width,
                              pixels->height);
    return 0;
}

static int stage_schema(struct photo *photo) {
    const struct photo_schema *schema = &photo->order.schema;
    struct pixels pixels = {0};
    int output = schema->format, status;

    if (resize(photo, &pixels) != 0)
        return -1;
    status = photo_fit(photo->context, schema, &pixels, &photo->fit);
    g_free((void *)(uintptr_t)pixels.bytes);
    if (status != 0)
        return -1;
    if (photo->fit.padding_bytes > 0)
        warn(photo, "Padded by %.0f bytes to reach the least size", (double)photo->fit.padding_bytes);
    if (photo->context->outputs[output] < 0)
        return 0;
    processor_fact(photo->context, output, "width", (uint64_t)schema->width);
    processor_fact(photo->context, output, "height", (uint64_t)schema->height);
    processor_fact(photo->context, output, "dpi", (uint64_t)schema->dpi);
    processor_fact(photo->context, output, "quality", (uint64_t)photo->fit.quality);
    const char *name = photo->order.filename[0] != '\0' ? photo->order.filename : "photo";
    return deliver(photo, (size_t)output, name, photo->fit.encoded.bytes, photo->fit.encoded.size);
}

/* --- the proof ----------------------------------------------------------------------------------- */

static json_t *real(double value) {
    return json_real(round(value * 10000) / 10000);
}

static json_t *optional(uint64_t number) {
    return number == 0 || number == UINT64_MAX ? json_null() : json_integer((json_int_t)number);
}

static json_t *describe_photo(const struct photo *photo) {
    const struct photo_schema *schema = &photo->order.schema;
    const struct photo_fit *fit = &photo->fit;

    return json_pack(
        "{ss si si si sI so ss so si sI}", "format", photo_format_names[schema->format], "width",
        schema->width, "height", schema->height, "dpi", schema->dpi, "bytes", (json_int_t)fit->encoded.size,
        "quality_used", optional((uint64_t)fit->quality), "chroma",
        fit->quality == 0 || fit->quality >= JPEG_FULL_CHROMA_QUALITY ? "4:4:4" : "4:2:0", "ssim",
        real(fit->ssim), "encodings", fit->encodings, "padding_bytes", (json_int_t)fit->padding_bytes);
}

static json_t *describe_schema(const struct photo *photo) {
    const struct photo_schema *schema = &photo->order.schema;

    return json_pack("{ss si si si so so so so ss}", "name", schema->name, "target_width", schema->width,
                     "target_height", schema->height, "target_dpi", schema->dpi, "min_kb",
                     optional((uint64_t)schema->min_kb), "max_kb", optional((uint64_t)schema->max_kb),
                     "min_bytes", optional(photo->fit.min_bytes), "max_bytes", optional(photo->fit.max_bytes),
                     "output_format", photo_format_names[schema->format]);
}

static json_t *describe_text(const struct photo_text *text) {
    return text->read ? json_pack("{ss so sI sI}", "state", "done", "confidence", real(text->confidence), "words",
                                  (json_int_t)text->words, "characters", (json_int_t)text->characters)
                      : json_pack("{ss}", "state", "skipped");
}

static json_t *describe_stages(const struct photo *photo) {
    const struct photo_measures *measures = &photo->measures;
    json_t *decode =
        json_pack("{si si ss so}", "source_width", photo->header.width, "source_height", photo->header.height,
                  "crop", photo_crop_names[photo->order.crop], "enlarged", real(photo->enlarged));
    json_t *quality =
        json_pack("{so so so so so so}", "sharpness", real(measures->sharpness), "brightness",
                  real(measures->brightness), "contrast", real(measures->contrast), "dark",
                  real(measures->dark), "bright", real(measures->bright), "noise", real(measures->noise));
    json_t *enhanced =
        json_pack("{sb sb sb}", "orientation", 1, "denoise", photo->denoised, "clahe", photo->equalized);

    return json_pack("{so so so so so}", "decode", decode, "quality", quality, "enhance", enhanced, "ocr",
                     describe_text(&photo->text), "schema", describe_photo(photo));
}

static int write_proof(struct photo *photo) {
    json_t *proof =
        json_pack("{ss so sO so so so}", "status", "success", "quality_score", real(photo->measures.score),
                  "warnings", photo->warnings, "photo", describe_photo(photo), "schema",
                  describe_schema(photo), "stages", describe_stages(photo));
    char *text = json_dumps(proof, JSON_COMPACT | JSON_REAL_PRECISION(8));
    int status;

    json_decref(proof);
    if (text == NULL)
        return processor_fail(photo->context, "memory_limit", "no memory for the proof");
    status = deliver(photo, OUTPUT_PROOF, "proof.json", text, strlen(text));
    free(text);
    return status;
}

/* --- the preview --------------------------------------------------------------------------------- */

/* What was written, small, for a page that lists documents; a row without such an output wants none. */
static int write_preview(struct photo *photo) {
    struct processor_context *context = photo->context;
    struct encoded encoded = {0};
    struct pixels pixels;
    int status;

    if (!has_output(photo, OUTPUT_PREVIEW))
        return 0;
    VipsImage *small = image_shrink(context, photo->image, PREVIEW_SIDE);
    if (small == NULL || image_pixels(context, small, &pixels) != 0)
        return -1;
    g_object_unref(small);
    status = jpeg_encode(context, &pixels, PREVIEW_QUALITY, 0, &encoded);
    g_free((void *)(uintptr_t)pixels.bytes);
    if (status == 0) {
        processor_fact(context, OUTPUT_PREVIEW, "width", (uint64_t)pixels.width);
        processor_fact(context, OUTPUT_PREVIEW, "height", (uint64_t)pixels.height);
        status = deliver(photo, OUTPUT_PREVIEW, "preview.jpg", encoded.bytes, encoded.size);
    }
    free(encoded.bytes);
    return status;
}

/* --- stages -------------------------------------------------------------------------------------- */

/* In the schema stage the picture is upright pixels in memory, its target is of 1 to 3000 pixels a side, and
 * what contradicts itself was refused with the order: only the engine's own failure is left to be
 * SCHEMA_FAILED. Limits keep their codes; `filemill run --contract` has no other code for those of this
 * stage. */
static const struct stage {
    const char *name;
    int (*run)(struct photo *photo);
    const char *failure; /* the code for what is wrong with the document or the engine; NULL: as it is */
    const char *metric;
} stages[] = {
    {"decode", stage_decode, "DECODE_FAILED", "decode_ms"}, {"quality", stage_quality, NULL, "quality_ms"},
    {"enhance", stage_enhance, NULL, "enhance_ms"},         {"ocr", stage_ocr, "OCR_FAILED", "ocr_ms"},
    {"schema", stage_schema, "SCHEMA_FAILED", "schema_ms"},
};
#define STAGE_COUNT (sizeof stages / sizeof stages[0])

/* The stage goes before the detail, and its code in place of a general one. */
static int fail_in(struct processor_context *context, const struct stage *stage) {
    static const char *const general[] = {"bad_input", "unsupported_input", "unsupported_language",
                                          "engine_failed"};
    char detail[PROCESSOR_DETAIL_SIZE];

    for (size_t i = 0; stage->failure != NULL && i < sizeof general / sizeof general[0]; i++) {
        if (strcmp(context->error, general[i]) == 0) {
            context->error = stage->failure;
            break;
        }
    }
    (void)text_format(detail, sizeof detail, "%s: %s", stage->name, context->detail);
    (void)text_copy(context->detail, sizeof context->detail, detail);
    return -1;
}

static int run_stages(struct photo *photo) {
    for (size_t i = 0; i < STAGE_COUNT; i++) {
        int64_t started_ms = clock_monotonic_ms();
        if (stages[i].run(photo) != 0)
            return fail_in(photo->context, &stages[i]);
        processor_fact(photo->context, -1, stages[i].metric, (uint64_t)(clock_monotonic_ms() - started_ms));
        processor_progress(photo->context, i + 1, STAGE_COUNT);
    }
    processor_fact(photo->context, -1, "quality_score_percent",
                   (uint64_t)(photo->measures.score * 100 + 0.5));
    if (write_preview(photo) != 0)
        return -1;
    if (photo->context->outputs[OUTPUT_PROOF] >= 0 && write_proof(photo) != 0)
        return -1;
    if (!has_output(photo, OUTPUT_ZIP))
        return 0;
    processor_fact(photo->context, OUTPUT_ZIP, "entries", photo->zip.count);
    return zip_end(&photo->zip);
}

static int run(struct processor_context *context) {
    struct photo photo = {.context = context};
    int status;

    if (photo_order_read(context, &photo.order) != 0)
        return -1;
    photo.warnings = json_array();
    zip_begin(&photo.zip, write_zip, context);
    status = run_stages(&photo);
    json_decref(photo.warnings);
    if (photo.image != NULL)
        g_object_unref(photo.image);
    free(photo.fit.encoded.bytes);
    return status;
}

const struct processor processor_portal_photo = {.name = "portal_photo",
                                                 .warm = image_warm,
                                                 .warm_first = photo_text_warm,
                                                 .run = run,
                                                 .engines = {engine_vips}};
const struct processor processor_portal_document = {.name = "portal_document",
                                                    .warm = image_warm,
                                                    .warm_first = photo_text_warm,
                                                    .run = run};
