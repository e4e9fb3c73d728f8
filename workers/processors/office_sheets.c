/* SPDX-License-Identifier: MIT
 * SpreadsheetML: each sheet is its name on a line, then its rows with tabs between the cells, then an empty
 * line. Cells show the values that the file keeps; formulas are not calculated, dates are told by their
 * number format. Only the shared strings and one number kind per cell format are held in memory. */
#include "workers/processors/office.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buffer.h"
#include "lib/text.h"
#include "workers/processors/office_number.h"

#define CELL_MAX_BYTES (1u << 20)
#define STRINGS_MAX_BYTES (64u << 20)
#define MAX_STRINGS 4000000u
#define MAX_FORMATS 65536u
#define MAX_SHEETS 4000u
#define MAX_GAP 256u /* tabs for cells that are missing between two others */

struct format {
    uint64_t id;
    enum office_number kind;
};

struct sheet {
    char name[OFFICE_NAME_SIZE];
    char id[OFFICE_NAME_SIZE];
    char state[16];
};

struct workbook {
    struct office *office;
    bool epoch_1904;
    struct sheet *sheets;
    size_t sheet_count;

    struct buffer strings; /* one after the other */
    uint32_t *ends;        /* of each */
    size_t string_count, string_room;

    struct format *custom; /* number formats of the file */
    size_t custom_count;
    unsigned char *kinds; /* enum office_number by cell format */
    size_t kind_count;

    /* while a part is read */
    int skip; /* depth inside a subtree that is left out */
    bool in_text, in_formats, in_cell_formats;
    struct buffer cell;
    char type[16]; /* of the open cell */
    uint64_t style;
    uint64_t column;      /* of the open cell, from 0 */
    uint64_t next_column; /* where the row's text ends */
    bool row_filled;
    uint64_t rows, cells;
};

static int no_memory(struct workbook *workbook) {
    return processor_fail(workbook->office->context, "memory_limit", "no memory left");
}

static int too_much(struct workbook *workbook, const char *what) {
    return processor_fail(workbook->office->context, "output_limit", "too many %s", what);
}

/* Room for one more element of an array that is doubled at every power of two. */
static void *room(void *array, size_t count, size_t size) {
    if (count != 0 && (count & (count - 1)) != 0)
        return array;
    return reallocarray(array, count == 0 ? 1 : count * 2, size);
}

static int ignore_end(void *context, const char *name) {
    return 0;
}

/* --- the workbook --------------------------------------------------------------------------------------- */

static int workbook_start(void *context, const char *name, const struct office_attributes *attributes) {
    struct workbook *workbook = context;
    char value[16];

    if (strcmp(name, "workbookPr") == 0) {
        workbook->epoch_1904 = office_attribute(attributes, "date1904", value, sizeof value) &&
                               (strcmp(value, "1") == 0 || strcmp(value, "true") == 0);
        return 0;
    }
    if (strcmp(name, "sheet") != 0)
        return 0;
    if (workbook->sheet_count == MAX_SHEETS)
        return too_much(workbook, "sheets");
    struct sheet *sheets = room(workbook->sheets, workbook->sheet_count, sizeof *sheets);
    if (sheets == NULL)
        return no_memory(workbook);
    workbook->sheets = sheets;
    sheets += workbook->sheet_count++;
    (void)office_attribute(attributes, "name", sheets->name, sizeof sheets->name);
    (void)office_attribute(attributes, "id", sheets->id, sizeof sheets->id);
    (void)office_attribute(attributes, "state", sheets->state, sizeof sheets->state);
    return 0;
}

/* --- styles --------------------------------------------------------------------------------------------- */

static enum office_number kind_of(const struct workbook *workbook, uint64_t id) {
    for (size_t i = 0; i < workbook->custom_count; i++) {
        if (workbook->custom[i].id == id)
            return workbook->custom[i].kind;
    }
    return office_number_of_builtin(id);
}

static int add_format(struct workbook *workbook, const struct office_attributes *attributes) {
    char code[OFFICE_NAME_SIZE];

    if (workbook->custom_count == MAX_SHEETS)
        return too_much(workbook, "number formats");
    struct format *custom = room(workbook->custom, workbook->custom_count, sizeof *custom);
    if (custom == NULL)
        return no_memory(workbook);
    workbook->custom = custom;
    (void)office_attribute(attributes, "formatCode", code, sizeof code);
    custom[workbook->custom_count++] =
        (struct format){office_attribute_number(attributes, "numFmtId", 0), office_number_of_code(code)};
    return 0;
}

static int add_kind(struct workbook *workbook, const struct office_attributes *attributes) {
    if (workbook->kind_count == MAX_FORMATS)
        return too_much(workbook, "cell formats");
    unsigned char *kinds = room(workbook->kinds, workbook->kind_count, sizeof *kinds);
    if (kinds == NULL)
        return no_memory(workbook);
    workbook->kinds = kinds;
    kinds[workbook->kind_count++] =
        (unsigned char)kind_of(workbook, office_attribute_number(attributes, "numFmtId", 0));
    return 0;
}

static int style_start(void *context, const char *name, const struct office_attributes *attributes) {
    struct workbook *workbook = context;

    if (strcmp(name, "numFmts") == 0)
        workbook->in_formats = true;
    else if (strcmp(name, "cellXfs") == 0)
        workbook->in_cell_formats = true;
    else if (workbook->in_formats && strcmp(name, "numFmt") == 0)
        return add_format(workbook, attributes);
    else if (workbook->in_cell_formats && strcmp(name, "xf") == 0)
        return add_kind(workbook, attributes);
    return 0;
}

static int style_end(void *context, const char *name) {
    struct workbook *workbook = context;

    if (strcmp(name, "numFmts") == 0)
        workbook->in_formats = false;
    else if (strcmp(name, "cellXfs") == 0)
        workbook->in_cell_formats = false;
    return 0;
}

/* --- shared strings ------------------------------------------------------------------------------------- */

/* Phonetic guides are left out. */
static bool skipped(struct workbook *workbook, const char *name) {
    if (workbook->skip > 0 || strcmp(name, "rPh") == 0)
        workbook->skip++;
    return workbook->skip > 0;
}

static int string_start(void *context, const char *name, const struct office_attributes *attributes) {
    struct workbook *workbook = context;

    if (!skipped(workbook, name))
        workbook->in_text = strcmp(name, "t") == 0;
    return 0;
}

static int string_text(void *context, const char *text, size_t size) {
    struct workbook *workbook = context;

    if (workbook->skip > 0 || !workbook->in_text)
        return 0;
    return buffer_append(&workbook->strings, text, size) == 0 ? 0 : too_much(workbook, "strings");
}

static int string_end(void *context, const char *name) {
    struct workbook *workbook = context;

    workbook->in_text = false;
    if (workbook->skip > 0) {
        workbook->skip--;
        return 0;
    }
    if (strcmp(name, "si") != 0)
        return 0;
    if (workbook->string_count == MAX_STRINGS)
        return too_much(workbook, "strings");
    uint32_t *ends = room(workbook->ends, workbook->string_count, sizeof *ends);
    if (ends == NULL)
        return no_memory(workbook);
    workbook->ends = ends;
    ends[workbook->string_count++] = (uint32_t)workbook->strings.size;
    return 0;
}

/* --- a sheet -------------------------------------------------------------------------------------------- */

/* "AB12" is column 27. */
static uint64_t column_of(const char *reference, uint64_t fallback) {
    uint64_t column = 0;
    size_t i = 0;

    for (; reference[i] >= 'A' && reference[i] <= 'Z' && i < 3; i++)
        column = column * 26 + (uint64_t)(reference[i] - 'A') + 1;
    return i == 0 ? fallback : column - 1;
}

static int cell_start(void *context, const char *name, const struct office_attributes *attributes) {
    struct workbook *workbook = context;
    char reference[16];

    if (skipped(workbook, name))
        return 0;
    workbook->in_text = strcmp(name, "v") == 0 || strcmp(name, "t") == 0;
    if (strcmp(name, "row") == 0) {
        workbook->next_column = workbook->column = 0;
        workbook->row_filled = false;
    } else if (strcmp(name, "c") == 0) {
        (void)office_attribute(attributes, "r", reference, sizeof reference);
        (void)office_attribute(attributes, "t", workbook->type, sizeof workbook->type);
        workbook->style = office_attribute_number(attributes, "s", 0);
        workbook->column = column_of(reference, workbook->column);
        buffer_reset(&workbook->cell);
    }
    return 0;
}

static int cell_text(void *context, const char *text, size_t size) {
    struct workbook *workbook = context;

    if (workbook->skip > 0 || !workbook->in_text)
        return 0;
    return buffer_append(&workbook->cell, text, size) == 0 ? 0 : too_much(workbook, "characters in a cell");
}

/* Line breaks and tabs inside a cell would look like cells and rows. */
static int put_cell_text(struct workbook *workbook, const char *text, size_t size) {
    uint64_t gap = workbook->column > workbook->next_column ? workbook->column - workbook->next_column : 0;
    size_t from = 0;

    if (size == 0)
        return 0;
    gap = gap < MAX_GAP ? gap : MAX_GAP;
    for (uint64_t i = 0; i < gap; i++) {
        if (office_put(workbook->office, "\t", 1) != 0)
            return -1;
    }
    workbook->next_column = workbook->column;
    workbook->row_filled = true;
    workbook->cells++;
    for (size_t i = 0; i < size; i++) {
        if (memchr("\t\r\n", text[i], 3) == NULL)
            continue;
        if (office_put(workbook->office, text + from, i - from) != 0 ||
            office_put(workbook->office, " ", 1) != 0)
            return -1;
        from = i + 1;
    }
    return office_put(workbook->office, text + from, size - from);
}

static int put_shared(struct workbook *workbook) {
    uint64_t index;

    if (text_parse_u64(workbook->cell.data, 0, UINT64_MAX, &index) != 0 || index >= workbook->string_count)
        return 0; /* a reference that leads nowhere is an empty cell */
    size_t start = index == 0 ? 0 : workbook->ends[index - 1];
    return put_cell_text(workbook, workbook->strings.data + start, workbook->ends[index] - start);
}

static int put_number(struct workbook *workbook) {
    char text[OFFICE_NUMBER_SIZE];
    enum office_number kind = OFFICE_NUMBER_PLAIN;

    if (workbook->style < workbook->kind_count)
        kind = (enum office_number)workbook->kinds[workbook->style];
    office_number_format(text, workbook->cell.data, kind, workbook->epoch_1904);
    return put_cell_text(workbook, text, strlen(text));
}

static int put_cell(struct workbook *workbook) {
    if (workbook->cell.size == 0)
        return 0;
    if (strcmp(workbook->type, "s") == 0)
        return put_shared(workbook);
    if (workbook->type[0] == '\0' || strcmp(workbook->type, "n") == 0)
        return put_number(workbook);
    if (strcmp(workbook->type, "b") == 0)
        return workbook->cell.data[0] == '1' ? put_cell_text(workbook, "TRUE", 4)
                                             : put_cell_text(workbook, "FALSE", 5);
    return put_cell_text(workbook, workbook->cell.data, workbook->cell.size); /* inlineStr, str, e, d */
}

static int cell_end(void *context, const char *name) {
    struct workbook *workbook = context;

    if (workbook->skip > 0) {
        workbook->skip--;
        return 0;
    }
    workbook->in_text = false;
    if (strcmp(name, "c") == 0) {
        if (put_cell(workbook) != 0)
            return -1;
        workbook->column++; /* of a cell that does not say where it is */
    } else if (strcmp(name, "row") == 0 && workbook->row_filled) {
        workbook->rows++;
        return office_put(workbook->office, "\n", 1);
    }
    return 0;
}

/* --- all of it ------------------------------------------------------------------------------------------ */

static int read_part(struct workbook *workbook, const struct office_relation *relation,
                     const struct office_events *events) {
    workbook->skip = 0;
    workbook->in_text = false;
    if (relation == NULL || !office_package_has(workbook->office, relation->name))
        return 0;
    return office_package_parse(workbook->office, relation->name, events, workbook);
}

static int read_sheets(struct workbook *workbook, const struct office_relations *relations) {
    static const struct office_events cells = {.start = cell_start, .end = cell_end, .text = cell_text};
    struct office *office = workbook->office;
    json_t *list = json_array();

    json_object_set_new(office->meta, "sheets", list);
    for (size_t i = 0; i < workbook->sheet_count; i++) {
        const struct sheet *sheet = &workbook->sheets[i];
        workbook->rows = workbook->cells = 0;
        if (office_put_text(office, sheet->name) != 0 || office_put_text(office, "\n") != 0 ||
            read_part(workbook, office_relations_find(relations, sheet->id), &cells) != 0 ||
            office_put_text(office, "\n") != 0)
            return -1;
        office->tables++;
        json_array_append_new(list,
                              json_pack("{ss ss sI sI}", "name", sheet->name, "state",
                                        sheet->state[0] == '\0' ? "visible" : sheet->state, "rows",
                                        (json_int_t)workbook->rows, "cells", (json_int_t)workbook->cells));
    }
    return 0;
}

int office_sheets_read(struct office *office, const char *main_part) {
    static const struct office_events book = {.start = workbook_start, .end = ignore_end};
    static const struct office_events styles = {.start = style_start, .end = style_end};
    static const struct office_events strings = {
        .start = string_start, .end = string_end, .text = string_text};
    static struct workbook workbook;
    struct office_relations relations;

    workbook.office = office;
    buffer_init(&workbook.strings, STRINGS_MAX_BYTES);
    buffer_init(&workbook.cell, CELL_MAX_BYTES);
    /* Nothing is freed: the process ends with the document. */
    if (office_relations_read(office, main_part, &relations) != 0 ||
        office_package_parse(office, main_part, &book, &workbook) != 0 ||
        read_part(&workbook, office_relations_of_type(&relations, "styles"), &styles) != 0 ||
        read_part(&workbook, office_relations_of_type(&relations, "sharedStrings"), &strings) != 0)
        return -1;
    return read_sheets(&workbook, &relations);
}
