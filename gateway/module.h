/* SPDX-License-Identifier: MIT
 * What the API is made of: each module brings its routes and the shapes of their answers, and is one row in
 * modules.c. Routing, checking of input and the OpenAPI document follow from these tables. */
#ifndef GATEWAY_MODULE_H
#define GATEWAY_MODULE_H

#include "gateway/routes.h"
#include <stddef.h>

/* The shape of an answer: either a choice ("a|b") or members, separated by blanks:
 *   name:type   type is text, integer, number, boolean, object, true, uri, Uuid, Time or another row's name;
 *               [type] is an array
 *   name?:type  may be null
 *   name~:type  may be absent */
struct answer_row {
    const char *name;
    const char *choices;
    const char *members;
};

struct gateway_module {
    const char *name;
    const struct route *routes;
    size_t route_count;
    const struct answer_row *answers; /* names are of one space for all modules */
    size_t answer_count;
};

#define MODULE_ROUTES(table) .routes = (table), .route_count = sizeof(table) / sizeof((table)[0])
#define MODULE_ANSWERS(table) .answers = (table), .answer_count = sizeof(table) / sizeof((table)[0])

extern const struct gateway_module *const gateway_modules[];
extern const size_t gateway_module_count;

#endif
