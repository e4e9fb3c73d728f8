/* SPDX-License-Identifier: MIT
 * Tokens and key sets. No token that was not signed with the key verifies, and a payload is judged without
 * harm. */
#include "gateway/key_set.h"
#include "tests/fuzz/fuzz.h"

static const char secret[] = "a secret of more than thirty-two bytes, for fuzzing";

static void fuzz_signed(const struct token_key *key, const uint8_t *bytes, size_t size) {
    json_t *claims = json_loadb((const char *)bytes, size, 0, NULL);
    char *token = json_is_object(claims) ? token_sign(key, claims) : NULL;
    char *payload = NULL;
    size_t payload_size;

    if (token != NULL && strlen(token) <= TOKEN_MAX_BYTES) {
        require(token_verify(key, token, &payload, &payload_size) == 0);
        free(payload);
        token[strlen(token) - 2] ^= 1; /* not the last: its low bits are no part of the signature */
        require(token_verify(key, token, &payload, &payload_size) != 0);
    }
    free(token);
    json_decref(claims);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const struct token_rules rules = {.audience = "authenticated", .leeway_s = 5};
    enum token_key_fault fault;
    struct token_key *key = token_key_from_secret(secret, &fault);
    struct token_header header = {0};
    struct token_claims claims;
    char *text = exact_text(bytes, size), *copy = exact_copy(bytes, size), *payload = NULL;
    size_t payload_size;
    bool weak = false;

    require(key != NULL);
    if (token_read_header(text, &header) == 0)
        require(token_verify(key, text, &payload, &payload_size) != 0);
    enum token_verdict verdict = token_judge(&rules, text, strlen(text), 1700000000, &claims);
    require(verdict != TOKEN_ACCEPTED || text_is_uuid(claims.user));
    fuzz_signed(key, bytes, size);
    struct key_set *set = key_set_parse(copy, size, &weak);
    require(set == NULL || key_set_count(set) <= KEY_SET_MAX_KEYS);
    if (set != NULL)
        (void)key_set_find(set, &header);
    key_set_free(set);
    token_key_free(key);
    free(copy);
    free(text);
    return 0;
}
