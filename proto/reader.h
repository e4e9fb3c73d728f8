/* SPDX-License-Identifier: MIT
 * A reader of MessagePack values, one token at a time, over bytes that nobody vouches for. It allocates
 * nothing, recurses nowhere, and announces no text, array or map that the bytes left could not hold. */
#ifndef PROTO_READER_H
#define PROTO_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum token_kind {
    TOKEN_NIL,
    TOKEN_BOOL,
    TOKEN_UNSIGNED, /* every integer that is not negative, however it was written */
    TOKEN_NEGATIVE,
    TOKEN_FLOAT,
    TOKEN_TEXT,
    TOKEN_BINARY,
    TOKEN_EXTENSION,
    TOKEN_ARRAY,
    TOKEN_MAP
};

struct token {
    enum token_kind kind;
    uint64_t number; /* UNSIGNED; BOOL: 0 or 1 */
    int64_t negative;
    double real;
    char *bytes;           /* TEXT, BINARY, EXTENSION */
    uint32_t size;         /* of those; elements of an ARRAY, pairs of a MAP, which follow as tokens */
    int8_t extension_type; /* EXTENSION */
};

struct reader {
    char *at;
    char *end;
};

/* Reads one token; -1 when the bytes end too early or begin with the byte that MessagePack never uses. */
int reader_next(struct reader *reader, struct token *token);
/* Passes over one value with everything in it; -1 as above. */
int reader_skip(struct reader *reader);
/* NUL-terminates a TEXT token in place, by moving it one byte to the left into its own header: no byte of a
 * neighbour is touched and nothing behind the end. Call at most once for a token. */
char *token_terminate(struct token *token);

#endif
