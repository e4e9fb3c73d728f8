/* SPDX-License-Identifier: MIT
 * Checks and schemas of bodies and queries; see fields.h. */
#include "gateway/fields.h"

#include "gateway/json.h"
#include "lib/text.h"
#include "proto/plan.h"
#include <string.h>

/* Length in UTF-16 code units of valid UTF-8. */
static int64_t count_units(const char *text) {
    int64_t units = 0;
    for (const unsigned char *byte = (const unsigned char *)text; *byte != '\0'; byte++) {
        units += (*byte & 0xc0u) == 0x80u ? 0 : *byte >= 0xf0u ? 2 : 1;
    }
    return units;
}

static bool is_sha256(const char *text) {
    unsigned char bytes[32];
    return text_hex_decode(bytes, sizeof bytes, text) == 0;
}

/* Two digits, low … high. */
static bool is_pair(const char *text, unsigned low, unsigned high) {
    if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9') {
        return false;
    }
    unsigned number = (unsigned)(text[0] - '0') * 10 + (unsigned)(text[1] - '0');
    return number >= low && number <= high;
}

static unsigned days_of(unsigned year, unsigned month) {
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

/* RFC 3339 with 'T', as Postgres can read it: no leap seconds, no year 0. */
static bool is_time(const char *text) {
    size_t length = strlen(text);
    if (length < sizeof "2026-01-31T12:00:00Z" - 1 ||
        length > sizeof "2026-01-31T12:00:00.000000+00:00" - 1 || !is_pair(text, 0, 99) ||
        !is_pair(text + 2, 0, 99) || strncmp(text, "0000", 4) == 0 || text[4] != '-' ||
        !is_pair(text + 5, 1, 12) || text[7] != '-' || !is_pair(text + 8, 1, 31) || text[10] != 'T' ||
        !is_pair(text + 11, 0, 23) || text[13] != ':' || !is_pair(text + 14, 0, 59) || text[16] != ':' ||
        !is_pair(text + 17, 0, 59)) {
        return false;
    }
    unsigned year = (unsigned)(text[0] - '0') * 1000 + (unsigned)(text[1] - '0') * 100 +
                    (unsigned)(text[2] - '0') * 10 + (unsigned)(text[3] - '0');
    unsigned month = (unsigned)(text[5] - '0') * 10 + (unsigned)(text[6] - '0');
    if (!is_pair(text + 8, 1, days_of(year, month))) {
        return false;
    }
    text += 19;
    if (*text == '.') {
        size_t digits = strspn(text + 1, "0123456789");
        if (digits < 1 || digits > 6) {
            return false;
        }
        text += digits + 1;
    }
    return strcmp(text, "Z") == 0 || ((*text == '+' || *text == '-') && strlen(text) == 6 &&
                                      is_pair(text + 1, 0, 14) && text[3] == ':' && is_pair(text + 4, 0, 59));
}

static int64_t highest(const struct field *field, int64_t max_upload_bytes) {
    return field->max == FIELD_MAX_UPLOAD ? max_upload_bytes : field->max;
}

/* NULL, or what is wrong with a text value. */
static const char *judge_text(const struct field *field, const char *text) {
    switch (field->type) {
    case FIELD_TEXT:
        return count_units(text) < field->min   ? "Too short"
               : count_units(text) > field->max ? "Too long"
                                                : NULL;
    case FIELD_UUID:
        return text_is_uuid(text) ? NULL : "Invalid uuid";
    case FIELD_CHOICE:
        return text_is_choice(field->choices, text, strlen(text)) ? NULL : "Not one of the choices";
    case FIELD_MEDIA_TYPE:
        return strlen(text) <= (size_t)field->max && media_type_is_valid(text) ? NULL : "Invalid media type";
    case FIELD_SHA256:
        return is_sha256(text) ? NULL : "Invalid sha256: 64 hex digits";
    case FIELD_TIME:
        return is_time(text) ? NULL : "Invalid time: RFC 3339, as 2026-01-31T12:00:00Z";
    case FIELD_INTEGER:
    case FIELD_NUMBER:
    case FIELD_OBJECT:
    case FIELD_LIST:
    case FIELD_BOOLEAN:
    case FIELD_TYPE_COUNT:
        break;
    }
    return "Expected an integer";
}

static const char *judge(const struct field *field, const json_t *body, int64_t max_upload_bytes) {
    const json_t *value = json_object_get(body, field->name);
    if (value == NULL) {
        return field->required ? "Required" : NULL;
    }
    if (field->type == FIELD_INTEGER) {
        if (!json_is_integer(value)) {
            return "Expected an integer";
        }
        int64_t number = json_integer_value(value);
        return number < field->min                         ? "Too small"
               : number > highest(field, max_upload_bytes) ? "Too large"
                                                           : NULL;
    }
    if (field->type == FIELD_NUMBER) {
        double number = json_number_value(value);
        return !json_is_number(value)         ? "Expected a number"
               : number < (double)field->min  ? "Too small"
               : number > (double)field->max  ? "Too large"
                                              : NULL;
    }
    if (field->type == FIELD_OBJECT) {
        return json_is_object(value) ? NULL : "Expected an object";
    }
    if (field->type == FIELD_BOOLEAN) {
        return json_is_boolean(value) ? NULL : "Expected true or false";
    }
    if (field->type == FIELD_LIST) {
        int64_t count = (int64_t)json_array_size(value);
        return !json_is_array(value) ? "Expected a list"
               : count < field->min  ? "Too few"
               : count > field->max  ? "Too many"
                                     : NULL;
    }
    const char *text = json_text_member(body, field->name);
    return text == NULL ? "Expected a text" : judge_text(field, text);
}

static const struct field *find_field(const struct field_rows *rows, const char *name) {
    for (size_t i = 0; i < rows->count; i++) {
        if (strcmp(rows->fields[i].name, name) == 0) {
            return &rows->fields[i];
        }
    }
    return NULL;
}

static json_t *details_new(void) {
    return json_pack("{s:[],s:{}}", "formErrors", "fieldErrors");
}

static void details_form(json_t **details, const char *words) {
    *details = *details != NULL ? *details : details_new();
    json_array_append_new(json_object_get(*details, "formErrors"), json_string(words));
}

static void details_field(json_t **details, const char *name, const char *words) {
    *details = *details != NULL ? *details : details_new();
    json_object_set_new(json_object_get(*details, "fieldErrors"), name, json_pack("[s]", words));
}

json_t *fields_check(const struct field_rows *rows, const json_t *body) {
    json_t *details = NULL;
    if (!json_is_object(body)) {
        details_form(&details, "Expected an object");
        return details;
    }
    for (size_t i = 0; i < rows->count; i++) {
        const char *words = judge(&rows->fields[i], body, rows->max_upload_bytes);
        if (words != NULL) {
            details_field(&details, rows->fields[i].name, words);
        }
    }
    for (void *at = json_object_iter((json_t *)(uintptr_t)body); at != NULL;
         at = json_object_iter_next((json_t *)(uintptr_t)body, at)) {
        if (find_field(rows, json_object_iter_key(at)) == NULL) {
            details_form(&details, "Unrecognized member");
            break;
        }
    }
    return details;
}

json_t *fields_check_query(const struct field_rows *rows, const struct http_header *parameters,
                           size_t count) {
    json_t *details = NULL;
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++) {
        const struct field *field = find_field(rows, parameters[i].name);
        int64_t number;
        if (field == NULL) {
            details_form(&details, "Unrecognized parameter");
        } else if (json_object_get(object, field->name) != NULL) {
            details_field(&details, field->name, "Given twice");
        } else if (field->type == FIELD_INTEGER &&
                   text_parse_i64(parameters[i].value, INT64_MIN, INT64_MAX, &number) == 0) {
            json_object_set_new(object, field->name, json_integer(number));
        } else {
            json_t *text = json_string(parameters[i].value);
            json_object_set_new(object, field->name, text != NULL ? text : json_null());
        }
    }
    json_t *more = details == NULL ? fields_check(rows, object) : NULL;
    json_decref(object);
    return details != NULL ? details : more;
}

json_t *fields_schema_of(const struct field *field, int64_t max_upload_bytes) {
    json_t *schema = json_object();
    const char *type = field->type == FIELD_INTEGER  ? "integer"
                       : field->type == FIELD_NUMBER ? "number"
                       : field->type == FIELD_OBJECT ? "object"
                       : field->type == FIELD_LIST   ? "array"
                       : field->type == FIELD_BOOLEAN ? "boolean"
                                                     : "string";
    json_object_set_new(schema, "type", json_string(type));
    json_object_set_new(schema, "description", json_string(field->description));
    switch (field->type) {
    case FIELD_TEXT:
        json_object_set_new(schema, "minLength", json_integer(field->min));
        json_object_set_new(schema, "maxLength", json_integer(field->max));
        break;
    case FIELD_UUID:
        json_object_set_new(schema, "format", json_string("uuid"));
        break;
    case FIELD_INTEGER:
    case FIELD_NUMBER:
        json_object_set_new(schema, "minimum", json_integer(field->min));
        json_object_set_new(schema, "maximum", json_integer(highest(field, max_upload_bytes)));
        break;
    case FIELD_CHOICE:
        json_object_set_new(schema, "enum", json_choices(field->choices));
        break;
    case FIELD_MEDIA_TYPE:
        json_object_set_new(schema, "minLength", json_integer(3));
        json_object_set_new(schema, "maxLength", json_integer(field->max));
        break;
    case FIELD_SHA256:
        json_object_set_new(schema, "pattern", json_string("^[0-9A-Fa-f]{64}$"));
        break;
    case FIELD_TIME:
        json_object_set_new(schema, "format", json_string("date-time"));
        break;
    case FIELD_LIST:
        json_object_set_new(schema, "minItems", json_integer(field->min));
        json_object_set_new(schema, "maxItems", json_integer(field->max));
        break;
    case FIELD_OBJECT:
    case FIELD_BOOLEAN:
    case FIELD_TYPE_COUNT:
        break;
    }
    return schema;
}

json_t *fields_schema(const struct field_rows *rows) {
    json_t *properties = json_object();
    json_t *required = json_array();
    for (size_t i = 0; i < rows->count; i++) {
        const struct field *field = &rows->fields[i];
        json_object_set_new(properties, field->name, fields_schema_of(field, rows->max_upload_bytes));
        if (field->required) {
            json_array_append_new(required, json_string(field->name));
        }
    }
    json_t *schema =
        json_pack("{s:s,s:b,s:o}", "type", "object", "additionalProperties", 0, "properties", properties);
    if (json_array_size(required) > 0) {
        json_object_set(schema, "required", required);
    }
    json_decref(required);
    return schema;
}

void fields_lower(char *text) {
    for (; *text != '\0'; text++) {
        *text = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
    }
}
