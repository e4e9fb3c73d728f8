/* SPDX-License-Identifier: MIT
 * Word lists as files: two cells, divided by a NUL or in the middle. A reader of CSV gets the same cells
 * back, and none that begins as a formula; a reader of XML finds a document without errors. */
#include "lib/text.h"
#include "tests/fuzz/fuzz.h"
#include "workers/processors/wordlist_sheet.h"
#include <libxml/parser.h>

/* By RFC 4180; returns what is behind the cell and its comma or line end. */
static const char *read_cell(const char *at, struct buffer *cell) {
    bool quoted = *at == '"';

    for (at += quoted; *at != '\0'; at++) {
        if (quoted && at[0] == '"' && at[1] != '"')
            break;
        if (quoted && at[0] == '"')
            at++;
        else if (!quoted && (*at == ',' || *at == '\r' || *at == '\n'))
            break;
        require(buffer_append(cell, at, 1) == 0);
    }
    at += quoted;
    require(*at == ',' || (at[0] == '\r' && at[1] == '\n'));
    return at + (*at == ',' ? 1 : 2);
}

static const char *check_cell(const char *at, const char *wanted) {
    struct buffer cell;

    buffer_init(&cell, 1 << 20);
    at = read_cell(at, &cell);
    require(cell.size == 0 || strchr("=+-@\t\r", cell.data[0]) == NULL);
    require(strcmp(cell.data + (strcmp(cell.data, wanted) != 0 && cell.data[0] == '\''), wanted) == 0);
    buffer_clear(&cell);
    return at;
}

static int keep(void *context, const void *bytes, size_t size) {
    return buffer_append(context, bytes, size);
}

static void check_workbook(const char *left, const char *right) {
    json_t *list = json_pack("{s:s, s:s, s:[{s:s, s:s}]}", "source_language", "en", "target_language", "de",
                             "word_pairs", "source", left, "target", right);
    struct zip_store zip;
    struct buffer file;
    const char *sheet;

    buffer_init(&file, 1 << 20);
    zip_begin(&zip, keep, &file);
    require(list != NULL && sheet_xlsx(&zip, list) == 0);
    sheet = memmem(file.data, file.size, "<worksheet ", 11);
    require(sheet != NULL);
    const char *end = memmem(sheet, file.size - (size_t)(sheet - file.data), "</worksheet>", 12);
    require(end != NULL);
    xmlDocPtr document = xmlReadMemory(sheet, (int)(end + 12 - sheet), NULL, NULL,
                                       XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NONET);
    require(document != NULL);
    xmlFreeDoc(document);
    buffer_clear(&file);
    json_decref(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    const uint8_t *nul = size > 0 ? memchr(bytes, '\0', size) : NULL;
    size_t half = nul != NULL ? (size_t)(nul - bytes) : size / 2;
    char *left = exact_text(bytes, half),
         *right = exact_text(bytes + half + (nul != NULL), size - half - (nul != NULL));
    struct buffer row;

    if (text_is_utf8(left, strlen(left)) && text_is_utf8(right, strlen(right))) {
        buffer_init(&row, 1 << 20);
        require(sheet_csv_row(&row, left, right) == 0);
        require(*check_cell(check_cell(row.data, left), right) == '\0');
        buffer_clear(&row);
        check_workbook(left, right);
    }
    free(right);
    free(left);
    return 0;
}
