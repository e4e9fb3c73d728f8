/* SPDX-License-Identifier: MIT
 * A job's parameters against the rows of proto/catalog.h, and those rows as JSON Schemas. Pure. What passes
 * here may still be refused by the processor: rules between several parameters are its own. */
#ifndef GATEWAY_PARAMETERS_H
#define GATEWAY_PARAMETERS_H

#include "proto/catalog.h"
#include <jansson.h>

/* As jobs.payload may be: the scheduler fails larger ones. */
#define PARAMETERS_MAX_BYTES (16u * 1024u)

/* NULL when `parameters` (an object) fit; else what is wrong, one line per parameter by its path:
 * {"quality.webp":
 * ["1 to 100"]}. */
json_t *parameters_check(const struct catalog_row *row, const json_t *parameters);

/* JSON Schema (2020-12) of the object. */
json_t *parameters_schema(const struct catalog_row *row);

#endif
