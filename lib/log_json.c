/* SPDX-License-Identifier: MIT
 * One pass over the pairs. Allocates nothing and never fails: a line is better short than lost. */
#include "lib/log_json.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/text.h"

#define WORDS_MAX 1024
#define NUMBER_DIGITS_MAX 15

static const char key_characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

struct output {
    char *text;
    size_t size, limit;
};

struct span {
    const char *text;
    size_t size;
};

static bool put(struct output *output, const char *text, size_t size) {
    if (size > output->limit - output->size)
        return false;
    memcpy(output->text + output->size, text, size);
    output->size += size;
    return true;
}

static size_t character_size(const char *text, size_t size) {
    unsigned char first = (unsigned char)*text;
    size_t wanted = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    return wanted <= size && text_is_utf8(text, wanted) ? wanted : 0;
}

/* As much of the text as fits before `reserve` bytes. */
static void put_escaped(struct output *output, struct span span, size_t reserve) {
    output->limit -= reserve;
    while (span.size > 0) {
        size_t size = character_size(span.text, span.size);
        char escape[8];
        bool fits;
        if (size == 0) {
            fits = put(output, "\xef\xbf\xbd", 3);
            size = 1;
        } else if (*span.text == '"' || *span.text == '\\') {
            fits = put(output, (char[]){'\\', *span.text}, 2);
        } else if ((unsigned char)*span.text < 0x20) {
            (void)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(unsigned char)*span.text);
            fits = put(output, escape, 6);
        } else {
            fits = put(output, span.text, size);
        }
        if (!fits)
            break;
        span.text += size;
        span.size -= size;
    }
    output->limit += reserve;
}

static bool is_number(struct span value) {
    size_t sign = value.size > 0 && *value.text == '-' ? 1 : 0;
    size_t digits = value.size - sign;

    return digits > 0 && digits <= NUMBER_DIGITS_MAX && strspn(value.text + sign, "0123456789") >= digits &&
           (value.text[sign] != '0' || digits == 1) && !(sign == 1 && value.text[1] == '0');
}

static void put_member(struct output *output, struct span key, struct span value) {
    size_t before = output->size;
    bool number = is_number(value);
    bool fits = (before == 1 || put(output, ",", 1)) && put(output, "\"", 1) &&
                put(output, key.text, key.size) && put(output, number ? "\":" : "\":\"", number ? 2 : 3);

    if (fits && number)
        fits = put(output, value.text, value.size);
    else if (fits && output->limit > output->size)
        put_escaped(output, value, 1);
    else
        fits = false;
    if (!fits || (!number && !put(output, "\"", 1)))
        output->size = before;
}

/* The value that begins at `*at`, which is moved behind it. */
static struct span take_value(const char **at) {
    struct span value = {.text = *at};

    if (**at != '"') {
        value.size = strcspn(*at, " ");
        *at += value.size;
        return value;
    }
    value.text++;
    const char *end = value.text;
    while (*end != '\0' && !(*end == '"' && (end[1] == ' ' || end[1] == '\0')))
        end++;
    value.size = (size_t)(end - value.text);
    *at = *end == '\0' ? end : end + 1;
    return value;
}

static void put_pairs(struct output *output, const char *at) {
    char words[WORDS_MAX];
    struct output rest = {.text = words, .limit = sizeof words};

    for (at += strspn(at, " "); *at != '\0'; at += strspn(at, " ")) {
        struct span key = {.text = at, .size = strspn(at, key_characters)};
        if (key.size > 0 && at[key.size] == '=') {
            at += key.size + 1;
            struct span value = take_value(&at);
            put_member(output, key, value);
            continue;
        }
        size_t size = strcspn(at, " ");
        if (rest.size == 0 || put(&rest, " ", 1))
            (void)put(&rest, at, size);
        at += size;
    }
    if (rest.size > 0)
        put_member(output, (struct span){"message", 7}, (struct span){words, rest.size});
}

size_t log_json_line(char *target, size_t size, const char *head, const char *message) {
    struct output output = {.text = target, .limit = size - 2};

    (void)put(&output, "{", 1);
    put_pairs(&output, head);
    put_pairs(&output, message);
    output.limit = size;
    (void)put(&output, "}\n", 2);
    return output.size;
}
