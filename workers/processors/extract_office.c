/* SPDX-License-Identifier: MIT
 * Text of office documents and plain text: `office_text` (UTF-8) and `office_meta` (a JSON object: format,
 * title, author, dates, sheets, counts, encoding). DOCX, XLSX, PPTX, ODT, ODS, ODP, RTF, TXT, CSV; what a document
 * is is read from its own list of contents, not from its name. Macros, links, pictures and embedded files are
 * never looked at. */
#include "workers/processors/engines.h"
#include "workers/processors/office.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/text.h"

#define META_VALUE_SIZE 1024

static const char zip_magic[] = "PK\3\4";
static const char rtf_magic[] = "{\\rtf";
static const char ole_magic[] = "\xd0\xcf\x11\xe0";

/* --- text ----------------------------------------------------------------------------------------------- */

static int flush(struct office *office) {
    struct processor_context *context = office->context;
    size_t size = office->chunk_size;

    office->chunk_size = 0;
    return context->outputs[OFFICE_OUTPUT_TEXT] < 0 || size == 0
               ? 0
               : processor_write(context, OFFICE_OUTPUT_TEXT, office->chunk, size);
}

int office_put(struct office *office, const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        office->characters += ((unsigned char)text[i] & 0xc0) != 0x80;
    if (office->characters > office->context->guards.characters)
        return processor_fail(office->context, "output_limit", "more than %" PRIu64 " characters",
                              office->context->guards.characters);
    while (size > 0) {
        size_t part = OFFICE_CHUNK_BYTES - office->chunk_size;
        part = part < size ? part : size;
        memcpy(office->chunk + office->chunk_size, text, part);
        office->chunk_size += part;
        text += part;
        size -= part;
        if (office->chunk_size == OFFICE_CHUNK_BYTES && flush(office) != 0)
            return -1;
    }
    return 0;
}

int office_put_text(struct office *office, const char *text) {
    return office_put(office, text, strlen(text));
}

/* --- properties ----------------------------------------------------------------------------------------- */

static const struct {
    const char *element; /* of Dublin Core, OOXML's and OpenDocument's own */
    const char *key;
} properties[] = {
    {"title", "title"},
    {"creator", "author"},
    {"subject", "subject"},
    {"keywords", "keywords"},
    {"keyword", "keywords"},
    {"description", "description"},
    {"created", "created"},
    {"creation-date", "created"},
    {"modified", "modified"},
    {"date", "modified"},
    {"lastModifiedBy", "modified_by"},
    {"initial-creator", "first_author"},
    {"language", "language"},
    {"generator", "application"},
};

struct property_reader {
    struct office *office;
    const char *key; /* NULL: not wanted */
    size_t size;
    char value[META_VALUE_SIZE];
};

static int property_start(void *context, const char *name, const struct office_attributes *attributes) {
    struct property_reader *reader = context;

    reader->key = NULL;
    reader->size = 0;
    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++) {
        if (strcmp(properties[i].element, name) == 0)
            reader->key = properties[i].key;
    }
    return 0;
}

static int property_text(void *context, const char *text, size_t size) {
    struct property_reader *reader = context;
    size_t left = META_VALUE_SIZE - reader->size;

    size = size < left ? size : left;
    memcpy(reader->value + reader->size, text, size);
    reader->size += size;
    return 0;
}

static int property_end(void *context, const char *name) {
    struct property_reader *reader = context;
    size_t size = reader->size;

    while (size > 0 && !text_is_utf8(reader->value, size)) /* cut inside a character */
        size--;
    if (reader->key != NULL && size > 0)
        json_object_set_new(reader->office->meta, reader->key, json_stringn(reader->value, size));
    reader->key = NULL;
    return 0;
}

static int read_properties(struct office *office, const char *part) {
    static const struct office_events events = {
        .start = property_start, .end = property_end, .text = property_text};
    static struct property_reader reader;

    reader.office = office;
    return office_package_has(office, part) ? office_package_parse(office, part, &events, &reader) : 0;
}

/* --- which format --------------------------------------------------------------------------------------- */

/* Words in the content type of the main part, and where it stands when no type is given. */
static const struct {
    const char *words;
    const char *usual_part;
    int (*read)(struct office *office, const char *main_part);
    const char *format;
} families[] = {
    {"wordprocessingml.document.main+xml", "word/document.xml", office_word_read, "docx"},
    {"wordprocessingml.template.main+xml", "", office_word_read, "docx"},
    {"ms-word.document.macroEnabled.main+xml", "", office_word_read, "docx"},
    {"ms-word.template.macroEnabledTemplate.main+xml", "", office_word_read, "docx"},
    {"spreadsheetml.sheet.main+xml", "xl/workbook.xml", office_sheets_read, "xlsx"},
    {"spreadsheetml.template.main+xml", "", office_sheets_read, "xlsx"},
    {"ms-excel.sheet.macroEnabled.main+xml", "", office_sheets_read, "xlsx"},
    {"presentationml.presentation.main+xml", "ppt/presentation.xml", office_slides_read, "pptx"},
    {"presentationml.slideshow.main+xml", "", office_slides_read, "pptx"},
    {"presentationml.template.main+xml", "", office_slides_read, "pptx"},
    {"ms-powerpoint.presentation.macroEnabled.main+xml", "", office_slides_read, "pptx"},
};
#define FAMILY_COUNT (sizeof families / sizeof families[0])

struct main_part {
    size_t row; /* FAMILY_COUNT: not found */
    char name[OFFICE_NAME_SIZE];
};

static int type_start(void *context, const char *name, const struct office_attributes *attributes) {
    struct main_part *part = context;
    char type[OFFICE_NAME_SIZE], target[OFFICE_NAME_SIZE];

    if (strcmp(name, "Override") != 0 || part->row != FAMILY_COUNT)
        return 0;
    (void)office_attribute(attributes, "ContentType", type, sizeof type);
    (void)office_attribute(attributes, "PartName", target, sizeof target);
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        if (!text_ends_with(type, families[i].words))
            continue;
        part->row = i;
        return office_package_resolve("", target, part->name, sizeof part->name);
    }
    return 0;
}

static int type_end(void *context, const char *name) {
    return 0;
}

static int find_main_part(struct office *office, struct main_part *part) {
    static const struct office_events events = {.start = type_start, .end = type_end};

    part->row = FAMILY_COUNT;
    if (office_package_has(office, "[Content_Types].xml") &&
        office_package_parse(office, "[Content_Types].xml", &events, part) != 0)
        return -1;
    for (size_t i = 0; i < FAMILY_COUNT && part->row == FAMILY_COUNT; i++) {
        if (families[i].usual_part[0] != '\0' && office_package_has(office, families[i].usual_part)) {
            part->row = i;
            (void)text_copy(part->name, sizeof part->name, families[i].usual_part);
        }
    }
    return 0;
}

static int read_ooxml(struct office *office, const struct main_part *part) {
    json_object_set_new(office->meta, "format", json_string(families[part->row].format));
    if (read_properties(office, "docProps/core.xml") != 0)
        return -1;
    return families[part->row].read(office, part->name);
}

static int read_odf(struct office *office) {
    static const struct {
        const char *mime, *format;
    } kinds[] = {{"application/vnd.oasis.opendocument.spreadsheet", "ods"},
                 {"application/vnd.oasis.opendocument.presentation", "odp"},
                 {"application/vnd.oasis.opendocument.graphics", "odg"}};
    const char *format = "odt";

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].mime, office->context->mime) == 0)
            format = kinds[i].format;
    }
    json_object_set_new(office->meta, "format", json_string(format));
    if (strcmp(format, "ods") == 0)
        json_object_set_new(office->meta, "sheets", json_array());
    return office_odf_read(office, strcmp(format, "odt") == 0) == 0 ? read_properties(office, "meta.xml")
                                                                    : -1;
}

static int read_package(struct office *office) {
    struct main_part part;

    if (office_package_open(office) != 0 || find_main_part(office, &part) != 0)
        return -1;
    if (part.row != FAMILY_COUNT)
        return read_ooxml(office, &part);
    if (office_package_has(office, "content.xml"))
        return read_odf(office);
    return processor_fail(office->context, "unsupported_input",
                          "no document of a known format in the package");
}

/* --- the processor -------------------------------------------------------------------------------------- */

static int write_meta(struct office *office) {
    struct processor_context *context = office->context;
    char *text;
    int status;

    json_object_set_new(office->meta, "characters", json_integer((json_int_t)office->characters));
    json_object_set_new(office->meta, "paragraphs", json_integer((json_int_t)office->paragraphs));
    json_object_set_new(office->meta, "tables", json_integer((json_int_t)office->tables));
    json_object_set_new(office->meta, "hidden_runs", json_integer((json_int_t)office->hidden_runs));
    if (context->outputs[OFFICE_OUTPUT_META] < 0)
        return 0;
    text = json_dumps(office->meta, JSON_COMPACT | JSON_PRESERVE_ORDER);
    if (text == NULL)
        return processor_fail(context, "memory_limit", "no memory left");
    status = processor_write(context, OFFICE_OUTPUT_META, text, strlen(text));
    free(text);
    return status == 0 ? processor_write(context, OFFICE_OUTPUT_META, "\n", 1) : -1;
}

static bool starts_with(const struct processor_context *context, const char *magic) {
    return context->input_size >= strlen(magic) && memcmp(context->input, magic, strlen(magic)) == 0;
}

static int read_document(struct office *office) {
    if (starts_with(office->context, zip_magic) || starts_with(office->context, ole_magic))
        return read_package(office);
    if (starts_with(office->context, rtf_magic))
        return office_rtf_read(office);
    if (text_starts_with(office->context->mime, "application/vnd.") ||
        strcmp(office->context->mime, "application/rtf") == 0)
        return processor_fail(office->context, "bad_input", "not a document of its type");
    json_object_set_new(office->meta, "format", json_string("txt"));
    return office_plain_read(office);
}

/* Nothing is freed: the process ends with the document. */
static int run(struct processor_context *context) {
    static struct office office;

    office.context = context;
    office.meta = json_pack("{si}", "version", 1);
    if (office.meta == NULL)
        return processor_fail(context, "memory_limit", "no memory left");
    if (read_document(&office) != 0 || flush(&office) != 0 || write_meta(&office) != 0)
        return -1;
    processor_fact(context, OFFICE_OUTPUT_TEXT, "characters", office.characters);
    processor_fact(context, -1, "paragraphs", office.paragraphs);
    processor_fact(context, -1, "tables", office.tables);
    return 0;
}

static int warm(void) {
    office_xml_warm();
    return office_plain_warm();
}

const struct processor processor_extract_office = {
    .name = "extract_office", .warm = warm, .run = run, .engines = {engine_libzip}};
