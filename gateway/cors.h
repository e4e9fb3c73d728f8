/* SPDX-License-Identifier: MIT
 * Which origins a browser may call from (the Fetch standard's CORS protocol). Credentials are never allowed:
 * tokens travel in Authorization, not in cookies. */
#ifndef GATEWAY_CORS_H
#define GATEWAY_CORS_H

#include <stdbool.h>

/* Is `origin` in the comma-separated list (or the list "*")? NULL list or origin: no. Compared byte for byte.
 */
bool cors_allows(const char *list, const char *origin);

#define CORS_ALLOW_HEADERS                                                                                   \
    "authorization, content-type, idempotency-key, last-event-id, traceparent, tracestate, x-request-id"
#define CORS_EXPOSE_HEADERS "idempotency-replayed, location, retry-after, traceresponse, x-request-id"
#define CORS_MAX_AGE "600"

#endif
