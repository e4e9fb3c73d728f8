/* SPDX-License-Identifier: MIT
 * Text of a PDF: `pdf_text`, in raw order with a form feed after each page, the same bytes as `pdftotext
 * -raw` writes (or, if asked for, laid out as on the page); and `pdf_pages`, a JSON object with one line per
 * page: its size, rotation, label, number of characters, how good its text is and why (pdf_grade.h), and its
 * words with their boxes; then what the document says of itself. Sizes come before contents, because counting
 * pages is cheap even in a file made to burn processor time. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buffer.h"
#include "workers/processor.h"
#include "workers/processors/engines.h"
#include "workers/processors/parameters.h"
#include "workers/processors/pdf_document.h"
#include "workers/processors/pdf_grader.h"
#include "workers/processors/pdf_input.h"

#define OUTPUT_TEXT 0
#define OUTPUT_PAGES 1
#define PAGE_JSON_MAX (64u * 1024u * 1024u)

struct extraction {
    struct processor_context *context;
    struct pdf *pdf;
    enum pdf_order order;
    struct buffer json; /* of one page */
    uint64_t characters;
    uint64_t words;
    uint64_t broken_pages;
    struct pdf_grader grader;
    struct pdf_grade grade; /* of the page at hand */
    uint64_t pages_need_ocr;
};

/* --- JSON ------------------------------------------------------------------------------------------------
 */

static int add_word(void *context, const struct pdf_word *word) {
    struct extraction *extraction = context;
    struct buffer *json = &extraction->json;

    if (buffer_append_text(json, extraction->words == 0 ? "[" : ",[") != 0 ||
        pdf_json_string(json, word->text, word->size) != 0)
        return -1;
    extraction->words++;
    return buffer_append_format(json, ",%.2f,%.2f,%.2f,%.2f]", word->left, word->top, word->right,
                                word->bottom);
}

static uint64_t count_characters(const char *text, size_t size) {
    uint64_t count = 0;

    for (size_t i = 0; i < size; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80 && text[i] != '\f';
    return count;
}

/* --- one page --------------------------------------------------------------------------------------------
 */

static int write_page_json(struct extraction *extraction, int page, uint64_t characters) {
    struct buffer *json = &extraction->json;
    struct pdf_page_info facts = {0};
    enum pdf_status status = pdf_page_facts(extraction->pdf, page, &facts);
    int result = 0;

    buffer_reset(json);
    extraction->words = 0;
    result |= buffer_append_format(
        json,
        "%s\n{\"page\":%d,\"width\":%.2f,\"height\":%.2f,\"rotation\":%d,\"label\":", page == 0 ? "" : ",",
        page + 1, facts.width, facts.height, facts.rotation);
    result |= pdf_json_string(json, facts.label == NULL ? "" : facts.label,
                              facts.label == NULL ? 0 : strlen(facts.label));
    result |= buffer_append_format(json, ",\"chars\":%" PRIu64 "%s", characters,
                                   status == PDF_OK ? "" : ",\"error\":\"unreadable\"");
    result |=
        buffer_append_format(json, ",\"source\":\"%s\",\"grade\":\"%s\",\"reason\":\"%s\",\"words\":[",
                             extraction->grade.source, extraction->grade.grade, extraction->grade.reason);
    free(facts.label);
    if (status == PDF_OK && pdf_page_words(extraction->pdf, page, add_word, extraction) == PDF_NO_MEMORY)
        return pdf_input_fail(extraction->context, PDF_NO_MEMORY);
    result |= buffer_append_text(json, "]}");
    if (result != 0)
        return processor_fail(extraction->context, "output_limit", "page %d has too many words", page + 1);
    return processor_write(extraction->context, OUTPUT_PAGES, json->data, json->size);
}

static int extract_page(struct extraction *extraction, int page) {
    struct processor_context *context = extraction->context;
    char *text = NULL;
    size_t size = 0;
    enum pdf_status status = pdf_page_text(extraction->pdf, page, extraction->order, &text, &size);
    uint64_t characters = count_characters(text, size);
    int result = 0;

    if (status == PDF_NO_MEMORY)
        return pdf_input_fail(context, status);
    extraction->broken_pages += status != PDF_OK;
    extraction->grade = pdf_grader_page(&extraction->grader, page, status == PDF_OK ? text : NULL, size);
    extraction->pages_need_ocr += extraction->grade.needs_ocr;
    extraction->characters += characters;
    if (extraction->characters > context->guards.characters)
        return processor_fail(context, "output_limit", "more than %" PRIu64 " characters",
                              context->guards.characters);
    if (context->outputs[OUTPUT_TEXT] >= 0 && size > 0)
        result = processor_write(context, OUTPUT_TEXT, text, size);
    free(text);
    if (result == 0 && context->outputs[OUTPUT_PAGES] >= 0)
        result = write_page_json(extraction, page, characters);
    return result;
}

/* --- the document ----------------------------------------------------------------------------------------
 */

static int write_text(struct processor_context *context, int output, const char *text) {
    return context->outputs[output] < 0 ? 0 : processor_write(context, output, text, strlen(text));
}

/* Comes last: the pages are safe by then. */
static int write_document(struct extraction *extraction) {
    struct processor_context *context = extraction->context;
    struct buffer *json = &extraction->json;

    if (context->outputs[OUTPUT_PAGES] < 0)
        return 0;
    buffer_reset(json);
    if (buffer_append_text(json, "\n],") != 0 || pdf_document_json(json, extraction->pdf) != 0 ||
        buffer_append_text(json, "}\n") != 0)
        return processor_fail(context, "output_limit", "the document says too much of itself");
    return processor_write(context, OUTPUT_PAGES, json->data, json->size);
}

/* Plans and flows may say more than concerns this processor: only the layout is looked for. */
static int read_order(struct processor_context *context, enum pdf_order *order) {
    static const char *const words[] = {[PDF_ORDER_RAW] = "raw", [PDF_ORDER_LAYOUT] = "layout", NULL};
    json_t *parameters = parameters_parse(context);
    const json_t *layout = json_object_get(parameters, "layout");
    int index = layout == NULL ? PDF_ORDER_RAW : parameter_word(context, "layout", words, layout);

    if (parameters == NULL || index < 0) {
        json_decref(parameters);
        return -1;
    }
    json_decref(parameters);
    *order = (enum pdf_order)index;
    return 0;
}

static int extract_pages(struct extraction *extraction) {
    struct processor_context *context = extraction->context;
    int count = pdf_page_count(extraction->pdf);

    if (count <= 0)
        return pdf_input_fail(context, PDF_BROKEN);
    if (context->pages != 0 && (uint64_t)count > context->pages)
        return processor_fail(context, "too_many_pages", "%d pages, %" PRIu64 " allowed", count,
                              context->pages);
    context->page_count = (uint64_t)count;
    processor_progress(context, 0, (uint64_t)count);
    if (write_text(context, OUTPUT_PAGES, "{\"version\":1,\"pages\":[") != 0)
        return -1;
    for (int page = 0; page < count; page++) {
        if (extract_page(extraction, page) != 0)
            return -1;
        processor_progress(context, (uint64_t)page + 1, (uint64_t)count);
    }
    if (write_document(extraction) != 0)
        return -1;
    if (extraction->broken_pages == (uint64_t)count)
        return pdf_input_fail(context, PDF_BROKEN);
    for (int output = OUTPUT_TEXT; output <= OUTPUT_PAGES; output++)
        processor_fact(context, output, "pages", (uint64_t)count);
    processor_fact(context, OUTPUT_TEXT, "characters", extraction->characters);
    processor_fact(context, -1, "unreadable_pages", extraction->broken_pages);
    processor_fact(context, -1, "pages_need_ocr", extraction->pages_need_ocr);
    return 0;
}

static int run(struct processor_context *context) {
    struct extraction extraction = {.context = context,
                                    .grader = {.bytes = context->input, .size = context->input_size}};

    if (read_order(context, &extraction.order) != 0)
        return -1;
    buffer_init(&extraction.json, PAGE_JSON_MAX);
    extraction.pdf = pdf_input_open(context);
    if (extraction.pdf == NULL)
        return -1;
    /* Nothing is freed: the process ends with the document, and freeing a hostile one is a risk of its own.
     */
    return extract_pages(&extraction);
}

const struct processor processor_extract_pdf = {
    .name = "extract_pdf", .warm = pdf_warm, .run = run, .engines = {engine_poppler}};
