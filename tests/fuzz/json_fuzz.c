/* SPDX-License-Identifier: MIT
 * JSON bodies. What is accepted is written and read again to the same value; what is not has a reason. */
#include "gateway/json.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    const char *reason = NULL;
    char *copy = exact_copy(bytes, size);
    json_t *value = json_decode(copy, size, &reason);

    if (value == NULL) {
        require(reason != NULL);
    } else {
        char *text = json_encode(value);
        json_t *again = json_decode(text, strlen(text), &reason);
        require(again != NULL && json_equal(value, again));
        json_decref(again);
        free(text);
        json_decref(value);
    }
    free(copy);
    return 0;
}
