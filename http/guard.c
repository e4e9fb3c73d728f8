/* SPDX-License-Identifier: MIT
 * Follows a connection's bytes from message to message. Lines end in CRLF and nothing else; chunk sizes are
 * one to fifteen hexadecimal digits; chunk extensions are skipped but bounded. */
#include "http/guard.h"

#include <string.h>

#define HEAD_LINE_MAX (GUARD_METHOD_MAX + GUARD_TARGET_MAX + 16)
#define CHUNK_DIGITS_MAX 15u
#define CHUNK_EXTENSION_MAX 256u
#define TRAILER_MAX 4096u

static const struct guard_refusal bad_line_end = {400, "bad_request", "line not ended by CRLF"};
static const struct guard_refusal bad_byte = {400, "bad_request", "control byte in the head"};
static const struct guard_refusal empty_line = {400, "bad_request", "empty request line"};
static const struct guard_refusal long_method = {501, "not_implemented", "method too long"};
static const struct guard_refusal long_target = {414, "uri_too_long", "target too long"};
static const struct guard_refusal long_fields = {431, "headers_too_large", "header fields too large"};
static const struct guard_refusal bad_chunk = {400, "bad_request", "malformed chunk"};
static const struct guard_refusal bad_trailer = {400, "bad_request", "malformed trailer"};

void guard_init(struct guard *guard) {
    *guard = (struct guard){.phase = GUARD_HEAD};
    buffer_init(&guard->line, HEAD_LINE_MAX + GUARD_FIELDS_MAX + 4);
}

void guard_clear(struct guard *guard) {
    buffer_clear(&guard->line);
}

bool guard_is_idle(const struct guard *guard) {
    return guard->phase == GUARD_HEAD && guard->line.size == 0;
}

static void start_message(struct guard *guard) {
    buffer_reset(&guard->line);
    guard->head = (struct guard_head){0};
    guard->first_line_size = 0;
    guard->line_start = 0;
    guard->phase = GUARD_HEAD;
}

static void end_message(struct guard *guard) {
    guard->messages++;
    start_message(guard);
}

static void start_chunk(struct guard *guard) {
    guard->phase = GUARD_CHUNK_SIZE;
    guard->remaining = 0;
    guard->digits = 0;
}

static void end_head(struct guard *guard) {
    guard->heads++;
    buffer_reset(&guard->line);
    guard->line_start = 0;
    if (guard->head.chunked) {
        start_chunk(guard);
    } else if (guard->head.content_length > 0) {
        guard->phase = GUARD_LENGTH_BODY;
        guard->remaining = guard->head.content_length;
    } else {
        end_message(guard);
    }
}

/* The rules for every byte of heads and trailers, so that nothing waits for an end that never comes. */
static const struct guard_refusal *check_line_byte(const struct buffer *line, unsigned char byte) {
    bool after_return = line->size > 0 && line->data[line->size - 1] == '\r';

    if (after_return != (byte == '\n'))
        return &bad_line_end;
    if ((byte < ' ' && byte != '\t' && byte != '\r' && byte != '\n') || byte == 0x7f)
        return &bad_byte;
    return NULL;
}

static const struct guard_refusal *check_head_size(const struct guard *guard) {
    const struct buffer *line = &guard->line;

    if (guard->first_line_size > 0)
        return line->size - guard->first_line_size > GUARD_FIELDS_MAX + 2 ? &long_fields : NULL;
    if (line->size == GUARD_METHOD_MAX + 1 && memchr(line->data, ' ', line->size) == NULL)
        return &long_method;
    return line->size > HEAD_LINE_MAX ? &long_target : NULL;
}

/* Every line is judged when it ends: libmicrohttpd may see the lines before the one that is refused. */
static const struct guard_refusal *end_head_line(struct guard *guard) {
    const char *line = guard->line.data + guard->line_start;
    size_t size = guard->line.size - guard->line_start - 2;
    const struct guard_refusal *refusal;

    if (guard->first_line_size == 0) {
        guard->first_line_size = guard->line.size;
        refusal = size > 0 ? guard_check_request_line(line, size, &guard->head) : &empty_line;
    } else if (size > 0) {
        refusal = guard_check_field(line, size, &guard->head);
    } else {
        refusal = guard_check_head_end(&guard->head);
        if (refusal == NULL)
            end_head(guard);
        return refusal;
    }
    guard->line_start = guard->line.size;
    return refusal;
}

static const struct guard_refusal *take_head_byte(struct guard *guard, char byte) {
    const struct guard_refusal *refusal = check_line_byte(&guard->line, (unsigned char)byte);

    if (refusal != NULL)
        return refusal;
    if (buffer_append(&guard->line, &byte, 1) != 0)
        return &long_fields;
    refusal = check_head_size(guard);
    if (refusal != NULL || byte != '\n')
        return refusal;
    return end_head_line(guard);
}

/* Takes at once what no rule of take_head_byte could stop: bytes that belong to any line, short of every
 * limit. Returns how many. */
static size_t take_plain_bytes(struct guard *guard, const char *bytes, size_t size) {
    const struct buffer *line = &guard->line;
    size_t limit = guard->first_line_size > 0          ? guard->first_line_size + GUARD_FIELDS_MAX
                   : line->size > GUARD_METHOD_MAX + 1 ? HEAD_LINE_MAX
                                                       : 0;
    size_t taken = 0;

    if (line->size >= limit || line->data[line->size - 1] == '\r')
        return 0;
    if (size > limit - line->size)
        size = limit - line->size;
    while (taken < size && (unsigned char)bytes[taken] >= ' ' && bytes[taken] != 0x7f)
        taken++;
    return buffer_append(&guard->line, bytes, taken) == 0 ? taken : 0;
}

static const struct guard_refusal *take_trailer_byte(struct guard *guard, char byte) {
    struct buffer *line = &guard->line;

    if (check_line_byte(line, (unsigned char)byte) != NULL || line->size >= TRAILER_MAX ||
        buffer_append(line, &byte, 1) != 0)
        return &bad_trailer;
    if (byte != '\n')
        return NULL;
    size_t size = line->size - guard->line_start;
    if (size == 2) {
        end_message(guard);
        return NULL;
    }
    const struct guard_refusal *refusal = guard_check_trailer(line->data + guard->line_start, size - 2);
    guard->line_start = line->size;
    return refusal;
}

static int hex_digit(char byte) {
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return -1;
}

static const struct guard_refusal *take_chunk_size_byte(struct guard *guard, char byte) {
    int digit = hex_digit(byte);

    if (digit >= 0) {
        if (++guard->digits > CHUNK_DIGITS_MAX)
            return &bad_chunk;
        guard->remaining = guard->remaining * 16 + (uint64_t)digit;
        return NULL;
    }
    if (guard->digits == 0 || (byte != ';' && byte != '\r'))
        return &bad_chunk;
    guard->digits = 0;
    guard->phase = byte == ';' ? GUARD_CHUNK_EXTENSION : GUARD_CHUNK_SIZE_END;
    return NULL;
}

static const struct guard_refusal *take_chunk_byte(struct guard *guard, char byte) {
    switch (guard->phase) {
    case GUARD_CHUNK_SIZE:
        return take_chunk_size_byte(guard, byte);
    case GUARD_CHUNK_EXTENSION:
        if (byte == '\r')
            guard->phase = GUARD_CHUNK_SIZE_END;
        else if ((byte < ' ' && byte != '\t') || byte == 0x7f || ++guard->digits > CHUNK_EXTENSION_MAX)
            return &bad_chunk;
        return NULL;
    case GUARD_CHUNK_SIZE_END:
        if (byte != '\n')
            return &bad_chunk;
        guard->digits = 0;
        guard->phase = guard->remaining > 0 ? GUARD_CHUNK_DATA : GUARD_TRAILER;
        return NULL;
    default: /* GUARD_CHUNK_DATA_END */
        if (byte != "\r\n"[guard->digits])
            return &bad_chunk;
        if (++guard->digits == 2)
            start_chunk(guard);
        return NULL;
    }
}

/* Skips body bytes; returns how many. */
static size_t take_body(struct guard *guard, size_t size) {
    size_t taken = guard->remaining < size ? (size_t)guard->remaining : size;

    guard->remaining -= taken;
    if (guard->remaining > 0)
        return taken;
    if (guard->phase == GUARD_LENGTH_BODY) {
        end_message(guard);
    } else {
        guard->phase = GUARD_CHUNK_DATA_END;
        guard->digits = 0;
    }
    return taken;
}

size_t guard_feed(struct guard *guard, const char *bytes, size_t size) {
    size_t message_start = 0;

    for (size_t i = 0; i < size && guard->phase != GUARD_REFUSED;) {
        if (guard_is_idle(guard))
            message_start = i;
        if (guard->phase == GUARD_LENGTH_BODY || guard->phase == GUARD_CHUNK_DATA) {
            i += take_body(guard, size - i);
            continue;
        }
        if (guard->phase == GUARD_HEAD)
            i += take_plain_bytes(guard, bytes + i, size - i);
        if (i == size)
            break;
        char byte = bytes[i++];
        guard->refusal = guard->phase == GUARD_HEAD      ? take_head_byte(guard, byte)
                         : guard->phase == GUARD_TRAILER ? take_trailer_byte(guard, byte)
                                                         : take_chunk_byte(guard, byte);
        if (guard->refusal != NULL)
            guard->phase = GUARD_REFUSED;
    }
    return guard->phase == GUARD_REFUSED ? message_start : size;
}
