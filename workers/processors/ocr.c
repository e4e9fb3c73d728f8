/* SPDX-License-Identifier: MIT
 * Reading pictures and PDF pages. Pages are drawn, levelled, read and written one after the other; a page that
 * fails leaves the rest as they are, is counted (`pages_failed`) and listed in the JSON. Memory holds one page
 * and what the searchable PDF keeps of it. A run may also keep the pages of one range for another run, or join what
 * such runs have kept (ocr.h). */
#include <inttypes.h>
#include <leptonica/allheaders.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/text.h"
#include "workers/processors/engines.h"
#include "workers/processors/image.h"
#include "workers/processors/ocr.h"
#include "workers/processors/ocr_pdf.h"
#include "workers/processors/ocr_scan.h"
#include "workers/processors/ocr_store.h"
#include "workers/processors/pdf_input.h"

#define DEFAULT_DPI 300
#define LEAST_DPI 10
#define POINTS_PER_INCH 72.0
#define MM_PER_INCH 25.4
#define LEAST_FILE_DPI 70 /* less is no resolution but a default of some program */
#define MOST_FILE_DPI 2400
#define SCREEN_DPI 96
#define LONGEST_POINTS 842.0 /* of a picture without a resolution: A4 */
#define FAILED_MAX_BYTES (1u << 20)

struct reading {
    struct processor_context *context;
    struct ocr_order order;
    struct ocr_choice choice;
    struct ocr_store *store;    /* what is joined; NULL: this run reads */
    struct ocr_pdf *searchable; /* NULL: not wanted, or not possible */
    struct buffer failed;       /* numbers of pages, comma separated */
    uint64_t pages_done, pages_failed, pages_turned, pages_levelled;
    uint64_t words, characters;
    double confidence; /* of all characters, summed */
};

struct picture {
    struct image_header header;
    struct pixels pixels;
    int orientation; /* EXIF, of the file */
    int dpi;         /* 0: unknown */
};

static const char *const status_words[] = {
    [OCR_READ] = NULL,          [OCR_FAILED] = "unreadable",           [OCR_TOO_LONG] = "timeout",
    [OCR_NO_MEMORY] = "memory", [OCR_RANGE_FAILED] = "range_failed",
};
_Static_assert(sizeof status_words / sizeof status_words[0] == OCR_STATUS_COUNT, "a word for each");

const char *ocr_status_word(enum ocr_status status) {
    return status_words[status];
}

int ocr_status_of(const char *word) {
    for (int status = OCR_FAILED; word != NULL && status < OCR_STATUS_COUNT; status++) {
        if (strcmp(status_words[status], word) == 0)
            return status;
    }
    return OCR_READ;
}

/* --- pages ----------------------------------------------------------------------------------------------- */

static void note_page(struct reading *reading, const struct ocr_page *page) {
    if (page->error != NULL) {
        (void)buffer_append_format(&reading->failed, "%s%d", reading->failed.size == 0 ? "" : ",", page->number);
        reading->pages_failed++;
    }
    reading->words += page->words;
    reading->characters += page->characters;
    reading->confidence += page->confidence * (double)page->characters;
    reading->pages_turned += page->turn.rotation != page->direction;
    reading->pages_levelled += page->turn.skew != 0;
}

/* Writes the page to whatever is wanted of it. */
static int give_page(struct reading *reading, struct ocr_page *page, int index) {
    struct processor_context *context = reading->context;

    note_page(reading, page);
    if (page->error == NULL && reading->searchable != NULL &&
        ocr_pdf_add_text(reading->searchable, index, page) != 0) {
        reading->searchable = NULL; /* the document defeats qpdf: said by a fact */
    }
    return ocr_formats_page(context, &reading->order, page, reading->pages_done == 0);
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
    if (reading->choice.way == OCR_PART ? ocr_store_write(context, OCR_RANGE, page) != 0
                                        : give_page(reading, page, index) != 0)
        return -1;
    ocr_page_clear(page);
    processor_progress(context, ++reading->pages_done, reading->choice.total);
    return 0;
}

/* A page that another run has read; `blank` is what is known of it without. */
static int join_page(struct reading *reading, const struct ocr_page *blank, int index) {
    struct ocr_page page = {.number = 0};
    int found = ocr_store_read(reading->context, reading->store, blank->number - 1, &page);

    if (found < 0)
        return -1;
    if (found == 0) {
        page = *blank;
        page.error = status_words[OCR_RANGE_FAILED];
    }
    if (give_page(reading, &page, index) != 0)
        return -1;
    ocr_page_clear(&page);
    reading->pages_done++;
    return 0;
}

/* Which pages, and what to make of them. 1: go on, 0: nothing to do but to cut the document; -1. */
static int begin(struct reading *reading, struct pdf *pdf, int count) {
    struct processor_context *context = reading->context;
    const struct ocr_choice *choice = &reading->choice;

    if (ocr_choose(context, &reading->order, pdf, count, &reading->choice) != 0)
        return -1;
    if (choice->way == OCR_CUT)
        return context->error == NULL ? 0 : -1;
    if (choice->way == OCR_JOIN && (reading->store = ocr_store_open(context, count)) == NULL)
        return -1;
    return choice->way == OCR_PART || ocr_formats_begin(context, &reading->order) == 0 ? 1 : -1;
}

static bool wants_pdf(const struct reading *reading) {
    return reading->order.wanted[OCR_PDF] && reading->choice.way != OCR_PART;
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
    return dpi >= LEAST_FILE_DPI && dpi <= MOST_FILE_DPI ? (int)lround(dpi) : 0;
}

/* A page of the searchable PDF; what it holds is kept until the PDF is written. */
static int add_scan(struct reading *reading, const struct picture *picture) {
    struct processor_context *context = reading->context;
    const struct pixels *pixels = &picture->pixels;
    const struct ocr_scan_file file = {.mime = context->mime,
                                       .bytes = context->input,
                                       .size = context->input_size,
                                       .page = picture->header.page,
                                       .orientation = picture->orientation};
    struct ocr_scan_memory *memory = calloc(1, sizeof *memory);
    struct ocr_scan scan;
    int longest = pixels->width > pixels->height ? pixels->width : pixels->height;
    double scale = POINTS_PER_INCH / (picture->dpi == 0 ? SCREEN_DPI : picture->dpi);

    if (memory == NULL ||
        (!ocr_scan_of_file(&file, &scan, memory) &&
         ocr_scan_of_pixels(pixels, &scan, memory) != 0))
        return -1;
    if (picture->dpi == 0 && longest * scale > LONGEST_POINTS)
        scale = LONGEST_POINTS / longest;
    return ocr_pdf_add_scan(reading->searchable, &scan, pixels->width * scale, pixels->height * scale);
}

/* Upright pixels without alpha, as many as may be read. */
static int decode(struct processor_context *context, struct picture *picture) {
    static const unsigned char white[3] = {255, 255, 255};
    const struct image_header *header = &picture->header;
    double share = sqrt((double)pixel_cap(context) / ((double)header->width * header->height));
    VipsImage *image;
    int status;

    share = share < 1 ? share : 1;
    image = image_decode(context, header, (int)fmax(1, header->width * share),
                         (int)fmax(1, header->height * share));
    image = image == NULL ? NULL : image_flatten(context, image, white);
    status = image == NULL ? -1 : image_pixels(context, image, &picture->pixels);
    if (image != NULL)
        g_object_unref(image);
    picture->dpi = (int)lround(picture->dpi * share);
    return status;
}

/* NULL after processor_fail. */
static PIX *open_picture(struct reading *reading, struct picture *picture, struct ocr_page *page) {
    PIX *gray;

    if (decode(reading->context, picture) != 0)
        return NULL;
    page->dpi = picture->dpi;
    page->turn.page_width = picture->pixels.width;
    page->turn.page_height = picture->pixels.height;
    if (reading->searchable != NULL && add_scan(reading, picture) != 0)
        reading->searchable = NULL;
    gray = gray_of(&picture->pixels);
    g_free((void *)(uintptr_t)picture->pixels.bytes);
    if (gray == NULL)
        (void)processor_fail(reading->context, "memory_limit", "no memory left");
    return gray;
}

/* One of several pages that can't be decoded is a failed page, not a failed document. */
static void forgive(struct processor_context *context) {
    context->error = NULL;
    context->detail[0] = '\0';
}

static int read_picture(struct reading *reading, struct picture picture, int index) {
    struct processor_context *context = reading->context;
    struct ocr_page page = {.number = index + 1};
    PIX *gray = NULL;

    if (index == 0 || image_check_page(context, index, &picture.header) == 0)
        gray = open_picture(reading, &picture, &page);
    if (gray == NULL && reading->choice.total == 1)
        return -1;
    if (gray == NULL)
        forgive(context);
    return read_page(reading, gray, &page,
                     reading->searchable == NULL ? 0 : ocr_pdf_page_count(reading->searchable) - 1);
}

/* Only the searchable PDF needs the picture again. */
static int join_picture(struct reading *reading, struct picture picture, int index) {
    struct processor_context *context = reading->context;
    struct ocr_page blank = {.number = index + 1};

    if (reading->searchable != NULL && (index == 0 || image_check_page(context, index, &picture.header) == 0)) {
        PIX *gray = open_picture(reading, &picture, &blank);
        pixDestroy(&gray);
    }
    forgive(context);
    return join_page(reading, &blank,
                     reading->searchable == NULL ? 0 : ocr_pdf_page_count(reading->searchable) - 1);
}

static int read_pictures(struct reading *reading) {
    struct picture first = {.dpi = 0};
    int status;

    if (image_check(reading->context, false, &first.header) != 0)
        return -1;
    status = begin(reading, NULL, first.header.pages);
    if (status <= 0)
        return status;
    first.dpi = file_dpi(reading->context, &first.orientation);
    first.dpi = reading->order.dpi != 0 ? reading->order.dpi : first.dpi;
    reading->searchable = wants_pdf(reading) ? ocr_pdf_new() : NULL;
    for (int index = 0; index < first.header.pages; index++) {
        if (ocr_choice_has(&reading->choice, index) &&
            (reading->store != NULL ? join_picture : read_picture)(reading, first, index) != 0)
            return -1;
    }
    return 0;
}

/* --- PDFs ------------------------------------------------------------------------------------------------ */

/* As many dots per inch as asked for, as long as the page stays under the cap. 0: not a page to draw. */
static double page_dpi(const struct reading *reading, const struct pdf_page_info *facts) {
    double inches = facts->width / POINTS_PER_INCH * (facts->height / POINTS_PER_INCH);
    double dpi = reading->order.dpi == 0 ? DEFAULT_DPI : reading->order.dpi;
    double most = inches > 0 ? sqrt((double)pixel_cap(reading->context) / inches) : 0;

    dpi = fmin(dpi, (double)reading->context->guards.dpi);
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

/* The size that the page would have been drawn with. */
static void measure_page(const struct reading *reading, struct pdf *pdf, int index, struct ocr_page *page) {
    struct pdf_page_info facts = {0};
    double dpi = pdf_page_facts(pdf, index, &facts) == PDF_OK ? page_dpi(reading, &facts) : 0;
    bool lies = facts.rotation % 180 != 0;

    free(facts.label);
    page->dpi = (int)dpi;
    page->turn.page_width = (int)lround((lies ? facts.height : facts.width) / POINTS_PER_INCH * dpi);
    page->turn.page_height = (int)lround((lies ? facts.width : facts.height) / POINTS_PER_INCH * dpi);
}

static int read_pages(struct reading *reading, struct pdf *pdf, int count) {
    for (int index = 0; index < count; index++) {
        struct ocr_page page = {.number = index + 1};
        int status;
        if (!ocr_choice_has(&reading->choice, index))
            continue;
        if (reading->store != NULL) {
            measure_page(reading, pdf, index, &page);
            status = join_page(reading, &page, index);
        } else {
            status = read_page(reading, draw_page(reading, pdf, index, &page), &page, index);
        }
        if (status != 0)
            return -1;
    }
    return 0;
}

static int read_pdf(struct reading *reading) {
    struct processor_context *context = reading->context;
    struct pdf *pdf = pdf_input_open(context);
    int count = pdf == NULL ? 0 : pdf_page_count(pdf);
    int goes_on;

    if (pdf == NULL)
        return -1;
    if (count <= 0)
        return pdf_input_fail(context, PDF_BROKEN);
    goes_on = begin(reading, pdf, count);
    if (goes_on <= 0)
        return goes_on;
    if (wants_pdf(reading))
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

/* "3,7-9" of "3,7,8,9": as much as there is room for, the JSON has them all. */
static void list_failed(struct reading *reading) {
    struct processor_context *context = reading->context;
    const char *at = reading->failed.size == 0 ? "" : reading->failed.data;
    size_t used = 0;

    while (*at != '\0') {
        char *end;
        long first = strtol(at, &end, 10), last = first;
        char item[32];
        while (*end == ',' && strtol(end + 1, NULL, 10) == last + 1)
            last = strtol(end + 1, &end, 10);
        (void)text_format(item, sizeof item, last == first ? "%s%ld" : "%s%ld-%ld", used == 0 ? "" : ",", first, last);
        if (text_copy(context->failed_pages + used, sizeof context->failed_pages - used, item) != 0) {
            context->failed_pages[used] = '\0';
            return;
        }
        used += strlen(item);
        at = *end == ',' ? end + 1 : end;
    }
}

/* A range makes no outputs: the run that joins says what became of the document. */
static int finish_range(struct reading *reading) {
    processor_fact(reading->context, OCR_RANGE, "pages", reading->pages_done);
    return 0;
}

static int finish(struct reading *reading) {
    struct processor_context *context = reading->context;

    if (reading->choice.way == OCR_CUT)
        return 0;
    if (reading->choice.way == OCR_PART)
        return finish_range(reading);
    if (reading->pages_done > 0 && reading->pages_failed == reading->pages_done)
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
    list_failed(reading);
    note_document(reading);
    return 0;
}

static int run(struct processor_context *context) {
    struct reading reading = {.context = context};
    int status;

    ocr_pdf_guard_memory();
    buffer_init(&reading.failed, FAILED_MAX_BYTES);
    if (ocr_order_read(context, &reading.order) != 0 ||
        ocr_engine_choose(context, reading.order.languages) != 0)
        return -1;
    status = strcmp(context->mime, "application/pdf") == 0 ? read_pdf(&reading) : read_pictures(&reading);
    /* Nothing is freed: the process ends with the document. */
    return status == 0 ? finish(&reading) : -1;
}

static int warm(void) {
    return image_warm() == 0 ? pdf_warm_drawing() : -1;
}

/* Some twenty megabytes. */
static int warm_first(void) {
    return ocr_engine_warm() == 0 ? ocr_pdf_warm() : -1;
}

const struct processor processor_ocr = {
    .name = "ocr", .warm = warm, .warm_first = warm_first, .run = run,
    .engines = {engine_tesseract, engine_poppler, engine_vips},
};
