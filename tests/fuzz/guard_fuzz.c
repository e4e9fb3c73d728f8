/* SPDX-License-Identifier: MIT
 * The guard over raw HTTP/1.1. Besides the sanitizers' watch: the verdict is the same however the stream is
 * cut into pieces, and no more bytes pass than were given. */
#include "http/guard.h"
#include "tests/fuzz/fuzz.h"

struct verdict {
    const struct guard_refusal *refusal;
    uint64_t heads, messages;
};

static struct verdict judge(const uint8_t *bytes, size_t size, size_t step) {
    struct guard guard;

    guard_init(&guard);
    for (size_t at = 0; at < size && guard.refusal == NULL; at += step) {
        size_t piece = size - at < step ? size - at : step;
        char *copy = exact_copy(bytes + at, piece);
        size_t passed = guard_feed(&guard, copy, piece);
        require(passed <= piece && (guard.refusal != NULL || passed == piece));
        free(copy);
    }
    struct verdict verdict = {guard.refusal, guard.heads, guard.messages};
    require(guard.messages <= guard.heads);
    guard_clear(&guard);
    return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const size_t steps[] = {1, 7, 4096};
    struct verdict whole = judge(bytes, size, size + 1);

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct verdict cut = judge(bytes, size, steps[i]);
        require(cut.refusal == whole.refusal && cut.heads == whole.heads && cut.messages == whole.messages);
    }
    return 0;
}
