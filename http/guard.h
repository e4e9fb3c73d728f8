/* SPDX-License-Identifier: MIT
 * The strict guard over the raw bytes of HTTP/1.1 requests (RFC 9112). It follows the stream of one
 * connection, heads and bodies alike, and says at the first byte that is not beyond doubt that the rest must
 * not be read. Where the RFC lets a server choose between repairing and refusing, it refuses. Pure: no clock,
 * no socket. */
#ifndef HTTP_GUARD_H
#define HTTP_GUARD_H

#include "lib/buffer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUARD_TARGET_MAX 8192u
#define GUARD_FIELDS_MAX 16384u /* bytes of all header lines together */
#define GUARD_FIELD_COUNT_MAX 100u
#define GUARD_METHOD_MAX 64u
#define GUARD_QUERY_COUNT_MAX 128u

struct guard_refusal {
    int status;
    const char *code;
    const char *reason; /* for the log */
};

/* What a head has said so far about the message's frame. */
struct guard_head {
    bool http10;
    bool chunked;
    uint64_t content_length;           /* 0 when there is none */
    unsigned seen;                     /* bit set of the fields that occur once */
    unsigned count;                    /* of fields */
    const struct guard_refusal *later; /* 413, 417 and 501 give way to any 400 in the same head */
};

/* Request line without its CRLF. NULL when it may pass. */
const struct guard_refusal *guard_check_request_line(const char *line, size_t size, struct guard_head *head);
/* One header line without its CRLF. */
const struct guard_refusal *guard_check_field(const char *line, size_t size, struct guard_head *head);
/* After the last header line. */
const struct guard_refusal *guard_check_head_end(const struct guard_head *head);
/* One trailer line without its CRLF. */
const struct guard_refusal *guard_check_trailer(const char *line, size_t size);

enum guard_phase {
    GUARD_HEAD,
    GUARD_LENGTH_BODY,
    GUARD_CHUNK_SIZE,
    GUARD_CHUNK_EXTENSION,
    GUARD_CHUNK_SIZE_END,
    GUARD_CHUNK_DATA,
    GUARD_CHUNK_DATA_END,
    GUARD_TRAILER,
    GUARD_REFUSED,
};

struct guard {
    enum guard_phase phase;
    struct buffer line; /* the head, or the trailer section, so far */
    struct guard_head head;
    size_t first_line_size; /* of the head, with CRLF; 0: not complete yet */
    size_t line_start;
    uint64_t remaining; /* bytes of body or chunk still to come */
    unsigned digits;    /* of the chunk size; later bytes of extension or line end seen */
    uint64_t heads;     /* complete heads let through */
    uint64_t messages;  /* complete messages let through */
    const struct guard_refusal *refusal;
};

void guard_init(struct guard *guard);
void guard_clear(struct guard *guard);

/* Follows the next `size` bytes of the stream. Returns how many of them may be handed on: all, or, when a
 * message is refused, the bytes before that message's start (0 if it started in an earlier call);
 * guard->refusal is then set and stays. */
size_t guard_feed(struct guard *guard, const char *bytes, size_t size);

/* True between messages, when nothing of the next one has come. */
bool guard_is_idle(const struct guard *guard);

#endif
