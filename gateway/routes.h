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
#define ROUTE_MAX_PROBLEMS 8

struct call;

enum route_flag {
    ROUTE_AUTHENTICATED = 1u << 0,
    ROUTE_WRITES = 1u << 1,         /* refused while draining */
    ROUTE_IDEMPOTENT_KEY = 1u << 2, /* Idempotency-Key works */
    ROUTE_BODY = 1u << 3,           /* a JSON object by `fields`; required unless ROUTE_BODY_OPTIONAL */
    ROUTE_BODY_OPTIONAL = 1u << 4,
    ROUTE_NO_HEAD = 1u << 5, /* GET only */
};

struct route {
    const char *method;
    const char *pattern; /* "/v1/files/:id/download": a segment that begins with ':' is a parameter */
    const char *operation;
    unsigned flags;
    void (*handler)(struct call *call);
    const struct field *fields; /* of the body */
    size_t field_count;
    const struct field *query;
    size_t query_count;
    const char *summary;
    int success;                               /* status of the answer */
    const char *response;                      /* its schema's name in the OpenAPI document; NULL: no JSON */
    enum problem problems[ROUTE_MAX_PROBLEMS]; /* beyond those that any such route may give; 0 ends */
};

extern const struct route routes[];
extern const size_t route_count;

enum route_match { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };

/* Finds the row for a method and a raw (not decoded) path. Literal segments must be equal byte for byte;
 * `:id` and
 * `:user_id` take a UUID, `:kind` takes [a-z0-9_-]: anything percent-encoded matches nothing. HEAD finds GET.
 * With ROUTE_NO_METHOD, `allow` (128 bytes) holds the value of the Allow header. */
enum route_match route_find(const char *method, const char *path, const struct route **route,
                            char parameters[ROUTE_MAX_PARAMETERS][ROUTE_PARAMETER_MAX], char allow[128]);

#endif
