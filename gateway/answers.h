/* SPDX-License-Identifier: MIT
 * The shapes of the API's answers, as JSON Schemas (2020-12) for the OpenAPI document. */
#ifndef GATEWAY_ANSWERS_H
#define GATEWAY_ANSWERS_H

#include <jansson.h>

/* {name: schema}; a new reference. */
json_t *answers_schemas(void);

#endif
