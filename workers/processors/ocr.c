/* SPDX-License-Identifier: MIT
 * Reading pictures and PDF pages. Pages are drawn, levelled, read and written one after the other; a page that
 * fails leaves the rest as they are, is counted (`pages_failed`) and listed in the JSON. Memory holds one page
 * and what the searchable PDF keeps of it. */
#include <inttypes.h>
#include <leptonica/allheaders.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workers/processors/image.h"
#include "workers/processors/ocr.h"
#include "workers/processors/ocr_pdf.h"
#include "workers/processors/ocr_scan.h"
#include "workers/processors/pdf.h"

#define DEFAULT_DPI 300
#define LEAST_DPI 10
#define POINTS_PER_INCH 72.0
#define MM_PER_INCH 25.4
#define SCREEN_DPI 96
#define LONGEST_POINTS 842.0 /* of a picture without a resolution: A4 */
#define FAILED_MAX_BYTES (1u << 20)

struct reading {
    struct processor_context *context;
    struct ocr_order order;
    struct ocr_pdf *searchable; /* NULL: not wanted, or not possible */
    struct buffer failed;       /* numbers of pages, comma separated */
    uint64_t pages_total, pages_done, pages_failed, pages_turned, pages_levelled;
    uint64_t words, characters;
    double confidence; /* of all characters, summed */
};

static const char *const status_words[] = {
    [OCR_READ] = NULL, [OCR_FAILED] = "unreadable", [OCR_TOO_LONG] = "timeout", [OCR_NO_MEMORY] = "memory"};

/* --- pages ----------------------------------------------------------------------------------------------- */

static void note_page(struct reading *reading, const struct ocr_page *page) {
    if (page->error != NULL) {
        (void)buffer_append_format(&reading->failed, "%s%d", reading->failed.size == 0 ? "" : ",", page->number);
        reading->pages_failed++;
    }
    reading->words += page->words;
    reading->characters += page->characters;
    reading->confidence += page->confidence * (double)page->characters;
    reading->pages_turned += page->turn.rotation != 0;
    reading->pages_levelled += page->turn.skew != 0;
}

/* Takes the picture (NULL: the page could not be drawn). */
static int read_page(struct reading *reading, PIX *picture, struct ocr_page *page, int index) {
    struct processor_context *context = reading->context;
    enum ocr_status status = picture == NULL ? OCR_FAILED : ocr_engine_read(picture, page);

    pixDestroy(&picture);
    if (status == OCR_NO_MEMORY)
        return processor_fail(context, "memory_limit", "no memory left on page %d", page->number);
    page->error = status_words[status];
    if (page->error != NULL)
        ocr_page_clear(page);
    note_page(reading, page);
    if (page->error == NULL && reading->searchable != NULL &&
        ocr_pdf_add_text(reading->searchable, index, page) != 0) {
        reading->searchable = NULL; /* the document defeats qpdf: said by a fact */
    }
    if (ocr_formats_page(context, &reading->order, page, reading->pages_done == 0) != 0)
        return -1;
    ocr_page_clear(page);
    processor_progress(context, ++reading->pages_done, reading->pages_total);
    return 0;
}

/* --- pictures -------------------------------------------------------------------------------------------- */

static uint64_t pixel_cap(const struct processor_context *context) {
    return context->pixels != 0 && context->pixels < OCR_PAGE_PIXELS ? context->pixels : OCR_PAGE_PIXELS;
}

static PIX *gray_of(const struct pixels *pixels) {
    size_t count = (size_t)pixels->width * (size_t)pixels->height;
    unsigned char *gray = malloc(count);
    PIX *picture;

    if (gray == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) { /* Rec. 601 */
        const unsigned char *at = pixels->bytes + i * 3;
        gray[i] = (unsigned char)((at[0] * 77u + at[1] * 150u + at[2] * 29u + 128) >> 8);
    }
    picture = ocr_picture(gray, pixels->width, pixels->height, (size_t)pixels->width);
    free(gray);
    return picture;
}

/* What the file says of itself, where that can be true; 0: unknown. */
static int file_dpi(const struct processor_context *context, int *orientation) {
    VipsImage *image = vips_image_new_from_buffer(context->input, context->input_size, "", NULL);
    double dpi = image == NULL ? 0 : image->Xres * MM_PER_INCH;

    *orientation = image == NULL ? 1 : vips_image_get_orientation(image);
    if (image != NULL)
        g_object_unref(image);
    return dpi >= 70 && dpi <= 2400 ? (int)lround(dpi) : 0;
}

static int add_scan(struct reading *reading, const struct pixels *pixels, int orientation, int dpi) {
    struct processor_context *context = reading->context;
    struct ocr_scan_memory *memory = calloc(1, sizeof *memory); /* kept until the PDF is written */
    struct ocr_scan scan;
    double scale;
    int longest = pixels->width > pixels->height ? pixels->width : pixels->height;

    if (memory == NULL ||
        (!ocr_scan_of_file(context->mime, context->input, context->input_size, orientation, &scan, memory) &&
         ocr_scan_of_pixels(pixels, &scan, memory) != 0))
        return processor_fail(context, "memory_limit", "no memory left for the PDF");
    scale = POINTS_PER_INCH / (dpi == 0 ? SCREEN_DPI : dpi);
    if (dpi == 0 && longest * scale > LONGEST_POINTS)
        scale = LONGEST_POINTS / longest;
    return ocr_pdf_add_scan(reading->searchable, &scan, pixels->width * scale, pixels->height * scale);
}

/* Upright pixels without alpha, as many as may be read. */
static int decode(struct processor_context *context, struct pixels *pixels, double *shrunk) {
    static const unsigned char white[3] = {255, 255, 255};
    struct image_header header;
    VipsImage *image;
    double share;
    int status;

    if (image_check(context, false, &header) != 0)
        return -1;
    share = sqrt((double)pixel_cap(context) / ((double)header.width * header.height));
    *shrunk = share < 1 ? share : 1;
    image = image_decode(context, &header, (int)fmax(1, header.width * *shrunk),
                         (int)fmax(1, header.height * *shrunk));
    image = image == NULL ? NULL : image_flatten(context, image, white);
    status = image == NULL ? -1 : image_pixels(context, image, pixels);
    if (image != NULL)
        g_object_unref(image);
    return status;
}

static int read_picture(struct reading *reading) {
    struct processor_context *context = reading->context;
    struct ocr_page page = {.number = 1};
    struct pixels pixels;
    double shrunk;
    int orientation, dpi;
    PIX *picture;

    if (decode(context, &pixels, &shrunk) != 0)
        return -1;
    dpi = file_dpi(context, &orientation);
    dpi = reading->order.dpi != 0 ? reading->order.dpi : dpi;
    page.dpi = (int)lround(dpi * shrunk);
    page.turn.page_width = pixels.width;
    page.turn.page_height = pixels.height;
    reading->pages_total = context->page_count = 1;
    processor_progress(context, 0, 1);
    if (reading->order.wanted[OCR_PDF]) {
        reading->searchable = ocr_pdf_new();
        if (reading->searchable != NULL && add_scan(reading, &pixels, orientation, page.dpi) != 0)
            reading->searchable = NULL;
    }
    picture = gray_of(&pixels);
    g_free((void *)(uintptr_t)pixels.bytes);
    if (picture == NULL)
        return processor_fail(context, "memory_limit", "no memory left");
    return read_page(reading, picture, &page, 0);
}

/* --- PDFs ------------------------------------------------------------------------------------------------ */

/* As many dots per inch as asked for, as long as the page stays under the cap. 0: not a page to draw. */
static double page_dpi(const struct reading *reading, const struct pdf_page_info *facts) {
    double inches = facts->width / POINTS_PER_INCH * (facts->height / POINTS_PER_INCH);
    double dpi = reading->order.dpi == 0 ? DEFAULT_DPI : reading->order.dpi;
    double most = inches > 0 ? sqrt((double)pixel_cap(reading->context) / inches) : 0;

    dpi = dpi < most ? dpi : floor(most);
    return dpi >= LEAST_DPI ? dpi : 0;
}

static PIX *draw_page(struct reading *reading, struct pdf *pdf, int index, struct ocr_page *page) {
    struct pdf_page_info facts = {0};
    struct pdf_bitmap bitmap = {0};
    enum pdf_status status = pdf_page_facts(pdf, index, &facts);
    double dpi = status == PDF_OK ? page_dpi(reading, &facts) : 0;
    PIX *picture = NULL;

    free(facts.label);
    if (dpi > 0 && pdf_page_draw_gray(pdf, index, dpi, &bitmap) == PDF_OK) {
        picture = ocr_picture(bitmap.pixels, bitmap.width, bitmap.height, bitmap.stride);
        page->dpi = (int)dpi;
        page->turn.page_width = bitmap.width;
        page->turn.page_height = bitmap.height;
    }
    free(bitmap.pixels);
    return picture;
}

static int read_pages(struct reading *reading, struct pdf *pdf, int count) {
    for (int index = 0; index < count; index++) {
        struct ocr_page page = {.number = index + 1};
        if (!ocr_order_has(&reading->order, index))
            continue;
        if (read_page(reading, draw_page(reading, pdf, index, &page), &page, index) != 0)
            return -1;
    }
    return 0;
}

static int read_pdf(struct reading *reading) {
    struct processor_context *context = reading->context;
    enum pdf_status status;
    struct pdf *pdf = pdf_open(context->input, context->input_size, &status);
    int count = pdf == NULL ? 0 : pdf_page_count(pdf);

    if (pdf == NULL && status == PDF_LOCKED)
        return processor_fail(context, "password_required", "the document is encrypted");
    if (count <= 0)
        return processor_fail(context, status == PDF_NO_MEMORY ? "memory_limit" : "bad_input",
                              "not a readable PDF");
    for (int index = 0; index < count; index++)
        reading->pages_total += ocr_order_has(&reading->order, index);
    if (reading->pages_total == 0)
        return processor_fail(context, "bad_parameters", "pages: the document has %d", count);
    if (context->pages != 0 && reading->pages_total > context->pages)
        return processor_fail(context, "too_many_pages", "%" PRIu64 " pages, %" PRIu64 " allowed",
                              reading->pages_total, context->pages);
    context->page_count = reading->pages_total;
    processor_progress(context, 0, reading->pages_total);
    if (reading->order.wanted[OCR_PDF])
        reading->searchable = ocr_pdf_open(context->input, context->input_size);
    if (reading->searchable != NULL && ocr_pdf_page_count(reading->searchable) != count)
        reading->searchable = NULL; /* the two read the document differently */
    return read_pages(reading, pdf, count);
}

/* --- the document ---------------------------------------------------------------------------------------- */

static int put(void *context, const void *bytes, size_t size) {
    return processor_write(context, OCR_PDF, bytes, size);
}

static void note_document(struct reading *reading) {
    struct processor_context *context = reading->context;
    double characters = (double)reading->characters;

    processor_fact(context, -1, "pages_failed", reading->pages_failed);
    processor_fact(context, -1, "partial", reading->pages_failed > 0);
    processor_fact(context, -1, "pages_turned", reading->pages_turned);
    processor_fact(context, -1, "pages_levelled", reading->pages_levelled);
    processor_fact(context, -1, "confidence", characters > 0 ? (uint64_t)(reading->confidence / characters) : 0);
    processor_fact(context, -1, "words", reading->words);
    for (int i = 0; i < OCR_OUTPUT_COUNT; i++) {
        if (reading->order.wanted[i] && (i != OCR_PDF || reading->searchable != NULL))
            processor_fact(context, i, "pages", reading->pages_done);
    }
    if (reading->order.wanted[OCR_TEXT])
        processor_fact(context, OCR_TEXT, "characters", reading->characters);
}

static int finish(struct reading *reading) {
    struct processor_context *context = reading->context;

    if (reading->pages_failed == reading->pages_done)
        return processor_fail(context, "bad_input", "none of %" PRIu64 " pages could be read",
                              reading->pages_done);
    if (ocr_formats_end(context, &reading->order, &reading->failed) != 0)
        return -1;
    if (reading->searchable != NULL && ocr_pdf_write(reading->searchable, put, context) != 0) {
        if (context->error != NULL || context->written[OCR_PDF] > 0)
            return processor_fail(context, "engine_failed", "the searchable PDF broke off");
        reading->searchable = NULL;
    }
    if (reading->order.wanted[OCR_PDF])
        processor_fact(context, -1, "pdf_failed", reading->searchable == NULL);
    note_document(reading);
    return 0;
}

static int run(struct processor_context *context) {
    struct reading reading = {.context = context};
    int status;

    ocr_pdf_guard_memory();
    buffer_init(&reading.failed, FAILED_MAX_BYTES);
    if (ocr_order_read(context, &reading.order) != 0 ||
        ocr_engine_choose(context, reading.order.languages) != 0 ||
        ocr_formats_begin(context, &reading.order) != 0)
        return -1;
    status = strcmp(context->mime, "application/pdf") == 0 ? read_pdf(&reading) : read_picture(&reading);
    /* Nothing is freed: the process ends with the document. */
    return status == 0 ? finish(&reading) : -1;
}

/* PDFs are warmed by extract_pdf. */
static int warm(void) {
    return image_warm() == 0 && ocr_engine_warm() == 0 ? ocr_pdf_warm() : -1;
}

const struct processor processor_ocr = {.name = "ocr", .warm = warm, .run = run};
