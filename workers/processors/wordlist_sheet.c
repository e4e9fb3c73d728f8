/* SPDX-License-Identifier: MIT
 * CSV, and the five parts that a workbook needs (ECMA-376, Office Open XML), with texts in place of a table
 * of strings. By hand: Debian 12's libxlsxwriter writes temporary files, and a runner may open none. */
#include "workers/processors/wordlist_sheet.h"

#include <stdbool.h>
#include <string.h>

#define SHEET_MOST ((size_t)1 << 20)

/* ---- CSV ---- */

static int append_cell(struct buffer *out, const char *text) {
    bool is_formula = text[0] != '\0' && strchr("=+-@\t\r", text[0]) != NULL;
    bool is_quoted = is_formula || text[strcspn(text, ",\"\r\n")] != '\0';
    int failed = is_quoted ? buffer_append(out, "\"", 1) : 0;

    failed |= is_formula ? buffer_append(out, "'", 1) : 0;
    for (; *text != '\0'; text++)
        failed |= *text == '"' ? buffer_append(out, "\"\"", 2) : buffer_append(out, text, 1);
    return failed | (is_quoted ? buffer_append(out, "\"", 1) : 0);
}

int sheet_csv_row(struct buffer *out, const char *left, const char *right) {
    int failed = append_cell(out, left) | buffer_append(out, ",", 1);

    return failed | append_cell(out, right) | buffer_append(out, "\r\n", 2);
}

/* ---- XLSX ---- */

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n"
#define PACKAGE "http://schemas.openxmlformats.org/package/2006/"
#define OFFICE "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
#define MAIN "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
#define SHEET_TYPE "application/vnd.openxmlformats-officedocument.spreadsheetml."

static const struct {
    const char *name, *text;
} parts[] = {
    {"[Content_Types].xml", XML
     "<Types xmlns=\"" PACKAGE "content-types\"><Default Extension=\"rels\" "
     "ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/><Default Extension=\"xml\" "
     "ContentType=\"application/xml\"/><Override PartName=\"/xl/workbook.xml\" ContentType=\"" SHEET_TYPE
     "sheet.main+xml\"/><Override PartName=\"/xl/worksheets/sheet1.xml\" ContentType=\"" SHEET_TYPE
     "worksheet+xml\"/></Types>"},
    {"_rels/.rels",
     XML "<Relationships xmlns=\"" PACKAGE "relationships\"><Relationship Id=\"rId1\" Type=\"" OFFICE
         "/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"},
    {"xl/workbook.xml",
     XML "<workbook xmlns=\"" MAIN "\" xmlns:r=\"" OFFICE
         "\"><sheets><sheet name=\"Words\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>"},
    {"xl/_rels/workbook.xml.rels",
     XML "<Relationships xmlns=\"" PACKAGE "relationships\"><Relationship Id=\"rId1\" Type=\"" OFFICE
         "/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>"},
};

/* U+FFFE and U+FFFF, in UTF-8. */
static bool is_noncharacter(const char *text) {
    return strncmp(text, "\xef\xbf\xbe", 3) == 0 || strncmp(text, "\xef\xbf\xbf", 3) == 0;
}

/* XML 1.0 has no other control characters than tab and line ends, and neither of those two. */
static int append_text(struct buffer *out, const char *text) {
    int failed = 0;

    for (; *text != '\0'; text++) {
        const char *name = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : NULL;
        if (name != NULL)
            failed |= buffer_append_text(out, name);
        else if (is_noncharacter(text))
            text += 2;
        else if ((unsigned char)*text >= ' ' || *text == '\t' || *text == '\n')
            failed |= buffer_append(out, text, 1);
    }
    return failed;
}

/* Of type text whatever it begins with: never a formula, a number or a link. */
static int append_row(struct buffer *out, size_t row, const char *left, const char *right) {
    const char *const cells[] = {left, right};
    int failed = buffer_append_format(out, "<row r=\"%zu\">", row);

    for (size_t i = 0; i < 2; i++) {
        failed |= buffer_append_format(out, "<c r=\"%c%zu\" t=\"inlineStr\"><is><t xml:space=\"preserve\">",
                                       (char)('A' + (char)i), row);
        failed |= append_text(out, cells[i]) | buffer_append_text(out, "</t></is></c>");
    }
    return failed | buffer_append_text(out, "</row>");
}

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? "" : text;
}

static int append_sheet(struct buffer *out, const json_t *list) {
    size_t index;
    json_t *pair;
    int failed = buffer_append_text(out, XML "<worksheet xmlns=\"" MAIN
                                             "\"><cols><col min=\"1\" max=\"2\" width=\"30\" "
                                             "customWidth=\"1\"/></cols><sheetData>");

    failed |= append_row(out, 1, text_of(list, "source_language"), text_of(list, "target_language"));
    json_array_foreach(json_object_get(list, "word_pairs"), index, pair) failed |=
        append_row(out, index + 2, text_of(pair, "source"), text_of(pair, "target"));
    return failed | buffer_append_text(out, "</sheetData></worksheet>");
}

int sheet_xlsx(struct zip_store *zip, const json_t *list) {
    struct buffer sheet;
    int failed = 0;

    buffer_init(&sheet, SHEET_MOST);
    for (size_t i = 0; failed == 0 && i < sizeof parts / sizeof parts[0]; i++)
        failed = zip_add(zip, parts[i].name, parts[i].text, strlen(parts[i].text));
    if (failed == 0 && append_sheet(&sheet, list) == 0)
        failed = zip_add(zip, "xl/worksheets/sheet1.xml", sheet.data, sheet.size);
    else
        failed = -1;
    buffer_clear(&sheet);
    return failed == 0 ? zip_end(zip) : -1;
}
