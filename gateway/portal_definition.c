/* SPDX-License-Identifier: MIT
 * Definitions of portal schemas: what they may hold follows from the rows that the processor reads them by.
 */
#include "gateway/portal.h"

#include "gateway/json.h"
#include <string.h>

static const struct field definition_fields[] = {
#define PORTAL_NUMBER(name, member, least, most) {name, FIELD_INTEGER, false, least, most, NULL, ""},
#define PORTAL_FORMAT(name) {name, FIELD_CHOICE, false, 0, 0, "jpeg|jpg|png", ""},
#define PORTAL_COLOUR(name) {name, FIELD_TEXT, false, 7, 7, NULL, ""},
#define PORTAL_TEXT(name) {name, FIELD_TEXT, false, 1, PORTAL_FILENAME_MAX, NULL, ""},
#include "proto/portal_schema.def"
};

static int64_t number(const json_t *definition, const char *name, const char *other, int64_t absent) {
    const json_t *value = json_object_get(definition, name);
    value = value == NULL && other != NULL ? json_object_get(definition, other) : value;
    return value == NULL ? absent : json_integer_value(value);
}

/* NULL, or what does not go together. */
static const char *find_conflict(const json_t *definition) {
    int64_t min_kb = number(definition, "min_kb", NULL, 0);
    int64_t max_kb = number(definition, "max_kb", NULL, 0);
    if (number(definition, "target_width", "width_px", 0) == 0 ||
        number(definition, "target_height", "height_px", 0) == 0) {
        return "A definition needs target_width and target_height.";
    }
    if (max_kb != 0 && min_kb * 1024 > max_kb * 1000) {
        return "No file is at least min_kb KiB and at most max_kb kB.";
    }
    return number(definition, "min_quality", NULL, 1) > number(definition, "quality", NULL, 100)
               ? "min_quality is above quality."
               : NULL;
}

bool portal_definition_check(struct call *call, const json_t *definition) {
    const struct field_rows rows = {definition_fields, sizeof definition_fields / sizeof definition_fields[0],
                                    0};
    json_t *details = fields_check(&rows, definition);
    if (details != NULL) {
        call_problem_with(call, PROBLEM_PAYLOAD_INVALID, "The schema_definition is not as described.",
                          json_pack("{s:o}", "details", details));
        return false;
    }
    const char *conflict = find_conflict(definition);
    if (conflict != NULL) {
        call_problem(call, PROBLEM_PAYLOAD_INVALID, conflict);
    }
    return conflict == NULL;
}

/* ---- names ---- */

static void append(char *target, size_t size, const char *text, size_t length) {
    size_t used = strlen(target);
    (void)text_format(target + used, size - used, "%.*s", (int)length, text);
}

/* A name in braces, or NULL: it stays as it is, and is cleaned with the rest. */
static const char *find_name(const struct portal_names *names, const char *at) {
    const struct {
        const char *word, *value;
    } rows[] = {
        {"{job_id}", names->job},    {"{document_id}", names->job},   {"{user_id}", names->user},
        {"{schema}", names->schema}, {"{original}", names->original},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (text_starts_with(at, rows[i].word)) {
            return rows[i].value;
        }
    }
    return NULL;
}

void portal_filename(char *target, const json_t *definition, const struct portal_names *names) {
    const char *pattern = json_text_member(definition, "filename_pattern");
    const char *format = json_text_member(definition, "output_format");
    char name[PORTAL_FILENAME_MAX * 8 + 1] = "";
    format = format != NULL ? format : json_text_member(definition, "format");
    for (const char *at = pattern != NULL ? pattern : "{job_id}"; *at != '\0';) {
        const char *value = *at == '{' ? find_name(names, at) : NULL;
        if (value == NULL) {
            append(name, sizeof name, at++, 1);
            continue;
        }
        append(name, sizeof name, value, strlen(value));
        at = strchr(at, '}') + 1;
    }
    append(name, sizeof name, format != NULL && strcmp(format, "png") == 0 ? ".png" : ".jpg", 4);
    portal_clean_filename(target, name);
}
