/* SPDX-License-Identifier: MIT
 * The field tables of all messages: number on the wire, place in the struct, limits. Private to proto/. */
#ifndef PROTO_FIELDS_H
#define PROTO_FIELDS_H

#include "proto/message.h"

enum field_kind {
    FIELD_TEXT,   /* UTF-8 without NUL */
    FIELD_PROSE,  /* the same; when sent, cut and cleaned instead of refused: it may quote a document */
    FIELD_UUID,   /* empty, or a UUID */
    FIELD_SHA256, /* empty, or 64 hex digits */
    FIELD_NUMBER,
    FIELD_BOOL,
    FIELD_LIST /* an array of maps */
};

struct field_row {
    uint8_t number; /* 0 is the message's type; a number is never used again for something else */
    enum field_kind kind;
    bool required; /* there, and neither empty nor 0 */
    uint32_t offset;
    uint64_t max; /* bytes of a text, value of a number, items of a list */
    /* LIST */
    uint32_t count_offset; /* of a size_t */
    uint32_t item_size;
    const struct field_row *items;
    uint32_t item_rows;
};

struct message_row {
    const char *name;
    const struct field_row *fields;
    uint32_t field_count;
};

extern const struct message_row message_rows[MESSAGE_TYPE_COUNT];

#endif
