/* SPDX-License-Identifier: MIT
 * A word list as a file for other programs. CSV is RFC 4180's in UTF-8. Both are safe to open
 * in a spreadsheet: in CSV a cell that a spreadsheet would take for a formula begins with an apostrophe, in
 * XLSX all cells are of type text. Parameters: the list itself, {"format": "csv"|"xlsx", "name",
 * "source_language", "target_language", "word_pairs"}; there is no input. The same list gives the same bytes.
 */
#include <string.h>

#include "lib/buffer.h"
#include "workers/processors/parameters.h"
#include "workers/processors/wordlist_sheet.h"

enum { OUTPUT_CSV, OUTPUT_XLSX };
#define CSV_MOST ((size_t)1 << 20)

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? "" : text;
}

static int write_csv(struct processor_context *context, const json_t *list) {
    const json_t *pairs = json_object_get(list, "word_pairs");
    struct buffer buffer;
    size_t index;
    json_t *pair;
    int failed;

    buffer_init(&buffer, CSV_MOST);
    failed = sheet_csv_row(&buffer, text_of(list, "source_language"), text_of(list, "target_language"));
    json_array_foreach(pairs, index, pair) failed |=
        sheet_csv_row(&buffer, text_of(pair, "source"), text_of(pair, "target"));
    if (failed != 0)
        failed = processor_fail(context, "output_limit", "the list is too long");
    else
        failed = processor_write(context, OUTPUT_CSV, buffer.data, buffer.size);
    buffer_clear(&buffer);
    return failed;
}

static int write_zip(void *context, const void *bytes, size_t size) {
    return processor_write(context, OUTPUT_XLSX, bytes, size);
}

static int write_xlsx(struct processor_context *context, const json_t *list) {
    struct zip_store zip;

    zip_begin(&zip, write_zip, context);
    return sheet_xlsx(&zip, list) == 0 ? 0 : processor_fail(context, "output_limit", "the list is too long");
}

static bool is_list(const json_t *list) {
    const json_t *pairs = json_object_get(list, "word_pairs");
    size_t index;
    json_t *pair;

    if (!json_is_array(pairs) || json_array_size(pairs) > 40)
        return false;
    json_array_foreach(pairs, index, pair) if (!json_is_string(json_object_get(pair, "source")) ||
                                               !json_is_string(json_object_get(pair, "target"))) return false;
    return true;
}

static int run(struct processor_context *context) {
    json_t *list = parameters_parse(context);
    bool is_csv = list != NULL && strcmp(text_of(list, "format"), "csv") == 0;
    int status = -1;

    if (list == NULL)
        return -1;
    if (!is_list(list) || (!is_csv && strcmp(text_of(list, "format"), "xlsx") != 0))
        (void)processor_fail(context, "bad_parameters", "no word list");
    else
        status = is_csv ? write_csv(context, list) : write_xlsx(context, list);
    json_decref(list);
    processor_progress(context, 1, 1);
    return status;
}

const struct processor processor_wordlist_export = {.name = "wordlist_export", .run = run};
