/* SPDX-License-Identifier: MIT
 * What a body or a query may hold, as rows: the same rows check a request and describe it in the OpenAPI
 * document. Pure. A member that is not in the rows is refused, so nothing unknown or privileged is ever
 * applied. */
#ifndef GATEWAY_FIELDS_H
#define GATEWAY_FIELDS_H

#include "http/server.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_type {
    FIELD_TEXT, /* min … max UTF-16 code units, as browsers count */
    FIELD_UUID,
    FIELD_INTEGER,    /* min … max */
    FIELD_NUMBER,     /* min … max; with a fraction or without. In bodies alone */
    FIELD_CHOICE,     /* one of choices */
    FIELD_MEDIA_TYPE, /* type/subtype with optional parameters, at most max bytes */
    FIELD_SHA256,     /* 64 hex digits */
    FIELD_TIME,       /* RFC 3339: 2026-01-31T12:00:00Z */
    FIELD_OBJECT,     /* any; whoever takes it looks inside */
    FIELD_LIST,       /* min … max of anything; the same */
    FIELD_BOOLEAN,
    FIELD_TYPE_COUNT
};

struct field {
    const char *name;
    enum field_type type;
    bool required;
    int64_t min;
    int64_t max;         /* FIELD_MAX_UPLOAD: the largest upload of the settings */
    const char *choices; /* "a|b|c" */
    const char *description;
};

#define FIELD_MAX_UPLOAD INT64_C(-1)

struct field_rows {
    const struct field *fields;
    size_t count;
    int64_t max_upload_bytes;
};

/* NULL when `body` fits; else details in the shape of zod's flatten():
 * {"formErrors":[…],"fieldErrors":{name:[…]}}. */
json_t *fields_check(const struct field_rows *rows, const json_t *body);
/* The same of a query's parameters; those not in the rows, and those given twice, are refused. */
json_t *fields_check_query(const struct field_rows *rows, const struct http_header *parameters, size_t count);

/* JSON Schema (2020-12) of one field, and of an object of them. */
json_t *fields_schema_of(const struct field *field, int64_t max_upload_bytes);
json_t *fields_schema(const struct field_rows *rows);

/* ASCII to lower case, in place: UUIDs and media types, which are compared that way. */
void fields_lower(char *text);

#endif
