/* SPDX-License-Identifier: MIT
 * Parameters by the catalog's rows; see parameters.h. One function per type judges a value and one says what
 * is expected of it, so that a refusal tells what would have been right. */
#include "gateway/parameters.h"

#include "gateway/json.h"
#include "lib/text.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 160
#define PATH_MAX 120
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* --- values ------------------------------------------------------------------------------------------------
 */

static bool is_choice(const char *choices, const json_t *value) {
    return json_is_string(value) &&
           text_is_choice(choices, json_string_value(value), json_string_length(value));
}

static bool fits_integer(const struct parameter_row *row, const json_t *value) {
    return json_is_integer(value) && json_integer_value(value) >= row->min &&
           json_integer_value(value) <= row->max;
}

static bool fits_share(const struct parameter_row *row, const json_t *value) {
    return json_is_number(value) && json_number_value(value) >= (double)row->min &&
           json_number_value(value) <= (double)row->max;
}

static bool fits_flag(const struct parameter_row *row, const json_t *value) {
    return row->type == PARAMETER_FLAG && json_is_boolean(value);
}

static bool fits_choice(const struct parameter_row *row, const json_t *value) {
    return is_choice(row->choices, value);
}

static bool fits_choices(const struct parameter_row *row, const json_t *value) {
    size_t count = json_array_size(value);
    for (size_t i = 0; i < count; i++) {
        if (!is_choice(row->choices, json_array_get(value, i))) {
            return false;
        }
    }
    return count > 0;
}

static bool fits_integers(const struct parameter_row *row, const json_t *value) {
    size_t count = json_array_size(value);
    for (size_t i = 0; i < count; i++) {
        if (!fits_integer(row, json_array_get(value, i))) {
            return false;
        }
    }
    return count > 0 && count <= row->most;
}

static bool fits_text(const struct parameter_row *row, const json_t *value) {
    int64_t length = (int64_t)json_string_length(value);
    return json_is_string(value) && length >= row->min && length <= row->max &&
           strlen(json_string_value(value)) == (size_t)length;
}

static bool fits_colour(const struct parameter_row *row, const json_t *value) {
    unsigned char rgb[3];
    const char *text = row->type == PARAMETER_COLOUR && json_is_string(value) ? json_string_value(value) : "";
    return is_choice("white|black", value) ||
           (text[0] == '#' && text_hex_decode(rgb, sizeof rgb, text + 1) == 0);
}

/* One of "5", "1-5", "3-"; NULL, or what follows. */
static const char *skip_range(const char *text, int64_t highest) {
    char *end;
    if (*text < '0' || *text > '9') {
        return NULL;
    }
    unsigned long long first = strtoull(text, &end, 10);
    unsigned long long last = first;
    if (*end == '-') {
        last = (unsigned long long)highest;
        end++;
        if (*end >= '0' && *end <= '9') {
            last = strtoull(end, &end, 10);
        }
    }
    return first >= 1 && first <= last && last <= (unsigned long long)highest ? end : NULL;
}

static bool fits_pages(const struct parameter_row *row, const json_t *value) {
    const char *at = json_string_value(value);
    if (is_choice(row->choices, value)) {
        return true;
    }
    while (at != NULL) {
        at = skip_range(at, row->max);
        if (at != NULL && *at == '\0') {
            return strlen(json_string_value(value)) == json_string_length(value);
        }
        at = at != NULL && *at == ',' ? at + 1 : NULL;
    }
    return false;
}

static bool fits_languages(const struct parameter_row *row, const json_t *value) {
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    size_t length = strspn(text, LETTERS "0123456789_+");
    return length > 0 && length == json_string_length(value) && (int64_t)length <= row->max;
}

static bool fits_object(const struct parameter_row *row, const json_t *value) {
    return row->members != NULL && json_is_object(value);
}

typedef bool fits_fn(const struct parameter_row *row, const json_t *value);

static fits_fn *const fits[PARAMETER_TYPE_COUNT] = {
    [PARAMETER_INTEGER] = fits_integer, [PARAMETER_SHARE] = fits_share,
    [PARAMETER_FLAG] = fits_flag,       [PARAMETER_CHOICE] = fits_choice,
    [PARAMETER_CHOICES] = fits_choices, [PARAMETER_INTEGERS] = fits_integers,
    [PARAMETER_TEXT] = fits_text,       [PARAMETER_COLOUR] = fits_colour,
    [PARAMETER_PAGES] = fits_pages,     [PARAMETER_LANGUAGES] = fits_languages,
    [PARAMETER_OBJECT] = fits_object,
};

/* --- what would be right -----------------------------------------------------------------------------------
 */

static void tell_expected(const struct parameter_row *row, char *words, size_t size) {
    switch (row->type) {
    case PARAMETER_INTEGER:
        (void)text_format(words, size, "an integer from %" PRId64 " to %" PRId64, row->min, row->max);
        break;
    case PARAMETER_SHARE:
        (void)text_format(words, size, "a number from %" PRId64 " to %" PRId64, row->min, row->max);
        break;
    case PARAMETER_FLAG:
        (void)text_format(words, size, "true or false");
        break;
    case PARAMETER_CHOICE:
        (void)text_format(words, size, "one of %s", row->choices);
        break;
    case PARAMETER_CHOICES:
        (void)text_format(words, size, "a list of %s", row->choices);
        break;
    case PARAMETER_INTEGERS:
        (void)text_format(words, size, "a list of 1 to %zu integers from %" PRId64 " to %" PRId64, row->most,
                          row->min, row->max);
        break;
    case PARAMETER_TEXT:
        (void)text_format(words, size, "a text of %" PRId64 " to %" PRId64 " bytes", row->min, row->max);
        break;
    case PARAMETER_COLOUR:
        (void)text_format(words, size, "a colour such as #ffffff");
        break;
    case PARAMETER_PAGES:
        (void)text_format(words, size, "ranges of pages such as 1-5,9");
        break;
    case PARAMETER_LANGUAGES:
        (void)text_format(words, size, "languages such as eng+deu");
        break;
    case PARAMETER_OBJECT:
    case PARAMETER_TYPE_COUNT:
        (void)text_format(words, size, "an object");
        break;
    }
}

/* --- objects -----------------------------------------------------------------------------------------------
 */

static void note(json_t **errors, const char *path, const char *words) {
    *errors = *errors != NULL ? *errors : json_object();
    json_object_set_new(*errors, path, json_pack("[s]", words));
}

static const struct parameter_row *next_of(const struct parameter_row *row) {
    return row[1].name != NULL && strcmp(row[1].name, row->name) == 0 ? row + 1 : NULL;
}

/* The rows of members are a tree of two levels, so this recurses no deeper than the table does. */
static void check_object(const struct parameter_row *rows, const json_t *object, const char *prefix,
                         json_t **errors);

static void check_value(const struct parameter_row *row, const json_t *value, const char *path,
                        json_t **errors) {
    char words[WORDS_MAX] = "";
    for (const struct parameter_row *at = row; at != NULL; at = next_of(at)) {
        if (fits[at->type](at, value)) {
            if (at->type == PARAMETER_OBJECT) {
                check_object(at->members, value, path, errors);
            }
            return;
        }
        size_t length = strlen(words);
        (void)text_copy(words + length, sizeof words - length, length > 0 ? "; or " : "Expected ");
        length = strlen(words);
        tell_expected(at, words + length, sizeof words - length);
    }
    note(errors, path, words);
}

static void check_object(const struct parameter_row *rows, const json_t *object, const char *prefix,
                         json_t **errors) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value) {
        char path[PATH_MAX];
        const struct parameter_row *row = parameter_find(rows, name);
        if (row == NULL) {
            note(errors, prefix[0] != '\0' ? prefix : "parameters", "Unrecognized member");
            continue;
        }
        if (text_format(path, sizeof path, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", name) == 0) {
            check_value(row, value, path, errors);
        }
    }
}

json_t *parameters_check(const struct catalog_row *row, const json_t *parameters) {
    json_t *errors = NULL;
    if (!json_is_object(parameters)) {
        note(&errors, "parameters", "Expected an object");
        return errors;
    }
    check_object(row->parameters, parameters, "", &errors);
    if (errors == NULL) {
        char *text = json_encode(parameters);
        if (strlen(text) > PARAMETERS_MAX_BYTES) {
            note(&errors, "parameters", "Too long");
        }
        free(text);
    }
    return errors;
}

/* --- schemas -----------------------------------------------------------------------------------------------
 */

static json_t *object_schema(const struct parameter_row *rows);

static json_t *value_schema(const struct parameter_row *row) {
    switch (row->type) {
    case PARAMETER_INTEGER:
        return json_pack("{s:s,s:I,s:I}", "type", "integer", "minimum", (json_int_t)row->min, "maximum",
                         (json_int_t)row->max);
    case PARAMETER_SHARE:
        return json_pack("{s:s,s:I,s:I}", "type", "number", "minimum", (json_int_t)row->min, "maximum",
                         (json_int_t)row->max);
    case PARAMETER_FLAG:
        return json_pack("{s:s}", "type", "boolean");
    case PARAMETER_CHOICE:
        return json_pack("{s:s,s:o}", "type", "string", "enum", json_choices(row->choices));
    case PARAMETER_CHOICES:
        return json_pack("{s:s,s:i,s:{s:s,s:o}}", "type", "array", "minItems", 1, "items", "type", "string",
                         "enum", json_choices(row->choices));
    case PARAMETER_INTEGERS:
        return json_pack("{s:s,s:i,s:I,s:{s:s,s:I,s:I}}", "type", "array", "minItems", 1, "maxItems",
                         (json_int_t)row->most, "items", "type", "integer", "minimum", (json_int_t)row->min,
                         "maximum", (json_int_t)row->max);
    case PARAMETER_TEXT:
        return json_pack("{s:s,s:I,s:I}", "type", "string", "minLength", (json_int_t)row->min, "maxLength",
                         (json_int_t)row->max);
    case PARAMETER_COLOUR:
        return json_pack("{s:s,s:s}", "type", "string", "pattern", "^(#[0-9a-fA-F]{6}|white|black)$");
    case PARAMETER_PAGES:
        return json_pack("{s:s,s:s}", "type", "string", "pattern",
                         "^(needed|[0-9]+(-[0-9]*)?(,[0-9]+(-[0-9]*)?)*)$");
    case PARAMETER_LANGUAGES:
        return json_pack("{s:s,s:s,s:I}", "type", "string", "pattern", "^[A-Za-z0-9_+]+$", "maxLength",
                         (json_int_t)row->max);
    case PARAMETER_OBJECT:
    case PARAMETER_TYPE_COUNT:
        break;
    }
    return object_schema(row->members);
}

/* All rows of one name: one schema, or anyOf them. */
static json_t *named_schema(const struct parameter_row *row) {
    json_t *schema = value_schema(row);
    if (next_of(row) != NULL) {
        json_t *list = json_pack("[o]", schema);
        for (const struct parameter_row *at = next_of(row); at != NULL; at = next_of(at)) {
            json_array_append_new(list, value_schema(at));
        }
        schema = json_pack("{s:o}", "anyOf", list);
    }
    if (row->description != NULL) {
        json_object_set_new(schema, "description", json_string(row->description));
    }
    if (row->fallback != NULL) {
        json_object_set_new(schema, "default", json_loads(row->fallback, JSON_DECODE_ANY, NULL));
    }
    return schema;
}

static json_t *object_schema(const struct parameter_row *rows) {
    json_t *properties = json_object();
    for (const struct parameter_row *row = rows; row != NULL && row->name != NULL; row++) {
        if (json_object_get(properties, row->name) == NULL) {
            json_object_set_new(properties, row->name, named_schema(row));
        }
    }
    return json_pack("{s:s,s:b,s:o}", "type", "object", "additionalProperties", 0, "properties", properties);
}

json_t *parameters_schema(const struct catalog_row *row) {
    return object_schema(row->parameters);
}
