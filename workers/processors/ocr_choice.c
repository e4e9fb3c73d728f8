/* SPDX-License-Identifier: MIT
 * Which pages are read in this run, and how: all at once, a range of them for a run that joins, what ranges have
 * read, or none yet, because the document is to be cut. */
#include <inttypes.h>
#include <stdlib.h>

#include "workers/processors/ocr.h"
#include "workers/processors/ocr_ranges.h"
#include "workers/processors/pdf.h"
#include "workers/processors/pdf_grader.h"

static bool needs_reading(struct pdf *pdf, struct pdf_grader *grader, int page) {
    char *text = NULL;
    size_t size = 0;
    enum pdf_status status = pdf_page_text(pdf, page, PDF_ORDER_RAW, &text, &size);
    struct pdf_grade grade = pdf_grader_page(grader, page, status == PDF_OK ? text : NULL, size);

    free(text);
    return grade.needs_ocr;
}

static void choose(const struct processor_context *context, const struct ocr_order *order, struct pdf *pdf,
                   struct ocr_choice *choice) {
    struct pdf_grader grader = {.bytes = context->input, .size = context->input_size};

    for (int page = 0; page < choice->count; page++) {
        bool in_range = order->range_last == 0 || (page + 1 >= order->range_first && page + 1 <= order->range_last);
        if (!in_range || !ocr_order_has(order, page) ||
            (order->needed && pdf != NULL && !needs_reading(pdf, &grader, page)))
            continue;
        choice->pages[page / 8] |= (unsigned char)(1u << (page % 8));
        choice->total++;
    }
}

static void decide(struct processor_context *context, const struct ocr_order *order, struct ocr_choice *choice) {
    const struct ocr_ranges rule = {.pages = context->range_pages, .most = context->ranges};
    char text[PROCESSOR_SPLIT_SIZE];

    choice->way = context->joins ? OCR_JOIN : order->range_last > 0 ? OCR_PART : OCR_WHOLE;
    if (choice->way != OCR_WHOLE || rule.pages == 0 || choice->total <= rule.pages ||
        ocr_ranges_cut(&rule, choice->pages, choice->count, text, sizeof text) != 0)
        return;
    processor_split(context, text);
    choice->way = OCR_CUT;
}

int ocr_choose(struct processor_context *context, const struct ocr_order *order, struct pdf *pdf, int count,
               struct ocr_choice *choice) {
    *choice = (struct ocr_choice){.count = count, .pages = calloc((size_t)count / 8 + 1, 1)};
    if (choice->pages == NULL)
        return processor_fail(context, "memory_limit", "no memory left");
    choose(context, order, pdf, choice);
    if (choice->total == 0 && !order->needed && order->range_last == 0)
        return processor_fail(context, "bad_parameters", "pages: the document has %d", count);
    if (context->pages != 0 && choice->total > context->pages)
        return processor_fail(context, "too_many_pages", "%" PRIu64 " pages, %" PRIu64 " allowed", choice->total,
                              context->pages);
    decide(context, order, choice);
    context->page_count = choice->total;
    processor_progress(context, choice->way == OCR_JOIN ? choice->total : 0, choice->total);
    return 0;
}

bool ocr_choice_has(const struct ocr_choice *choice, int page) {
    return (choice->pages[page / 8] >> (page % 8) & 1) != 0;
}
