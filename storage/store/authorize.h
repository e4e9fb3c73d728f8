/* SPDX-License-Identifier: MIT
 * Who asks: checks SigV4 in the Authorization header or in the query, strictly, before any body is read. */
#ifndef STORAGE_STORE_AUTHORIZE_H
#define STORAGE_STORE_AUTHORIZE_H

#include "http/server.h"
#include "storage/sigv4.h"
#include "storage/store/errors.h"
#include <stdbool.h>

struct authorization {
    bool presigned;
    char date[17];
    char signature[65];       /* the seed of signed chunks */
    const char *payload_hash; /* borrowed from the request: hex, UNSIGNED-PAYLOAD or STREAMING-… */
    const char *words;        /* of the error, when there are better ones than its own; NULL else */
};

/* `now_ms` is wall time. S3_OK, or what to answer. */
enum s3_error authorize(const struct http_request *request, const struct sigv4_credentials *credentials,
                        int64_t now_ms, struct authorization *authorization);
/* Whether the request carries any sign of authentication at all. */
bool authorize_is_anonymous(const struct http_request *request);

#endif
