/* SPDX-License-Identifier: MIT
 * The OpenAPI 3.1 document, made from the routes table, the fields and the problems. */
#ifndef GATEWAY_OPENAPI_H
#define GATEWAY_OPENAPI_H

#include <stdint.h>

/* JSON text; the caller frees it. `server_url` may be NULL. */
char *openapi_document(const char *server_url, int64_t max_upload_bytes);

#endif
