/* SPDX-License-Identifier: MIT
 * Parameters of ocr: {"pages": "1-5,9", "languages": "eng+deu", "dpi": 300, "outputs": ["text", "pdf"]};
 * pages may also be "needed", and {"range": "9-16"} makes it one range of a long document. */
#include <stdlib.h>
#include <string.h>

#include "lib/text.h"
#include "workers/processors/ocr.h"
#include "workers/processors/parameters.h"

static const char *const output_words[OCR_OUTPUT_COUNT + 1] = {
    [OCR_TEXT] = "text", [OCR_JSON] = "json", [OCR_HOCR] = "hocr",
    [OCR_ALTO] = "alto", [OCR_TSV] = "tsv",   [OCR_PDF] = "pdf",
};

static int read_outputs(struct processor_context *context, const struct parameter_field *field,
                        const json_t *value, void *target) {
    struct ocr_order *order = target;

    if (!json_is_array(value) || json_array_size(value) == 0)
        return processor_fail(context, "bad_parameters", "%s: a list of names", field->name);
    memset(order->wanted, 0, sizeof order->wanted);
    for (size_t i = 0; i < json_array_size(value); i++) {
        int index = parameter_word(context, field->name, output_words, json_array_get(value, i));
        if (index < 0)
            return -1;
        order->wanted[index] = true;
    }
    return 0;
}

/* Each becomes the name of a file: letters, digits and '_' only. */
static int read_languages(struct processor_context *context, const struct parameter_field *field,
                          const json_t *value, void *target) {
    struct ocr_order *order = target;
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    size_t size = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+");

    if (size == 0 || text[size] != '\0' || text_copy(order->languages, sizeof order->languages, text) != 0)
        return processor_fail(context, "bad_parameters", "%s: names such as eng+deu", field->name);
    return 0;
}

static bool is_digit(char character) {
    return character >= '0' && character <= '9';
}

/* One of "5", "1-5", "3-" (to the end); returns what follows, or NULL. */
static const char *read_range(const char *text, unsigned char *pages) {
    char *end;
    unsigned long first, last;

    if (!is_digit(*text))
        return NULL;
    first = last = strtoul(text, &end, 10);
    if (*end == '-') {
        last = OCR_MAX_PAGES;
        end++;
        if (is_digit(*end))
            last = strtoul(end, &end, 10);
    }
    if (first < 1 || first > last || last > OCR_MAX_PAGES)
        return NULL;
    for (unsigned long page = first - 1; page < last; page++)
        pages[page / 8] |= (unsigned char)(1u << (page % 8));
    return end;
}

static int read_pages(struct processor_context *context, const struct parameter_field *field,
                      const json_t *value, void *target) {
    struct ocr_order *order = target;
    const char *text = json_is_string(value) ? json_string_value(value) : "";

    if (strcmp(text, "needed") == 0) {
        order->needed = true;
        return 0;
    }
    order->pages = calloc(OCR_MAX_PAGES / 8 + 1, 1);
    if (order->pages == NULL)
        return processor_fail(context, "memory_limit", "no memory left");
    while (text != NULL) {
        text = read_range(text, order->pages);
        if (text != NULL && *text == '\0')
            return 0;
        text = text != NULL && *text == ',' ? text + 1 : NULL;
    }
    return processor_fail(context, "bad_parameters", "%s: ranges such as 1-5,9", field->name);
}

/* As the scheduler writes it, "9-16". */
static int read_part(struct processor_context *context, const struct parameter_field *field, const json_t *value,
                     void *target) {
    struct ocr_order *order = target;
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    char *end = NULL;
    unsigned long first = is_digit(*text) ? strtoul(text, &end, 10) : 0, last = 0;

    if (first > 0 && *end == '-' && is_digit(end[1]))
        last = strtoul(end + 1, &end, 10);
    if (last < first || last == 0 || *end != '\0' || last > OCR_MAX_PAGES)
        return processor_fail(context, "bad_parameters", "%s: one such as 9-16", field->name);
    order->range_first = (int)first;
    order->range_last = (int)last;
    return 0;
}

static const struct parameter_field fields[] = {
    {.name = "pages", .read = read_pages},
    {.name = "languages", .read = read_languages},
    {.name = "dpi",
     .read = parameter_read_int,
     .offset = offsetof(struct ocr_order, dpi),
     .least = 70,
     .most = 600},
    {.name = "outputs", .read = read_outputs},
    {.name = "range", .read = read_part},
    {.name = NULL},
};

int ocr_order_read(struct processor_context *context, struct ocr_order *order) {
    int status;

    *order = (struct ocr_order){.pages = NULL};
    for (int i = 0; i < OCR_OUTPUT_COUNT; i++)
        order->wanted[i] = true;
    status = parameters_read_all(context, fields, order);
    for (int i = 0; i < OCR_OUTPUT_COUNT; i++)
        order->wanted[i] = order->wanted[i] && context->outputs[i] >= 0;
    return status;
}

bool ocr_order_has(const struct ocr_order *order, int page) {
    return order->pages == NULL ||
           (page < OCR_MAX_PAGES && (order->pages[page / 8] >> (page % 8) & 1) != 0);
}
