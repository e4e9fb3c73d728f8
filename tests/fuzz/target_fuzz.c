/* SPDX-License-Identifier: MIT
 * A request's target: percent-decoding, path and query. What was decoded encodes and decodes to the same. */
#include "http/request.h"
#include "lib/text.h"
#include "tests/fuzz/fuzz.h"

static void fuzz_percent(const char *text) {
    size_t size = strlen(text);
    char *decoded = malloc(size + 1), *encoded = malloc(3 * size + 1), *again = malloc(size + 1);

    require(decoded != NULL && encoded != NULL && again != NULL);
    if (text_percent_decode(decoded, size + 1, text, size, false) == 0) {
        require(text_percent_encode(encoded, 3 * size + 1, decoded, false) == 0);
        require(text_percent_decode(again, size + 1, encoded, strlen(encoded), true) == 0);
        require(strcmp(decoded, again) == 0);
    }
    free(decoded);
    free(encoded);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct http_request request = {0};
    struct http_header pairs[GUARD_QUERY_COUNT_MAX];
    char *text = exact_text(bytes, size);

    fuzz_percent(text);
    buffer_init(&request.body, 1);
    buffer_init(&request.stream.queue, 1);
    if (request_set_target(&request, text) == 0) {
        size_t count = http_request_queries(&request, pairs, GUARD_QUERY_COUNT_MAX);
        require(count <= GUARD_QUERY_COUNT_MAX && http_request_path(&request) != NULL);
        for (size_t i = 0; i < count; i++)
            require(http_request_query(&request, pairs[i].name) != NULL);
    }
    request_clear(&request);
    free(text);
    return 0;
}
