/* SPDX-License-Identifier: MIT
 * The routes, one row each: what is served, by whom, with what in and out. The same rows make the OpenAPI
 * document. */
#ifndef GATEWAY_ROUTES_H
#define GATEWAY_ROUTES_H

#include "gateway/fields.h"
#include "gateway/problems.h"
#include <stdbool.h>
#include <stddef.h>

#define ROUTE_MAX_PARAMETERS 2
#define ROUTE_PARAMETER_MAX 65
#define ROUTE_MAX_PROBLEMS 12

struct call;

enum route_flag {
    ROUTE_AUTHENTICATED = 1u << 0,
    ROUTE_WRITES = 1u << 1,         /* refused while draining */
    ROUTE_IDEMPOTENT_KEY = 1u << 2, /* Idempotency-Key works */
    ROUTE_BODY = 1u << 3,           /* a JSON object by `fields`; required unless ROUTE_BODY_OPTIONAL */
    ROUTE_BODY_OPTIONAL = 1u << 4,
    ROUTE_NO_HEAD = 1u << 5, /* GET only */
    ROUTE_PAGE = 1u << 6,    /* for browsers: not of the API, not in its document */
    ROUTE_STREAM_BODY = 1u << 7, /* multipart/form-data, handed to `stream` as it comes; up to form-bytes */
    ROUTE_ONCE = 1u << 8, /* what it makes would be there twice: a key whose answer was lost is not free again */
};

struct route {
    const char *method;
    const char *pattern; /* "/v1/files/:id/download": a segment that begins with ':' is a parameter */
    const char *operation;
    unsigned flags;
    void (*handler)(struct call *call);
    /* Some of the body: 0; 1 when it holds the client back (http_request_pause) and will let it go on; -1 when the call
     * is answered. The handler comes after the last. */
    int (*stream)(struct call *call, const char *bytes, size_t size);
    const struct field *fields; /* of the body */
    size_t field_count;
    const struct field *query;
    size_t query_count;
    const char *summary;
    int success;                               /* status of the answer */
    const char *response;                      /* its schema's name in the OpenAPI document; NULL: no JSON */
    enum problem problems[ROUTE_MAX_PROBLEMS]; /* beyond those that any such route may give; 0 ends */
};

/* Rows of a table: what reads, writes, writes with an Idempotency-Key, and makes something; all need a token. */
#define ROUTE_READS ROUTE_AUTHENTICATED
#define ROUTE_CHANGES (ROUTE_AUTHENTICATED | ROUTE_WRITES)
#define ROUTE_POSTS (ROUTE_AUTHENTICATED | ROUTE_WRITES | ROUTE_IDEMPOTENT_KEY)
#define ROUTE_MAKES (ROUTE_POSTS | ROUTE_ONCE)
#define ROUTE_FIELDS(table) .fields = (table), .field_count = sizeof(table) / sizeof((table)[0])
#define ROUTE_QUERY(table) .query = (table), .query_count = sizeof(table) / sizeof((table)[0])

/* The routes of all modules as one list; NULL beyond the last. */
size_t routes_count(void);
const struct route *routes_at(size_t index);

enum route_match { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };

/* Finds the row for a method and a raw (not decoded) path. Literal segments must be equal byte for byte;
 * `:id` and
 * `:user_id` take a UUID, `:kind` and `:name` take [a-z0-9_-], `:asset` dots too: anything percent-encoded
 * matches nothing. HEAD finds GET. With ROUTE_NO_METHOD, `allow` (128 bytes) holds the value of the Allow header. */
enum route_match route_find(const char *method, const char *path, const struct route **route,
                            char parameters[ROUTE_MAX_PARAMETERS][ROUTE_PARAMETER_MAX], char allow[128]);

#endif
