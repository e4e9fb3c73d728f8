/* SPDX-License-Identifier: MIT
 * Requests to the store: the input's first line is the target, "Name: value" lines are headers, what follows
 * an empty line is an aws-chunked body. Nothing is authorised, since no input is signed; the body's framing
 * is then read as if it had been. */
#include "http/request.h"
#include "storage/store/authorize.h"
#include "storage/store/payload.h"
#include "tests/fuzz/fuzz.h"

static const struct sigv4_credentials credentials = {
    .access_key = "AKIDEXAMPLE", .secret_key = "fuzz", .region = "us-east-1", .service = "s3"};

static const char *const framings[] = {
    SIGV4_UNSIGNED_PAYLOAD,
    SIGV4_EMPTY_SHA256,
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
};

static int count_bytes(void *context, const char *bytes, size_t size) {
    *(size_t *)context += size;
    return 0;
}

static void fuzz_payload(const struct http_request *request, const char *body, size_t size,
                         unsigned framing) {
    struct authorization authorization = {.date = "20260101T000000Z", .payload_hash = framings[framing]};
    struct payload payload = {0};
    size_t step = size % 7 + 1, passed = 0;

    if (payload_start(&payload, request, &authorization, &credentials) == S3_OK) {
        enum s3_error error = S3_OK;
        for (size_t at = 0; at < size && error == S3_OK; at += step) {
            size_t piece = size - at < step ? size - at : step;
            char *copy = exact_copy(body + at, piece);
            error = payload_feed(&payload, copy, piece, count_bytes, &passed);
            free(copy);
        }
        require(passed <= size);
        if (error == S3_OK)
            (void)payload_finish(&payload);
    }
    payload_clear(&payload);
}

/* Cuts the next line off; NULL at the empty one or the end. */
static char *next_line(char **rest) {
    char *line = *rest, *end = strchr(line, '\n');

    if (end != NULL)
        *end = '\0';
    *rest = end != NULL ? end + 1 : line + strlen(line);
    return *line != '\0' ? line : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct http_request request = {.method = "PUT"};
    struct authorization authorization = {0};
    char *text, *rest, *line, *target;

    if (size < 2)
        return 0;
    text = rest = exact_text(bytes + 1, size - 1);
    buffer_init(&request.body, 1);
    buffer_init(&request.stream.queue, 1);
    target = next_line(&rest);
    if (target != NULL && *target == '/' && request_set_target(&request, target) == 0) {
        while ((line = next_line(&rest)) != NULL && request.header_count < GUARD_FIELD_COUNT_MAX) {
            char *value = strstr(line, ": ");
            if (value == NULL)
                continue;
            *value = '\0';
            request_add_header(&request, line, value + 2);
        }
        require(authorize(&request, &credentials, INT64_C(1767225600000), &authorization) != S3_OK);
        fuzz_payload(&request, rest, strlen(rest), bytes[0] % (sizeof framings / sizeof framings[0]));
    }
    request_clear(&request);
    free(text);
    return 0;
}
