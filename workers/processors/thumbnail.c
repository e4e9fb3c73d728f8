/* SPDX-License-Identifier: MIT
 * Small pictures: `thumbnail` (fits 400 px) and `display` (fits 1600 px; of pictures, not of PDFs), as WebP
 * in sRGB, upright, never enlarged, without metadata: the pixels are handed to the encoder, nothing else is.
 */
#include <string.h>

#include "workers/processor.h"
#include "workers/processors/engines.h"
#include "workers/processors/image.h"
#include "workers/processors/pdf_input.h"
#include "workers/processors/webp.h"

/* In the order of the row's outputs. */
static const struct size {
    int pixels;
    bool of_documents;
} sizes[] = {{.pixels = 400, .of_documents = true}, {.pixels = 1600}};
#define SIZE_COUNT (sizeof sizes / sizeof sizes[0])

static int write_image(struct processor_context *context, int output, VipsImage *image) {
    struct pixels pixels;
    int status;

    if (image_pixels(context, image, &pixels) != 0)
        return -1;
    status = webp_write(context, output, &pixels, WEBP_QUALITY);
    g_free((void *)(uintptr_t)pixels.bytes);
    processor_fact(context, output, "width", (uint64_t)pixels.width);
    processor_fact(context, output, "height", (uint64_t)pixels.height);
    return status;
}

static int draw_image(struct processor_context *context) {
    struct image_header header;

    if (image_check(context, false, &header) != 0)
        return -1;
    for (size_t i = 0; i < SIZE_COUNT && i < context->row->output_count; i++) {
        if (context->outputs[i] < 0)
            continue;
        VipsImage *image = image_decode(context, &header, sizes[i].pixels, sizes[i].pixels);
        if (image == NULL)
            return -1;
        int status = write_image(context, (int)i, image);
        g_object_unref(image);
        if (status != 0)
            return -1;
        processor_progress(context, i + 1, SIZE_COUNT);
    }
    return 0;
}

/* --- PDFs ---------------------------------------------------------------------------------------- */

static int draw_page(struct processor_context *context, struct pdf *pdf, int output, int pixels) {
    struct pdf_bitmap bitmap = {0};
    enum pdf_status status = pdf_page_fit(pdf, 0, pixels, &bitmap);

    if (status != PDF_OK)
        return processor_fail(context, status == PDF_NO_MEMORY ? "memory_limit" : "bad_input",
                              "the first page can't be drawn");
    struct pixels drawn = {.width = bitmap.width, .height = bitmap.height, .bytes = bitmap.pixels};
    processor_fact(context, output, "width", (uint64_t)bitmap.width);
    processor_fact(context, output, "height", (uint64_t)bitmap.height);
    return webp_write(context, output, &drawn, WEBP_QUALITY);
}

static int draw_pdf(struct processor_context *context) {
    struct pdf *pdf = pdf_input_open(context);

    if (pdf == NULL)
        return -1;
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

/* PDFs are warmed by extract_pdf. */
static int warm(void) {
    return image_warm() == 0 ? pdf_warm_drawing() : -1;
}

const struct processor processor_thumbnail = {
    .name = "thumbnail", .warm = warm, .run = run, .engines = {engine_vips, engine_poppler}};
