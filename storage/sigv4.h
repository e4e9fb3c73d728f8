/* SPDX-License-Identifier: MIT
 * AWS Signature Version 4 (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html):
 * one canonicaliser for signing headers, presigning URLs, and checking both (the store). S3 path rules: the
 * path is percent-encoded once and never normalised; other services encode twice and normalise. */
#ifndef STORAGE_SIGV4_H
#define STORAGE_SIGV4_H

#include "lib/buffer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGV4_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"
#define SIGV4_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SIGV4_MAX_HEADERS 64

/* The key derived for one day; zeroed at first, secret like what it is derived from. */
struct sigv4_key {
    char day[9];
    unsigned char bytes[32];
};

struct sigv4_credentials {
    const char *access_key;
    const char *secret_key;
    const char *session_token; /* NULL if none */
    const char *region;
    const char *service; /* "s3" */
    struct sigv4_key *key; /* kept between signatures with these credentials; NULL: derived each time */
};

struct sigv4_pair {
    const char *name; /* header names in any case; query names decoded */
    const char *value;
};

struct sigv4_request {
    const char *method;
    const char *path; /* decoded, begins with '/'; for the known suite: as given */
    bool path_is_encoded;  /* path is raw from the wire and is used as it is */
    bool normalize_path;   /* general services: RFC 3986 §6 dot segments, and encode twice unless disabled */
    bool encode_twice;
    struct sigv4_pair headers[SIGV4_MAX_HEADERS]; /* those to sign; host must be there */
    size_t header_count;
    struct sigv4_pair query[SIGV4_MAX_HEADERS];
    size_t query_count;
    const char *payload_hash; /* hex, or SIGV4_UNSIGNED_PAYLOAD */
    char date[17];            /* 20130524T000000Z */
};

/* Building blocks, exact texts as in the specification; -1 if a buffer's ceiling or count is reached. */
int sigv4_canonical_request(const struct sigv4_request *request, struct buffer *out, char *signed_headers,
                            size_t signed_headers_size);
int sigv4_string_to_sign(const struct sigv4_credentials *credentials, const char *date, const char *canonical_request,
                         size_t size, struct buffer *out);
void sigv4_signature(const struct sigv4_credentials *credentials, const char *date, const char *string_to_sign,
                     char signature[65]);

/* Value of the Authorization header. */
int sigv4_authorization(const struct sigv4_credentials *credentials, const struct sigv4_request *request,
                        struct buffer *out);
/* Appends "?X-Amz-Algorithm=…&X-Amz-Signature=…" to what the caller puts before it; expires_s 1 … 604800. Query
 * parameters of the request are included. */
int sigv4_presign_query(const struct sigv4_credentials *credentials, const struct sigv4_request *request,
                        int64_t expires_s, struct buffer *out);

#endif
