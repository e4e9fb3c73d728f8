/* SPDX-License-Identifier: MIT
 * Fuzzes what comes over the channel and the runner's pipe. Besides the sanitizers' watch: a message that
 * decodes must encode again, and decode again to the same bytes. */
#include "lib/buffer.h"
#include "proto/message.h"
#include "proto/plan.h"
#include "tests/fuzz/fuzz.h"

static void fuzz_message(const uint8_t *bytes, size_t size) {
    static struct message message;
    struct buffer first;
    struct buffer second;
    const char *error = NULL;
    char *copy = exact_copy(bytes, size);
    if (message_decode(&message, copy, size, &error) != 0) {
        require(error != NULL);
        free(copy);
        return;
    }
    buffer_init(&first, MESSAGE_MAX_BYTES);
    buffer_init(&second, MESSAGE_MAX_BYTES);
    require(message_encode(&first, &message) == 0);
    char *again = exact_copy(first.data, first.size);
    require(message_decode(&message, again, first.size, &error) == 0);
    require(message_encode(&second, &message) == 0);
    require(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    buffer_clear(&first);
    buffer_clear(&second);
    free(again);
    free(copy);
}

static void fuzz_pairs(const uint8_t *bytes, size_t size) {
    struct message_pair pairs[64];
    struct buffer buffer;
    char *copy = exact_copy(bytes, size);
    int count = message_pairs_decode(pairs, 64, copy, size);
    if (count >= 0) {
        buffer_init(&buffer, MESSAGE_MAX_BYTES);
        require(message_pairs_encode(&buffer, pairs, (size_t)count) == 0);
        require(message_pairs_decode(pairs, 64, buffer.data, buffer.size) == count);
        buffer_clear(&buffer);
    }
    free(copy);
}

/* The first bytes of a user's file, too. */
static void fuzz_sniff(const uint8_t *bytes, size_t size) {
    char *copy = exact_copy(bytes, size);
    const char *media_type = media_type_sniff((const unsigned char *)copy, size);
    if (media_type != NULL) {
        require(media_type_is_valid(media_type));
        require(media_type_agrees(media_type, media_type));
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    fuzz_message(bytes, size);
    fuzz_pairs(bytes, size);
    fuzz_sniff(bytes, size);
    return 0;
}
