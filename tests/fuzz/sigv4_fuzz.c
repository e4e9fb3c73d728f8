/* SPDX-License-Identifier: MIT
 * The canonicaliser: from NUL-separated texts comes a canonical request with exactly one line for each
 * header, or a refusal. */
#include "storage/keys.h"
#include "storage/sigv4.h"
#include "tests/fuzz/fuzz.h"

#define CANONICAL_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct sigv4_request request = {
        .method = "GET", .payload_hash = SIGV4_UNSIGNED_PAYLOAD, .date = "20260101T000000Z"};
    const char *texts[2 * SIGV4_MAX_HEADERS];
    char signed_headers[512], extension[17];
    struct buffer out;
    size_t count = 0;

    if (size < 2)
        return 0;
    char *copy = malloc(size + 1);
    require(copy != NULL);
    memcpy(copy, bytes, size);
    copy[size] = '\0';
    for (const char *at = copy + 1; at < copy + size && count < 2 * SIGV4_MAX_HEADERS; at += strlen(at) + 1)
        texts[count++] = at;
    request.path = count > 0 ? texts[0] : "/";
    request.path_is_encoded = (bytes[0] & 1) != 0;
    request.normalize_path = (bytes[0] & 2) != 0;
    request.encode_twice = (bytes[0] & 4) != 0;
    for (size_t i = 1; i + 1 < count; i += 2) {
        struct sigv4_pair pair = {texts[i], texts[i + 1]};
        if ((i & 2) != 0)
            request.headers[request.header_count++] = pair;
        else
            request.query[request.query_count++] = pair;
    }
    buffer_init(&out, CANONICAL_MAX);
    (void)sigv4_canonical_request(&request, &out, signed_headers, sizeof signed_headers);
    buffer_clear(&out);
    key_extension(extension, sizeof extension, request.path);
    require(*extension != '\0' &&
            strspn(extension, "abcdefghijklmnopqrstuvwxyz0123456789") == strlen(extension));
    require(!key_is_valid(request.path) || strstr(request.path, "..") == NULL);
    free(copy);
    return 0;
}
