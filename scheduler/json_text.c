/* SPDX-License-Identifier: MIT
 * A writer and nothing else; what came from outside is only ever written as an escaped text. */
#include "scheduler/json_text.h"

#include <stdbool.h>

static int json_comma(struct buffer *buffer) {
    char last = buffer->size == 0 ? '[' : buffer->data[buffer->size - 1];

    return last == '[' || last == '{' || last == ':' ? 0 : buffer_append(buffer, ",", 1);
}

int json_open(struct buffer *buffer, char bracket) {
    return json_comma(buffer) == 0 ? buffer_append(buffer, &bracket, 1) : -1;
}

int json_close(struct buffer *buffer, char bracket) {
    return buffer_append(buffer, &bracket, 1);
}

/* A text as an element, escaped; NULL is null. */
static int json_text(struct buffer *buffer, const char *text) {
    if (json_comma(buffer) != 0)
        return -1;
    if (text == NULL)
        return buffer_append_text(buffer, "null");
    if (buffer_append(buffer, "\"", 1) != 0)
        return -1;
    while (*text != '\0') {
        const char *plain = text;
        while ((unsigned char)*text >= 0x20 && *text != '"' && *text != '\\')
            text++;
        if (text > plain && buffer_append(buffer, plain, (size_t)(text - plain)) != 0)
            return -1;
        if (*text != '\0' && buffer_append_format(buffer, "\\u%04x", (unsigned char)*text++) != 0)
            return -1;
    }
    return buffer_append(buffer, "\"", 1);
}

int json_name(struct buffer *buffer, const char *name) {
    return json_text(buffer, name) == 0 ? buffer_append(buffer, ":", 1) : -1;
}

static int json_number(struct buffer *buffer, int64_t number) {
    return json_comma(buffer) == 0 ? buffer_append_format(buffer, "%lld", (long long)number) : -1;
}

int json_member_text(struct buffer *buffer, const char *name, const char *text) {
    return json_name(buffer, name) == 0 ? json_text(buffer, text != NULL && *text != '\0' ? text : NULL) : -1;
}

int json_member_number(struct buffer *buffer, const char *name, int64_t number) {
    return json_name(buffer, name) == 0 ? json_number(buffer, number) : -1;
}

char *json_take(struct buffer *buffer, int broken) {
    if (broken == 0 && buffer->size > 0)
        return buffer_take(buffer, NULL);
    buffer_clear(buffer);
    return NULL;
}
