/* SPDX-License-Identifier: MIT
 * JSON from outside, strictly; see json.h. The levels are counted in one pass over the bytes before jansson,
 * which recurses, sees them. */
#include "gateway/json.h"

#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include <string.h>

/* Deepest nesting of brackets outside strings. Malformed input gives some number; jansson refuses it later.
 */
static size_t count_levels(const char *bytes, size_t size) {
    size_t level = 0;
    size_t deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char byte = bytes[i];
        if (in_string) {
            if (byte == '\\') {
                i++;
            } else if (byte == '"') {
                in_string = false;
            }
        } else if (byte == '"') {
            in_string = true;
        } else if (byte == '[' || byte == '{') {
            level++;
            deepest = level > deepest ? level : deepest;
        } else if ((byte == ']' || byte == '}') && level > 0) {
            level--;
        }
    }
    return deepest;
}

json_t *json_decode(const char *bytes, size_t size, const char **reason) {
    if (size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
        *reason = "begins with a byte order mark";
        return NULL;
    }
    if (memchr(bytes, '\0', size) != NULL) { /* jansson would take it for the end */
        *reason = "is not JSON";
        return NULL;
    }
    if (!text_is_utf8(bytes, size)) {
        *reason = "is not UTF-8";
        return NULL;
    }
    if (count_levels(bytes, size) > JSON_MAX_LEVELS) {
        *reason = "is nested too deeply";
        return NULL;
    }
    json_error_t error;
    json_t *value =
        json_loadb(bytes, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (value == NULL) {
        switch (json_error_code(&error)) {
        case json_error_duplicate_key:
            *reason = "has a name twice";
            break;
        case json_error_numeric_overflow:
            *reason = "has a number out of range";
            break;
        case json_error_null_byte_in_key:
            *reason = "has a NUL in a name";
            break;
        default:
            *reason = "is not JSON";
            break;
        }
    }
    return value;
}

const char *json_text_member(const json_t *object, const char *name) {
    const json_t *member = json_object_get(object, name);
    if (!json_is_string(member)) {
        return NULL;
    }
    const char *text = json_string_value(member);
    return strlen(text) == json_string_length(member) ? text : NULL;
}

char *json_encode(const json_t *value) {
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text == NULL) {
        fatal("JSON can't be encoded");
    }
    return text;
}

char *json_quote(const char *text) {
    json_t *value = json_string(text);
    if (value == NULL) {
        return memory_copy_text("\"\"");
    }
    char *quoted = json_encode(value);
    json_decref(value);
    return quoted;
}

void json_append(struct buffer *out, const char *text) {
    static const char hex[] = "0123456789abcdef";
    size_t plain = 0; /* since here nothing had to be escaped */
    size_t i = 0;
    int failed = buffer_append_text(out, "\"");
    for (; text[i] != '\0'; i++) {
        unsigned char byte = (unsigned char)text[i];
        const char escape[] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
        if (byte >= ' ' && byte != '"' && byte != '\\') {
            continue;
        }
        failed |= buffer_append(out, text + plain, i - plain) | buffer_append(out, escape, sizeof escape);
        plain = i + 1;
    }
    failed |= buffer_append(out, text + plain, i - plain) | buffer_append_text(out, "\"");
    if (failed != 0) {
        fatal("a JSON text over its ceiling");
    }
}

json_t *json_choices(const char *choices) {
    json_t *list = json_array();
    for (const char *at = choices; *at != '\0';) {
        size_t length = strcspn(at, "|");
        json_array_append_new(list, json_stringn(at, length));
        at += length + (at[length] == '|' ? 1 : 0);
    }
    return list;
}
