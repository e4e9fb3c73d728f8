/* SPDX-License-Identifier: MIT
 * The parts of ocr: what is asked (ocr_order.c), which pages that means (ocr_choice.c, ocr_ranges.c),
 * turning a picture upright and level (ocr_level.c), reading it
 * (ocr_engine.c), what was read in six forms (ocr_formats.c), and the searchable PDF (ocr_pdf.cc with
 * ocr_scan.c). One recognition feeds all of them. A long document is read in ranges by several runs that keep the
 * pages (ocr_store.c) for one that joins them: what it makes is what a single run would have made. */
#ifndef WORKERS_PROCESSORS_OCR_H
#define WORKERS_PROCESSORS_OCR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buffer.h"
#include "workers/processor.h"
#include "workers/processors/ocr_page.h"

struct Pix; /* of leptonica */

/* In the order of the row's outputs. */
enum ocr_output { OCR_TEXT, OCR_JSON, OCR_HOCR, OCR_ALTO, OCR_TSV, OCR_PDF, OCR_OUTPUT_COUNT };
#define OCR_RANGE OCR_OUTPUT_COUNT /* the part that a range makes */

#define OCR_LANGUAGES_SIZE 128
#define OCR_MAX_PAGES 100000
#define OCR_PAGE_PIXELS 40000000 /* of one page as it is read */

/* --- ocr_order.c ---------------------------------------------------------------------------------------- */

struct ocr_order {
    char languages[OCR_LANGUAGES_SIZE]; /* "eng+deu"; "" for the default */
    int dpi;                            /* 0: 300 for PDFs, the file's own for pictures */
    bool wanted[OCR_OUTPUT_COUNT];
    unsigned char *pages; /* one bit per page from 0; NULL: all */
    bool needed;          /* of these, only pages of a PDF that have no text of their own, or none of use */
    int range_first, range_last; /* from 1; 0: not one range but the whole */
};

/* From the context's parameters. 0, or -1 after processor_fail. */
int ocr_order_read(struct processor_context *context, struct ocr_order *order);
bool ocr_order_has(const struct ocr_order *order, int page);

/* --- ocr_choice.c --------------------------------------------------------------------------------------- */

enum ocr_way {
    OCR_WHOLE, /* read, and make the outputs */
    OCR_CUT,   /* neither: the context has the ranges */
    OCR_PART,  /* read, and keep the pages */
    OCR_JOIN,  /* make the outputs of kept pages */
};

struct ocr_choice {
    unsigned char *pages; /* one bit per page from 0 */
    int count;            /* of the document */
    uint64_t total;       /* to be read */
    enum ocr_way way;
};

struct pdf;
/* `pdf` NULL: pictures. 0, or -1 after processor_fail. */
int ocr_choose(struct processor_context *context, const struct ocr_order *order, struct pdf *pdf, int count,
               struct ocr_choice *choice);
bool ocr_choice_has(const struct ocr_choice *choice, int page);

/* --- what was read (ocr_page.h) -------------------------------------------------------------------------- */

void ocr_page_clear(struct ocr_page *page);

/* --- ocr_level.c ---------------------------------------------------------------------------------------- */

/* A gray picture out of bytes; NULL when there is no memory. */
struct Pix *ocr_picture(const unsigned char *gray, int width, int height, size_t stride);
/* A new picture turned clockwise by `rotation` and then levelled, where a skew above 0.3 degrees is certain;
 * `turn` says what was done. NULL when there is no memory. */
struct Pix *ocr_level(struct Pix *picture, int rotation, struct ocr_turn *turn);
struct ocr_box ocr_turn_box_back(const struct ocr_turn *turn, const struct ocr_box *box);

/* --- ocr_engine.c: the only user of tesseract ----------------------------------------------------------- */

/* In the nursery: the default languages, once. */
int ocr_engine_warm(void);
/* Languages "eng+deu", or "" for the default. 0, or -1 after processor_fail (unsupported_language). */
int ocr_engine_choose(struct processor_context *context, const char *languages);
const char *ocr_engine_languages(void);

enum ocr_status { OCR_READ, OCR_FAILED, OCR_TOO_LONG, OCR_NO_MEMORY, OCR_RANGE_FAILED, OCR_STATUS_COUNT };

/* As in a page's `error`: NULL for OCR_READ. */
const char *ocr_status_word(enum ocr_status status);
int ocr_status_of(const char *word);

/* Reads a picture: fills everything of the page but number and dpi (which it takes, 0 for unknown). */
enum ocr_status ocr_engine_read(struct Pix *picture, struct ocr_page *page);

/* --- ocr_formats.c -------------------------------------------------------------------------------------- */

/* Each appends to the outputs that are wanted. 0, or -1 after processor_fail. */
int ocr_formats_begin(struct processor_context *context, const struct ocr_order *order);
int ocr_formats_page(struct processor_context *context, const struct ocr_order *order,
                     const struct ocr_page *page, bool first);
int ocr_formats_end(struct processor_context *context, const struct ocr_order *order,
                    const struct buffer *failed_pages);

#endif
