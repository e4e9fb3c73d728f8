/* SPDX-License-Identifier: MIT
 * What the parts of extract_office share: the text being written, the package being read, XML as events.
 * Every call that can fail returns -1 after processor_fail. Documents are read once, in pieces; nothing here
 * grows with what they expand to. */
#ifndef WORKERS_PROCESSORS_OFFICE_H
#define WORKERS_PROCESSORS_OFFICE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/processor.h"

#define OFFICE_OUTPUT_TEXT 0
#define OFFICE_OUTPUT_META 1

#define OFFICE_RATIO_GRACE_BYTES 100000u
#define OFFICE_MAX_DEPTH 100 /* the most that limit-depth may be */
#define OFFICE_NAME_SIZE 256
#define OFFICE_CHUNK_BYTES 65536

struct zip;

struct office {
    struct processor_context *context;
    struct zip *zip;
    uint64_t expanded_bytes; /* of all entries read so far */
    json_t *meta;
    uint64_t characters, paragraphs, tables, hidden_runs;
    size_t chunk_size;
    char chunk[OFFICE_CHUNK_BYTES];
};

/* --- text (extract_office.c) ---------------------------------------------------------------------------- */

/* Appends UTF-8. Beyond the limit of characters: output_limit. */
int office_put(struct office *office, const char *text, size_t size);
int office_put_text(struct office *office, const char *text);

/* --- XML (office_xml.c) --------------------------------------------------------------------------------- */

struct office_attributes {
    const unsigned char **values; /* of libxml2 */
    int count;
};

/* Names are local names. A callback that fails ends the parsing. */
struct office_events {
    int (*start)(void *context, const char *name, const struct office_attributes *attributes);
    int (*end)(void *context, const char *name);
    int (*text)(void *context, const char *text, size_t size); /* NULL: not wanted */
};

struct office_xml;

void office_xml_warm(void);
struct office_xml *office_xml_new(struct office *office, const char *part, const struct office_events *events,
                                  void *context);
int office_xml_feed(struct office_xml *xml, const char *bytes, size_t size);
int office_xml_finish(struct office_xml *xml);
void office_xml_free(struct office_xml *xml);

/* The value of the attribute with this local name, or "" (cut to the size). True if it is there. */
bool office_attribute(const struct office_attributes *attributes, const char *name, char *target,
                      size_t size);
/* As a number; `fallback` if it is missing or none. */
uint64_t office_attribute_number(const struct office_attributes *attributes, const char *name,
                                 uint64_t fallback);

/* --- the package (office_package.c) --------------------------------------------------------------------- */

int office_package_open(struct office *office);
bool office_package_has(const struct office *office, const char *name);
/* Streams one entry through the events. */
int office_package_parse(struct office *office, const char *name, const struct office_events *events,
                         void *context);
/* Where a relationship's target leads from a part, as an entry's name; -1 if it does not fit. */
int office_package_resolve(const char *part, const char *target, char *name, size_t size);

struct office_relation {
    char id[OFFICE_NAME_SIZE];
    char type[OFFICE_NAME_SIZE]; /* what follows the last '/' */
    char name[OFFICE_NAME_SIZE]; /* of an entry */
};

struct office_relations {
    struct office_relation *at;
    size_t count;
};

/* Reads those of a part (none is fine); the caller frees `at`. */
int office_relations_read(struct office *office, const char *part, struct office_relations *relations);
const struct office_relation *office_relations_find(const struct office_relations *relations, const char *id);
/* The first of a type. */
const struct office_relation *office_relations_of_type(const struct office_relations *relations,
                                                       const char *type);

/* --- formats -------------------------------------------------------------------------------------------- */

enum office_flow { OFFICE_FLOW_OOXML, OFFICE_FLOW_ODF };

/* Paragraphs, tables and text boxes of one part (office_flow.c). */
int office_flow_read(struct office *office, const char *part, enum office_flow vocabulary);
int office_word_read(struct office *office, const char *main_part);   /* office_word.c: DOCX */
int office_slides_read(struct office *office, const char *main_part); /* office_word.c: PPTX */
int office_odf_read(struct office *office, bool with_headers);        /* office_word.c: ODT, ODS, ODP */
int office_sheets_read(struct office *office, const char *main_part); /* office_sheets.c: XLSX */
int office_plain_read(struct office *office);                         /* office_plain.c: TXT, CSV */
int office_plain_warm(void);
int office_rtf_read(struct office *office);                           /* office_rtf.c */

/* --- code pages (office_plain.c) ------------------------------------------------------------------------ */

struct office_decoder {
    struct office *office;
    int code_page; /* of Windows: 1252, 932, 65001; one that is not known is 1252 */
    int (*put)(void *context, const char *text, size_t size); /* UTF-8; 0 or -1 after processor_fail */
    void *context;
};

/* Decodes the next bytes; a character may go on in those of the next call unless these are the `last` of their
 * code page. What can't be read becomes U+FFFD. */
int office_decode(struct office_decoder *decoder, const char *bytes, size_t size, bool last);

#endif
