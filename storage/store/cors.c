/* SPDX-License-Identifier: MIT
 * The store takes no cookies, so an origin is not a secret and "*" is safe: the signature is what protects.
 */
#include "storage/store/cors.h"

#include "storage/store/call.h"
#include <string.h>
#include <strings.h>

bool cors_allows(const char *origins, const char *origin) {
    size_t size = strlen(origin);

    while (origins != NULL && *origins != '\0') {
        origins += strspn(origins, ", ");
        size_t length = strcspn(origins, ", ");
        if ((length == 1 && *origins == '*') || (length == size && strncasecmp(origins, origin, size) == 0))
            return true;
        origins += length;
    }
    return false;
}

void cors_decorate(const struct call *call, struct reply *reply) {
    const char *origin = call_header(call, "origin");

    if (origin == NULL || !cors_allows(call->store->cors_origins, origin))
        return;
    reply_header(reply, "Access-Control-Allow-Origin", origin);
    reply_header(reply, "Access-Control-Expose-Headers",
                 "ETag, Content-Length, Content-Range, Accept-Ranges, Last-Modified, x-amz-request-id");
    reply_header(reply, "Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
}

void cors_preflight(struct call *call) {
    static const char methods[] = "GET, HEAD, PUT, POST, DELETE";
    const char *origin = call_header(call, "origin");
    const char *method = call_header(call, "access-control-request-method");
    struct reply reply = {.count = 0};

    if (origin == NULL || method == NULL) {
        call_fail_words(call, S3_INVALID_REQUEST, "OPTIONS needs Origin and Access-Control-Request-Method.");
        return;
    }
    if (!cors_allows(call->store->cors_origins, origin) || strchr(method, ',') != NULL ||
        strstr(methods, method) == NULL) {
        call_fail(call, S3_CORS_FORBIDDEN);
        return;
    }
    reply_header(&reply, "Access-Control-Allow-Methods", methods);
    reply_header(&reply, "Access-Control-Allow-Headers", call_header(call, "access-control-request-headers"));
    reply_header(&reply, "Access-Control-Max-Age", "3600");
    call_reply(call, 200, &reply);
}
