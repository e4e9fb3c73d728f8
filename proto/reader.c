/* SPDX-License-Identifier: MIT
 * The MessagePack reader. Formats are one table over the first byte, after the "fix" forms. */
#include "proto/reader.h"

#include <string.h>

/* What follows a first byte from 0xc0 to 0xdf. `width` is the size of the number or length in bytes. */
struct format_row {
    enum token_kind kind;
    uint8_t width;
    bool is_signed;
    uint8_t fixed_size; /* EXTENSION of a fixed size: no length is written */
    bool valid;
};

static const struct format_row formats[32] = {
    [0x00] = {.kind = TOKEN_NIL, .valid = true},
    [0x02] = {.kind = TOKEN_BOOL, .valid = true},
    [0x03] = {.kind = TOKEN_BOOL, .valid = true},
    [0x04] = {.kind = TOKEN_BINARY, .width = 1, .valid = true},
    [0x05] = {.kind = TOKEN_BINARY, .width = 2, .valid = true},
    [0x06] = {.kind = TOKEN_BINARY, .width = 4, .valid = true},
    [0x07] = {.kind = TOKEN_EXTENSION, .width = 1, .valid = true},
    [0x08] = {.kind = TOKEN_EXTENSION, .width = 2, .valid = true},
    [0x09] = {.kind = TOKEN_EXTENSION, .width = 4, .valid = true},
    [0x0a] = {.kind = TOKEN_FLOAT, .width = 4, .valid = true},
    [0x0b] = {.kind = TOKEN_FLOAT, .width = 8, .valid = true},
    [0x0c] = {.kind = TOKEN_UNSIGNED, .width = 1, .valid = true},
    [0x0d] = {.kind = TOKEN_UNSIGNED, .width = 2, .valid = true},
    [0x0e] = {.kind = TOKEN_UNSIGNED, .width = 4, .valid = true},
    [0x0f] = {.kind = TOKEN_UNSIGNED, .width = 8, .valid = true},
    [0x10] = {.kind = TOKEN_UNSIGNED, .width = 1, .is_signed = true, .valid = true},
    [0x11] = {.kind = TOKEN_UNSIGNED, .width = 2, .is_signed = true, .valid = true},
    [0x12] = {.kind = TOKEN_UNSIGNED, .width = 4, .is_signed = true, .valid = true},
    [0x13] = {.kind = TOKEN_UNSIGNED, .width = 8, .is_signed = true, .valid = true},
    [0x14] = {.kind = TOKEN_EXTENSION, .fixed_size = 1, .valid = true},
    [0x15] = {.kind = TOKEN_EXTENSION, .fixed_size = 2, .valid = true},
    [0x16] = {.kind = TOKEN_EXTENSION, .fixed_size = 4, .valid = true},
    [0x17] = {.kind = TOKEN_EXTENSION, .fixed_size = 8, .valid = true},
    [0x18] = {.kind = TOKEN_EXTENSION, .fixed_size = 16, .valid = true},
    [0x19] = {.kind = TOKEN_TEXT, .width = 1, .valid = true},
    [0x1a] = {.kind = TOKEN_TEXT, .width = 2, .valid = true},
    [0x1b] = {.kind = TOKEN_TEXT, .width = 4, .valid = true},
    [0x1c] = {.kind = TOKEN_ARRAY, .width = 2, .valid = true},
    [0x1d] = {.kind = TOKEN_ARRAY, .width = 4, .valid = true},
    [0x1e] = {.kind = TOKEN_MAP, .width = 2, .valid = true},
    [0x1f] = {.kind = TOKEN_MAP, .width = 4, .valid = true},
};

static size_t bytes_left(const struct reader *reader) {
    return (size_t)(reader->end - reader->at);
}

/* Big-endian; the caller has checked that the bytes are there. */
static uint64_t take_number(struct reader *reader, size_t width) {
    uint64_t number = 0;
    for (size_t i = 0; i < width; i++) {
        number = (number << 8) | (unsigned char)*reader->at++;
    }
    return number;
}

static int take_bytes(struct reader *reader, struct token *token, uint32_t size) {
    if (bytes_left(reader) < size) {
        return -1;
    }
    token->bytes = reader->at;
    token->size = size;
    reader->at += size;
    return 0;
}

static int take_extension(struct reader *reader, struct token *token, uint32_t size) {
    if (bytes_left(reader) < 1) {
        return -1;
    }
    token->extension_type = (int8_t)*reader->at++;
    return take_bytes(reader, token, size);
}

/* Every element takes a byte at least, so a count that the rest cannot hold is refused before anyone counts
 * to it. */
static int take_count(const struct reader *reader, struct token *token, uint32_t count) {
    size_t least = token->kind == TOKEN_MAP ? 2 : 1;
    if (bytes_left(reader) / least < count) {
        return -1;
    }
    token->size = count;
    return 0;
}

static void take_signed(struct token *token, uint64_t number, size_t width) {
    uint64_t sign = 0x80;
    for (size_t i = 1; i < width; i++) {
        sign <<= 8;
    }
    if ((number & sign) == 0) {
        token->number = number;
        return;
    }
    token->kind = TOKEN_NEGATIVE;
    token->negative = -(int64_t)(sign - 1 - (number & (sign - 1))) - 1;
}

static double to_real(uint64_t number, size_t width) {
    double real;
    float narrow;
    if (width == 8) {
        memcpy(&real, &number, sizeof real);
        return real;
    }
    uint32_t bits = (uint32_t)number;
    memcpy(&narrow, &bits, sizeof narrow);
    return (double)narrow;
}

static int take_formatted(struct reader *reader, struct token *token, unsigned char first) {
    const struct format_row *row = &formats[first & 0x1fu];
    if (!row->valid || bytes_left(reader) < row->width) {
        return -1;
    }
    uint64_t number = take_number(reader, row->width);
    token->kind = row->kind;
    switch (row->kind) {
    case TOKEN_NIL:
        return 0;
    case TOKEN_BOOL:
        token->number = first & 1u;
        return 0;
    case TOKEN_UNSIGNED:
    case TOKEN_NEGATIVE:
        token->number = number;
        if (row->is_signed) {
            take_signed(token, number, row->width);
        }
        return 0;
    case TOKEN_FLOAT:
        token->real = to_real(number, row->width);
        return 0;
    case TOKEN_TEXT:
    case TOKEN_BINARY:
        return take_bytes(reader, token, (uint32_t)number);
    case TOKEN_EXTENSION:
        return take_extension(reader, token, row->fixed_size > 0 ? row->fixed_size : (uint32_t)number);
    case TOKEN_ARRAY:
    case TOKEN_MAP:
        return take_count(reader, token, (uint32_t)number);
    }
    return -1;
}

int reader_next(struct reader *reader, struct token *token) {
    memset(token, 0, sizeof *token);
    if (bytes_left(reader) < 1) {
        return -1;
    }
    unsigned char first = (unsigned char)*reader->at++;
    if (first < 0x80) {
        token->kind = TOKEN_UNSIGNED;
        token->number = first;
        return 0;
    }
    if (first >= 0xe0) {
        token->kind = TOKEN_NEGATIVE;
        token->negative = (int64_t)first - 256;
        return 0;
    }
    if (first >= 0xc0) {
        return take_formatted(reader, token, first);
    }
    if (first >= 0xa0) {
        token->kind = TOKEN_TEXT;
        return take_bytes(reader, token, first & 0x1fu);
    }
    token->kind = first >= 0x90 ? TOKEN_ARRAY : TOKEN_MAP;
    return take_count(reader, token, first & 0x0fu);
}

int reader_skip(struct reader *reader) {
    struct token token;
    /* Each token takes a byte and adds no more than the bytes left: it stays below size², and ends with them.
     */
    uint64_t pending = 1;
    while (pending > 0) {
        if (reader_next(reader, &token) != 0) {
            return -1;
        }
        pending--;
        pending += token.kind == TOKEN_ARRAY ? token.size : 0;
        pending += token.kind == TOKEN_MAP ? UINT64_C(2) * token.size : 0;
    }
    return 0;
}

char *token_terminate(struct token *token) {
    char *text = token->bytes - 1;
    memmove(text, token->bytes, token->size);
    text[token->size] = '\0';
    token->bytes = text;
    return text;
}
