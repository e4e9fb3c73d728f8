/* SPDX-License-Identifier: MIT
 * The body of a request as it comes in: takes the aws-chunked framing off (signed or not, with or without
 * trailer), computes what must be compared, and passes the bytes on. Nothing it passed on may be used before
 * payload_finish has said that all of it was as announced. */
#ifndef STORAGE_STORE_PAYLOAD_H
#define STORAGE_STORE_PAYLOAD_H

#include "http/server.h"
#include "storage/sigv4.h"
#include "storage/store/authorize.h"
#include "storage/store/checksum.h"
#include "storage/store/errors.h"
#include <stdbool.h>
#include <stdint.h>

#define PAYLOAD_LINE_MAX 512

enum payload_state {
    PAYLOAD_PLAIN,
    PAYLOAD_CHUNK_LINE,
    PAYLOAD_CHUNK_DATA,
    PAYLOAD_CHUNK_END, /* the CRLF behind the data */
    PAYLOAD_TRAILER,
    PAYLOAD_DONE,
};

struct payload {
    enum payload_state state;
    bool is_signed; /* each chunk */
    bool has_trailer;
    bool trailer_signed;
    const struct sigv4_credentials *credentials;
    const char *date;
    char previous_signature[65];
    char chunk_signature[65];
    char line[PAYLOAD_LINE_MAX];
    size_t line_size;
    uint64_t chunk_left;
    bool last_chunk;
    uint64_t expected_size; /* decoded; UINT64_MAX: not announced */
    uint64_t size;
    char expected_sha256[65]; /* hex, "" if none */
    char expected_md5[CHECKSUM_BASE64_SIZE];
    char expected_extra[CHECKSUM_BASE64_SIZE]; /* of a header or trailer */
    const struct checksum_kind *extra_kind;
    struct checksum md5;
    struct checksum sha256;
    struct checksum extra;
    struct checksum chunk_sha256;
    struct checksum trailer_sha256;
    /* results, after payload_finish */
    char md5_hex[33];
    unsigned char md5_result[CHECKSUM_MAX];
    char extra_base64[CHECKSUM_BASE64_SIZE]; /* "" if none was asked for */
};

typedef int payload_sink_fn(void *context, const char *bytes, size_t size); /* -1 stops */

/* Decides the framing from the headers; S3_OK, or what to answer. `authorization` is borrowed. */
enum s3_error payload_start(struct payload *payload, const struct http_request *request,
                            const struct authorization *authorization,
                            const struct sigv4_credentials *credentials);
/* S3_OK, what to answer, or S3_INTERNAL when the sink stopped. */
enum s3_error payload_feed(struct payload *payload, const char *bytes, size_t size, payload_sink_fn *sink,
                           void *context);
enum s3_error payload_finish(struct payload *payload);
void payload_clear(struct payload *payload);

#endif
