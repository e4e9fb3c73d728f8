/* SPDX-License-Identifier: MIT
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and sigv4-streaming-trailers.html. */
#include "storage/store/payload.h"

#include "lib/text.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *hash;
    bool is_signed;
    bool has_trailer;
} framings[] = {
    {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", true, false},
    {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", true, true},
    {"STREAMING-UNSIGNED-PAYLOAD-TRAILER", false, true},
};

/* ---- start ---- */

static enum s3_error start_framing(struct payload *payload, const struct http_request *request,
                                   const struct authorization *authorization) {
    const char *hash = authorization->payload_hash;
    const char *decoded = http_request_header(request, "x-amz-decoded-content-length");

    payload->expected_size = http_request_body_length(request);
    if (strcmp(hash, SIGV4_UNSIGNED_PAYLOAD) == 0)
        return S3_OK;
    if (strlen(hash) == 64 && hash[strspn(hash, "0123456789abcdef")] == '\0') {
        (void)text_copy(payload->expected_sha256, sizeof(payload->expected_sha256), hash);
        checksum_init(&payload->sha256, checksum_sha256);
        return S3_OK;
    }
    for (size_t i = 0; i < sizeof(framings) / sizeof(framings[0]); i++) {
        if (strcmp(hash, framings[i].hash) != 0)
            continue;
        if (decoded == NULL || text_parse_u64(decoded, 0, INT64_MAX, &payload->expected_size) != 0)
            return S3_MISSING_CONTENT_LENGTH;
        payload->state = PAYLOAD_CHUNK_LINE;
        payload->is_signed = framings[i].is_signed;
        payload->has_trailer = framings[i].has_trailer;
        (void)text_copy(payload->previous_signature, sizeof(payload->previous_signature),
                        authorization->signature);
        return S3_OK;
    }
    return S3_INVALID_ARGUMENT;
}

/* One additional checksum, in a header or announced for the trailer. */
static enum s3_error start_extra(struct payload *payload, const struct http_request *request) {
    const char *trailer = http_request_header(request, "x-amz-trailer");
    struct http_header headers[128];
    size_t count = http_request_headers(request, headers, sizeof(headers) / sizeof(headers[0]));

    for (size_t i = 0; i < count; i++) {
        const struct checksum_kind *kind = checksum_kind_of_header(headers[i].name);
        if (kind == NULL || kind == checksum_md5)
            continue;
        if (payload->extra_kind != NULL)
            return S3_INVALID_REQUEST;
        payload->extra_kind = kind;
        if (text_copy(payload->expected_extra, sizeof(payload->expected_extra), headers[i].value) != 0)
            return S3_INVALID_DIGEST;
    }
    if (trailer != NULL && payload->has_trailer) {
        const struct checksum_kind *kind = checksum_kind_of_header(trailer);
        if (kind == NULL || kind == checksum_md5 || payload->extra_kind != NULL)
            return S3_INVALID_REQUEST;
        payload->extra_kind = kind;
    }
    if (payload->extra_kind != NULL)
        checksum_init(&payload->extra, payload->extra_kind);
    return S3_OK;
}

/* Sixteen bytes in base64. */
static bool is_md5_base64(const char *text) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    return strlen(text) == 24 && strspn(text, digits) == 22 && strcmp(text + 22, "==") == 0;
}

enum s3_error payload_start(struct payload *payload, const struct http_request *request,
                            const struct authorization *authorization,
                            const struct sigv4_credentials *credentials) {
    const char *md5 = http_request_header(request, "content-md5");
    enum s3_error error;

    *payload = (struct payload){.credentials = credentials, .date = authorization->date};
    checksum_init(&payload->md5, checksum_md5);
    error = start_framing(payload, request, authorization);
    if (error == S3_OK)
        error = start_extra(payload, request);
    if (error == S3_OK && md5 != NULL) {
        if (!is_md5_base64(md5))
            return S3_INVALID_DIGEST;
        (void)text_copy(payload->expected_md5, sizeof(payload->expected_md5), md5);
    }
    return error;
}

/* ---- signatures of chunks and trailer ---- */

static enum s3_error check_signature(struct payload *payload, const char *kind, const char *middle,
                                     struct checksum *content, const char *given) {
    unsigned char digest[CHECKSUM_MAX];
    char hex[2 * CHECKSUM_MAX + 1];
    char to_sign[1024];
    char signature[65];
    size_t size = checksum_finish(content, digest);

    text_hex_encode(hex, digest, size);
    if (text_format(to_sign, sizeof(to_sign), "AWS4-HMAC-SHA256-%s\n%s\n%.8s/%s/%s/aws4_request\n%s\n%s%s",
                    kind, payload->date, payload->date, payload->credentials->region,
                    payload->credentials->service, payload->previous_signature, middle, hex) != 0)
        return S3_INTERNAL;
    sigv4_signature(payload->credentials, payload->date, to_sign, signature);
    if (!text_equal_secret(signature, given))
        return S3_SIGNATURE_MISMATCH;
    (void)text_copy(payload->previous_signature, sizeof(payload->previous_signature), signature);
    return S3_OK;
}

static enum s3_error end_chunk(struct payload *payload) {
    if (!payload->is_signed)
        return S3_OK;
    return check_signature(payload, "PAYLOAD", SIGV4_EMPTY_SHA256 "\n", &payload->chunk_sha256,
                           payload->chunk_signature);
}

/* ---- lines ---- */

/* "1f4[;chunk-signature=<64 hex>]" */
static enum s3_error take_chunk_line(struct payload *payload) {
    static const char signature_name[] = ";chunk-signature=";
    size_t digits = strspn(payload->line, "0123456789abcdefABCDEF");
    const char *rest = payload->line + digits;
    uint64_t size = 0;

    if (digits == 0 || digits > 15)
        return S3_INCOMPLETE_BODY;
    for (size_t i = 0; i < digits; i++) {
        unsigned char c = (unsigned char)payload->line[i];
        size = size * 16 + (uint64_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    if (payload->is_signed) {
        if (!text_starts_with(rest, signature_name) || strlen(rest) != strlen(signature_name) + 64)
            return S3_SIGNATURE_MISMATCH;
        (void)text_copy(payload->chunk_signature, sizeof(payload->chunk_signature),
                        rest + strlen(signature_name));
        checksum_clear(&payload->chunk_sha256);
        checksum_init(&payload->chunk_sha256, checksum_sha256);
    }
    if (size > payload->expected_size - payload->size)
        return S3_INCOMPLETE_BODY;
    payload->chunk_left = size;
    payload->last_chunk = size == 0;
    payload->state = PAYLOAD_CHUNK_DATA;
    if (!payload->last_chunk)
        return S3_OK;
    payload->state = PAYLOAD_TRAILER;
    if (payload->has_trailer && payload->is_signed) {
        checksum_clear(&payload->trailer_sha256);
        checksum_init(&payload->trailer_sha256, checksum_sha256);
    }
    return end_chunk(payload);
}

/* A line behind the last chunk; the empty one ends the body. */
static enum s3_error take_trailer_line(struct payload *payload) {
    size_t name_size = strcspn(payload->line, ":");
    char *value = payload->line + name_size + 1;

    if (payload->line_size == 0) {
        payload->state = PAYLOAD_DONE;
        return S3_OK;
    }
    if (!payload->has_trailer || payload->line[name_size] != ':')
        return S3_INCOMPLETE_BODY;
    payload->line[name_size] = '\0';
    value += strspn(value, " \t");
    for (size_t size = strlen(value); size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t'); size--)
        value[size - 1] = '\0';
    if (strcasecmp(payload->line, "x-amz-trailer-signature") == 0) {
        if (!payload->is_signed || payload->trailer_signed)
            return S3_SIGNATURE_MISMATCH;
        payload->trailer_signed = true;
        return check_signature(payload, "TRAILER", "", &payload->trailer_sha256, value);
    }
    if (payload->extra_kind == NULL ||
        strcasecmp(payload->line, checksum_kind_header(payload->extra_kind)) != 0 ||
        payload->trailer_signed || payload->expected_extra[0] != '\0')
        return S3_INVALID_REQUEST;
    if (payload->is_signed) {
        const char *name = checksum_kind_header(payload->extra_kind);
        checksum_update(&payload->trailer_sha256, name, strlen(name));
        checksum_update(&payload->trailer_sha256, ":", 1);
        checksum_update(&payload->trailer_sha256, value, strlen(value));
        checksum_update(&payload->trailer_sha256, "\n", 1);
    }
    return text_copy(payload->expected_extra, sizeof(payload->expected_extra), value) == 0
               ? S3_OK
               : S3_INVALID_DIGEST;
}

/* Gathers one CRLF-ended line; true when it is complete (without its CRLF). */
static bool gather_line(struct payload *payload, char c, enum s3_error *error) {
    if (payload->line_size + 1 == sizeof(payload->line)) {
        *error = S3_INCOMPLETE_BODY;
        return false;
    }
    payload->line[payload->line_size++] = c;
    if (c != '\n')
        return false;
    payload->line_size--;
    if (payload->line_size > 0 && payload->line[payload->line_size - 1] == '\r')
        payload->line_size--;
    payload->line[payload->line_size] = '\0';
    return true;
}

static enum s3_error take_line(struct payload *payload) {
    enum s3_error error = S3_OK;

    if (strlen(payload->line) != payload->line_size)
        error = S3_INCOMPLETE_BODY;
    else if (payload->state == PAYLOAD_CHUNK_LINE)
        error = take_chunk_line(payload);
    else if (payload->state == PAYLOAD_TRAILER)
        error = take_trailer_line(payload);
    else if (payload->line_size != 0)
        error = S3_INCOMPLETE_BODY;
    else
        payload->state = PAYLOAD_CHUNK_LINE;
    payload->line_size = 0;
    return error;
}

/* ---- bytes ---- */

static enum s3_error pass_on(struct payload *payload, const char *bytes, size_t size, payload_sink_fn *sink,
                             void *context) {
    payload->size += size;
    if (payload->size > payload->expected_size)
        return S3_INCOMPLETE_BODY;
    checksum_update(&payload->md5, bytes, size);
    if (payload->sha256.kind != NULL)
        checksum_update(&payload->sha256, bytes, size);
    if (payload->extra.kind != NULL)
        checksum_update(&payload->extra, bytes, size);
    if (payload->state == PAYLOAD_CHUNK_DATA && payload->is_signed)
        checksum_update(&payload->chunk_sha256, bytes, size);
    return sink(context, bytes, size) == 0 ? S3_OK : S3_INTERNAL;
}

enum s3_error payload_feed(struct payload *payload, const char *bytes, size_t size, payload_sink_fn *sink,
                           void *context) {
    enum s3_error error = S3_OK;

    if (payload->state == PAYLOAD_PLAIN)
        return pass_on(payload, bytes, size, sink, context);
    while (size > 0 && error == S3_OK) {
        size_t taken = 1;
        if (payload->state == PAYLOAD_DONE)
            return S3_INCOMPLETE_BODY;
        if (payload->state == PAYLOAD_CHUNK_DATA) {
            taken = size < payload->chunk_left ? size : (size_t)payload->chunk_left;
            error = pass_on(payload, bytes, taken, sink, context);
            payload->chunk_left -= taken;
            if (payload->chunk_left == 0 && error == S3_OK) {
                error = end_chunk(payload);
                payload->state = PAYLOAD_CHUNK_END;
            }
        } else if (gather_line(payload, *bytes, &error)) {
            error = take_line(payload);
        }
        bytes += taken;
        size -= taken;
    }
    return error;
}

static enum s3_error compare_checksums(struct payload *payload) {
    unsigned char result[CHECKSUM_MAX];
    char text[2 * CHECKSUM_MAX + 1];

    if (payload->sha256.kind != NULL) {
        size_t sha256_size = checksum_finish(&payload->sha256, result);
        text_hex_encode(text, result, sha256_size);
        if (strcmp(text, payload->expected_sha256) != 0)
            return S3_CONTENT_SHA256_MISMATCH;
    }
    size_t size = checksum_finish(&payload->md5, payload->md5_result);
    text_hex_encode(payload->md5_hex, payload->md5_result, size);
    checksum_base64(text, payload->md5_result, size);
    if (payload->expected_md5[0] != '\0' && strcmp(text, payload->expected_md5) != 0)
        return S3_BAD_DIGEST;
    if (payload->extra.kind != NULL) {
        size = checksum_finish(&payload->extra, result);
        checksum_base64(payload->extra_base64, result, size);
        if (strcmp(payload->extra_base64, payload->expected_extra) != 0)
            return S3_BAD_DIGEST;
    }
    return S3_OK;
}

enum s3_error payload_finish(struct payload *payload) {
    bool framed = payload->state != PAYLOAD_PLAIN;

    /* The last CRLF may be missing when there is no trailer: the zero chunk is what ends the data. */
    if (framed && payload->state != PAYLOAD_DONE &&
        (payload->state != PAYLOAD_TRAILER || payload->has_trailer || payload->line_size != 0))
        return S3_INCOMPLETE_BODY;
    if (payload->has_trailer && payload->is_signed && !payload->trailer_signed)
        return S3_SIGNATURE_MISMATCH;
    if (payload->expected_size != UINT64_MAX && payload->size != payload->expected_size)
        return S3_INCOMPLETE_BODY;
    return compare_checksums(payload);
}

void payload_clear(struct payload *payload) {
    checksum_clear(&payload->md5);
    checksum_clear(&payload->sha256);
    checksum_clear(&payload->extra);
    checksum_clear(&payload->chunk_sha256);
    checksum_clear(&payload->trailer_sha256);
}
