/* SPDX-License-Identifier: MIT
 * Parsing and making of trace ids; see trace.h. */
#include "lib/trace.h"

#include "lib/text.h"
#include <string.h>

#define ID_DIGITS (TRACE_ID_SIZE - 1)
#define PARENT_DIGITS 16
#define PARENT_SIZE (PARENT_DIGITS + 1)
#define HEADER_DIGITS (TRACE_HEADER_SIZE - 1)
#define RANDOM_MAX (ID_DIGITS / 2)

/* Exactly `count` lower-case hexadecimal digits come next. */
static bool is_hex(const char *text, size_t count) {
    return strspn(text, "0123456789abcdef") >= count;
}

static bool is_zero(const char *text, size_t count) {
    return strspn(text, "0") >= count;
}

/* Digits that are not all zero. */
static bool is_set(const char *text, size_t count) {
    return is_hex(text, count) && !is_zero(text, count);
}

bool trace_parse(const char *value, char id[TRACE_ID_SIZE]) {
    const char *trace, *parent, *flags;

    if (value == NULL || strnlen(value, TRACE_HEADER_SIZE) < HEADER_DIGITS)
        return false;
    trace = value + 3;
    parent = trace + ID_DIGITS + 1;
    flags = parent + PARENT_DIGITS + 1;
    if (!is_hex(value, 2) || strncmp(value, "ff", 2) == 0 || trace[-1] != '-' || parent[-1] != '-' ||
        flags[-1] != '-' || !is_set(trace, ID_DIGITS) || !is_set(parent, PARENT_DIGITS) || !is_hex(flags, 2))
        return false;
    /* Version 00 ends here; a later one may go on after another dash. */
    if (flags[2] != '\0' && (flags[2] != '-' || strncmp(value, "00", 2) == 0))
        return false;
    memcpy(id, trace, ID_DIGITS);
    id[ID_DIGITS] = '\0';
    return true;
}

static void make_digits(char *digits, size_t count) {
    static const char hex[] = "0123456789abcdef";
    unsigned char random[RANDOM_MAX];

    do {
        text_random(random, count / 2);
        for (size_t i = 0; i < count; i++)
            digits[i] = hex[i % 2 == 0 ? random[i / 2] >> 4 : random[i / 2] & 15];
        digits[count] = '\0';
    } while (is_zero(digits, count));
}

void trace_make(char id[TRACE_ID_SIZE]) {
    make_digits(id, ID_DIGITS);
}

bool trace_is_id(const char *id) {
    return id != NULL && strnlen(id, TRACE_ID_SIZE) == ID_DIGITS && is_set(id, ID_DIGITS);
}

int trace_header(char header[TRACE_HEADER_SIZE], const char *id) {
    char parent[PARENT_SIZE];

    if (!trace_is_id(id))
        return -1;
    make_digits(parent, PARENT_DIGITS);
    return text_format(header, TRACE_HEADER_SIZE, "00-%s-%s-01", id, parent);
}

int trace_line(char line[TRACE_LINE_SIZE], const char *id) {
    char header[TRACE_HEADER_SIZE];

    if (trace_header(header, id) != 0)
        return -1;
    return text_format(line, TRACE_LINE_SIZE, "traceparent: %s", header);
}
