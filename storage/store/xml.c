/* SPDX-License-Identifier: MIT
 * Reader: one pass, in place, depth at most 8. Whatever S3's documents never have (DOCTYPE, CDATA, unknown
 * entities) is an error. */
#include "storage/store/xml.h"

#include "lib/text.h"
#include <stdint.h>
#include <string.h>

#define DEPTH_MAX 8
#define NAME_MAX_SIZE 64

int xml_escape(struct buffer *out, const char *text) {
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        int result;
        if (c == '&')
            result = buffer_append_text(out, "&amp;");
        else if (c == '<')
            result = buffer_append_text(out, "&lt;");
        else if (c == '>')
            result = buffer_append_text(out, "&gt;");
        else if (c == '"')
            result = buffer_append_text(out, "&quot;");
        else if (c < 0x20 || c == 0x7f)
            result = buffer_append_format(out, "&#x%X;", c);
        else
            result = buffer_append(out, text, 1);
        if (result != 0)
            return -1;
    }
    return 0;
}

int xml_element(struct buffer *out, const char *name, const char *text) {
    return buffer_append_format(out, "<%s>", name) != 0 || xml_escape(out, text) != 0 ||
                   buffer_append_format(out, "</%s>", name) != 0
               ? -1
               : 0;
}

int xml_element_number(struct buffer *out, const char *name, long long number) {
    return buffer_append_format(out, "<%s>%lld</%s>", name, number, name);
}

struct reader {
    const struct xml_events *events;
    void *context;
    char *next;
    unsigned depth;
    unsigned roots;
    char names[DEPTH_MAX][NAME_MAX_SIZE];
    char *texts[DEPTH_MAX]; /* where the text inside begins; its end is where the next tag began */
    char *text_ends[DEPTH_MAX];
};

/* The character of "&name;" as UTF-8, moved behind the write place; returns the byte count or -1. */
static int decode_reference(const char *name, size_t size, char *target) {
    static const struct {
        const char *name;
        char character;
    } entities[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    uint32_t code = 0;

    for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++) {
        if (strlen(entities[i].name) == size && memcmp(entities[i].name, name, size) == 0) {
            *target = entities[i].character;
            return 1;
        }
    }
    if (size < 2 || name[0] != '#')
        return -1;
    bool hex = name[1] == 'x';
    if (size == 2 && hex)
        return -1;
    for (size_t i = hex ? 2 : 1; i < size; i++) {
        uint32_t digit = name[i] >= '0' && name[i] <= '9'          ? (uint32_t)(name[i] - '0')
                         : hex && name[i] >= 'a' && name[i] <= 'f' ? (uint32_t)(name[i] - 'a' + 10)
                         : hex && name[i] >= 'A' && name[i] <= 'F' ? (uint32_t)(name[i] - 'A' + 10)
                                                                   : 99;
        code = code * (hex ? 16 : 10) + digit;
        if (digit == 99 || code > 0x10ffff)
            return -1;
    }
    if (code == 0 || (code >= 0xd800 && code < 0xe000))
        return -1;
    if (code < 0x80) {
        target[0] = (char)code;
        return 1;
    }
    int count = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (int i = count - 1; i > 0; i--, code >>= 6)
        target[i] = (char)(0x80 | (code & 0x3f));
    target[0] = (char)((0xf0 << (4 - count) & 0xff) | code);
    return count;
}

/* Text up to the next tag, decoded in place (it never grows). */
static int take_text(struct reader *reader) {
    char *source = reader->next;
    char *target = source;

    while (*source != '\0' && *source != '<') {
        if (*source != '&') {
            *target++ = *source++;
            continue;
        }
        size_t size = strcspn(source + 1, ";");
        if (source[1 + size] != ';' || size > 10)
            return -1;
        int count = decode_reference(source + 1, size, target);
        if (count < 0 || (size_t)count > size + 2)
            return -1;
        target += count;
        source += size + 2;
    }
    if (reader->depth > 0) {
        reader->texts[reader->depth - 1] = reader->next;
        reader->text_ends[reader->depth - 1] = target;
    } else {
        for (char *c = reader->next; c < target; c++) {
            if (strchr(" \t\r\n", *c) == NULL)
                return -1;
        }
    }
    reader->next = source;
    return 0;
}

static int take_name(const char *tag, char name[NAME_MAX_SIZE]) {
    size_t size = strcspn(tag, " \t\r\n/>");
    const char *colon = memchr(tag, ':', size);

    if (colon != NULL) {
        size -= (size_t)(colon + 1 - tag);
        tag = colon + 1;
    }
    if (size == 0 || size >= NAME_MAX_SIZE)
        return -1;
    memcpy(name, tag, size);
    name[size] = '\0';
    return 0;
}

static int close_element(struct reader *reader, const char *name) {
    unsigned depth = reader->depth;
    char *text;

    if (depth == 0 || strcmp(reader->names[depth - 1], name) != 0)
        return -1;
    text = reader->texts[depth - 1];
    *reader->text_ends[depth - 1] = '\0';
    reader->depth--;
    if (reader->events->close(reader->context, name, depth, text) != 0)
        return -1;
    if (reader->depth > 0) {
        /* Text after a child is not text of the parent that anybody asks for. */
        reader->texts[reader->depth - 1] = reader->text_ends[reader->depth - 1] = reader->next - 1;
    }
    return 0;
}

static int open_element(struct reader *reader, const char *name, bool empty, char *end) {
    reader->roots += reader->depth == 0;
    if (reader->depth == DEPTH_MAX || reader->roots > 1)
        return -1;
    (void)text_copy(reader->names[reader->depth], NAME_MAX_SIZE, name);
    reader->texts[reader->depth] = reader->text_ends[reader->depth] = end;
    reader->depth++;
    if (reader->events->open(reader->context, name, reader->depth) != 0)
        return -1;
    return empty ? close_element(reader, name) : 0;
}

/* End of the tag that starts at `tag`: a '>' outside quotes. */
static char *find_tag_end(char *tag) {
    char quote = '\0';

    for (; *tag != '\0'; tag++) {
        if (quote != '\0')
            quote = *tag == quote ? '\0' : quote;
        else if (*tag == '"' || *tag == '\'')
            quote = *tag;
        else if (*tag == '>')
            return tag;
    }
    return NULL;
}

static int take_tag(struct reader *reader) {
    char *tag = reader->next + 1;
    char name[NAME_MAX_SIZE];
    char *end = find_tag_end(tag);

    if (text_starts_with(tag, "!--")) {
        end = strstr(tag + 3, "-->");
        if (end == NULL)
            return -1;
        reader->next = end + 3;
        return 0;
    }
    if (end == NULL || *tag == '!')
        return -1;
    reader->next = end + 1;
    if (*tag == '?')
        return 0;
    if (*tag == '/')
        return take_name(tag + 1, name) == 0 ? close_element(reader, name) : -1;
    if (take_name(tag, name) != 0)
        return -1;
    return open_element(reader, name, end[-1] == '/', end);
}

int xml_parse(char *text, size_t size, const struct xml_events *events, void *context) {
    struct reader reader = {.events = events, .context = context, .next = text};

    if (size == 0 || strlen(text) != size || !text_is_utf8(text, size))
        return -1;
    if (text_starts_with(text, "\xEF\xBB\xBF"))
        reader.next += 3;
    while (*reader.next != '\0') {
        if (take_text(&reader) != 0)
            return -1;
        if (*reader.next == '<' && take_tag(&reader) != 0)
            return -1;
    }
    return reader.roots == 1 && reader.depth == 0 ? 0 : -1;
}
