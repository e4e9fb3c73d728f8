/* SPDX-License-Identifier: MIT
 * Keys, key sets and claims, as tables; signatures have the public vectors (tests/vectors/jws_test.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/key_set.h"
#include "gateway/token.h"
#include "lib/memory.h"
#include <stdlib.h>
#include <string.h>

#define SECRET "a secret of at least 32 bytes, as RFC 7518 asks"
#define USER "3B241101-E2BB-4255-8CAF-4136C566A962"
#define NOW 1000000

static const struct token_rules rules = {
    .audience = "authenticated", .issuer = "https://x/auth/v1", .leeway_s = 30};

#define BASE                                                                                                 \
    "\"aud\":\"authenticated\",\"iss\":\"https://x/auth/v1\",\"role\":\"authenticated\",\"sub\":\"" USER "\""

struct claim_case {
    const char *payload;
    enum token_verdict verdict;
};

static const struct claim_case claim_cases[] = {
    {"{" BASE ",\"exp\":1000001}", TOKEN_ACCEPTED},
    {"{" BASE ",\"exp\":999971}", TOKEN_ACCEPTED}, /* leeway */
    {"{" BASE ",\"exp\":999970}", TOKEN_REFUSED},
    {"{" BASE "}", TOKEN_REFUSED},
    {"{" BASE ",\"exp\":\"1000001\"}", TOKEN_REFUSED},
    {"{" BASE ",\"exp\":1000001.0}", TOKEN_REFUSED},
    {"{" BASE ",\"exp\":-1}", TOKEN_REFUSED},
    {"{" BASE ",\"exp\":1e99}", TOKEN_REFUSED},
    {"{" BASE ",\"exp\":9223372036854775808}", TOKEN_REFUSED},
    {"{" BASE ",\"exp\":null}", TOKEN_REFUSED},
    {"{" BASE ",\"exp\":1000001,\"exp\":1000002}", TOKEN_REFUSED},
    {"{" BASE ",\"exp\":1000001,\"nbf\":1000030,\"iat\":1000030}", TOKEN_ACCEPTED},
    {"{" BASE ",\"exp\":1000001,\"nbf\":1000031}", TOKEN_REFUSED},
    {"{" BASE ",\"exp\":1000001,\"iat\":1000031}", TOKEN_REFUSED},
    {"{" BASE ",\"exp\":1000001,\"nbf\":\"0\"}", TOKEN_REFUSED},
    {"{\"aud\":[\"authenticated\"],\"iss\":\"https://x/auth/v1\",\"role\":\"authenticated\",\"sub\":\"" USER
     "\",\"exp\":1000001}",
     TOKEN_REFUSED},
    {"{\"aud\":\"authenticated\",\"iss\":\"https://y/auth/v1\",\"role\":\"authenticated\",\"sub\":\"" USER
     "\",\"exp\":1000001}",
     TOKEN_REFUSED},
    {"{\"aud\":\"authenticated\",\"iss\":\"https://x/auth/v1\",\"role\":\"service_role\",\"exp\":1000001}",
     TOKEN_ROLE_REFUSED},
    {"{\"aud\":\"authenticated\",\"iss\":\"https://x/auth/v1\",\"sub\":\"" USER "\",\"exp\":1000001}",
     TOKEN_REFUSED},
    {"{\"aud\":\"authenticated\",\"iss\":\"https://x/auth/"
     "v1\",\"role\":\"authenticated\",\"sub\":\"me\",\"exp\":1000001}",
     TOKEN_REFUSED},
    {"[]", TOKEN_REFUSED},
    {"", TOKEN_REFUSED},
    {"null", TOKEN_REFUSED},
};

static void claims_are_judged(void **state) {
    for (size_t i = 0; i < sizeof claim_cases / sizeof claim_cases[0]; i++) {
        struct token_claims claims;
        print_message("%s\n", claim_cases[i].payload);
        assert_int_equal(
            token_judge(&rules, claim_cases[i].payload, strlen(claim_cases[i].payload), NOW, &claims),
            claim_cases[i].verdict);
        if (claim_cases[i].verdict == TOKEN_ACCEPTED) {
            assert_string_equal(claims.user, "3b241101-e2bb-4255-8caf-4136c566a962");
        }
    }
}

static enum token_key_fault fault_of(const char *text) {
    enum token_key_fault fault;
    json_t *jwk = json_loads(text, 0, NULL);
    assert_non_null(jwk);
    struct token_key *key = token_key_new(jwk, &fault);
    assert_int_equal(key != NULL, fault == TOKEN_KEY_OK);
    token_key_free(key);
    json_decref(jwk);
    return fault;
}

#define K31 "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA"
#define K32 "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg"
#define P256 "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" K32 "\",\"y\":\"" K32 "\""

static void a_key_has_one_use_and_one_algorithm(void **state) {
    assert_int_equal(fault_of("{\"kty\":\"oct\",\"k\":\"" K32 "\"}"), TOKEN_KEY_OK);
    assert_int_equal(fault_of("{\"kty\":\"oct\",\"k\":\"" K31 "\"}"), TOKEN_KEY_WEAK);
    assert_int_equal(fault_of("{\"kty\":\"oct\",\"k\":\"" K32 "\",\"alg\":\"HS512\"}"), TOKEN_KEY_UNUSABLE);
    assert_int_equal(fault_of("{\"kty\":\"oct\",\"k\":\"" K32 "\",\"use\":\"enc\"}"), TOKEN_KEY_UNUSABLE);
    assert_int_equal(fault_of("{\"kty\":\"oct\",\"k\":\"" K32 "=\"}"), TOKEN_KEY_UNUSABLE);
    assert_int_equal(fault_of("{\"kty\":\"oct\"}"), TOKEN_KEY_UNUSABLE);
    assert_int_equal(fault_of("{\"kty\":\"RSA\",\"n\":\"" K32 "\",\"e\":\"AQAB\"}"), TOKEN_KEY_WEAK);
    assert_int_equal(fault_of("{\"kty\":\"RSA\",\"n\":\"" K32 "\"}"), TOKEN_KEY_UNUSABLE);
    assert_int_equal(fault_of("{" P256 "}"), TOKEN_KEY_OK);
    assert_int_equal(fault_of("{" P256 ",\"alg\":\"ES256\",\"use\":\"sig\",\"key_ops\":[\"verify\"]}"),
                     TOKEN_KEY_OK);
    assert_int_equal(fault_of("{" P256 ",\"key_ops\":[\"sign\"]}"), TOKEN_KEY_UNUSABLE);
    assert_int_equal(fault_of("{" P256 ",\"alg\":\"HS256\"}"), TOKEN_KEY_UNUSABLE);
    assert_int_equal(fault_of("{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"}"),
                     TOKEN_KEY_UNUSABLE);
    assert_int_equal(fault_of("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}"), TOKEN_KEY_UNUSABLE);
    assert_int_equal(fault_of("{}"), TOKEN_KEY_UNUSABLE);
    assert_int_equal(fault_of("[]"), TOKEN_KEY_UNUSABLE);
}

static void a_signed_token_verifies_and_a_changed_one_does_not(void **state) {
    enum token_key_fault fault;
    struct token_key *key = token_key_from_secret(SECRET, &fault);
    struct token_key *other = token_key_from_secret(SECRET "x", &fault);
    json_t *claims = json_pack("{s:s,s:i}", "sub", USER, "exp", NOW);
    char *token = token_sign(key, claims);
    char *payload;
    size_t size;
    assert_non_null(token);
    assert_int_equal(token_verify(key, token, &payload, &size), 0);
    assert_non_null(strstr(payload, USER));
    free(payload);
    assert_int_equal(token_verify(other, token, &payload, &size), -1);
    assert_null(payload);
    for (size_t i = 0; i < strlen(token); i++) {
        char kept = token[i];
        token[i] = kept == 'A' ? 'B' : 'A';
        assert_int_equal(token_verify(key, token, &payload, &size), -1);
        token[i] = kept;
    }
    assert_int_equal(token_verify(key, token, &payload, &size), 0);
    free(payload);
    free(token);
    json_decref(claims);
    token_key_free(key);
    token_key_free(other);
    assert_null(token_key_from_secret("only thirty-one bytes of secret", &fault));
    assert_int_equal(fault, TOKEN_KEY_WEAK);
}

static const struct token_key *find(const struct key_set *set, const char *id) {
    struct token_header header = {.algorithm = "ES256", .has_key_id = id != NULL};
    (void)text_copy(header.key_id, sizeof header.key_id, id != NULL ? id : "");
    return key_set_find(set, &header);
}

static void key_sets_are_read_with_care(void **state) {
    bool weak;
    static const char text[] =
        "{\"keys\":[{" P256 ",\"kid\":\"a\"},{" P256 ",\"kid\":\"b\"},{" P256 ",\"kid\":\"b\"},"
        "{\"kty\":\"oct\",\"k\":\"" K31 "\",\"kid\":\"w\"},{\"kty\":\"new\"},5]}";
    struct key_set *set = key_set_parse(text, sizeof text - 1, &weak);
    assert_non_null(set);
    assert_true(weak);
    assert_int_equal(key_set_count(set), 1);
    assert_non_null(find(set, "a"));
    assert_non_null(find(set, NULL)); /* the only one */
    assert_null(find(set, "b"));      /* which of the two? */
    assert_null(find(set, "w"));
    assert_null(find(set, ""));
    key_set_free(set);

    static const char two[] = "{\"keys\":[{" P256 ",\"kid\":\"a\"},{" P256 ",\"kid\":\"b\"}]}";
    set = key_set_parse(two, sizeof two - 1, &weak);
    assert_int_equal(key_set_count(set), 2);
    assert_null(find(set, NULL));
    key_set_free(set);

    static const char *const bad[] = {
        "", "{}", "[]", "{\"keys\":{}}", "{\"keys\":[]", "{\"keys\":[],\"keys\":[]}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_null(key_set_parse(bad[i], strlen(bad[i]), &weak));
    }
}

static void headers_are_read_with_care(void **state) {
    struct token_header header;
    /* {"alg":"HS256"} */
    assert_int_equal(token_read_header("eyJhbGciOiJIUzI1NiJ9.e30.AA", &header), 0);
    assert_string_equal(header.algorithm, "HS256");
    assert_false(header.has_key_id);
    static const char *const bad[] = {
        "",
        ".",
        "..",
        "...",
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJhbGciOiJIUzI1NiJ9.e30",
        "eyJhbGciOiJIUzI1NiJ9.e30.AA.AA",
        "eyJhbGciOiJIUzI1NiJ9=.e30.AA",
        " eyJhbGciOiJIUzI1NiJ9.e30.AA",
        "e30.e30.AA",                                     /* no alg */
        "eyJhbGciOjV9.e30.AA",                            /* {"alg":5} */
        "eyJhbGciOiJIUzI1NiIsImNyaXQiOltdfQ.e30.AA",      /* crit */
        "eyJhbGciOiJIUzI1NiIsImFsZyI6IkhTMjU2In0.e30.AA", /* alg twice */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        print_message("%s\n", bad[i]);
        assert_int_equal(token_read_header(bad[i], &header), -1);
    }
    char *long_one = memory_new(TOKEN_MAX_BYTES + 100);
    memset(long_one, 'A', TOKEN_MAX_BYTES + 99);
    memcpy(long_one, "eyJhbGciOiJIUzI1NiJ9.e30.", 25);
    long_one[TOKEN_MAX_BYTES + 99] = '\0';
    assert_int_equal(token_read_header(long_one, &header), -1);
    free(long_one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_are_judged),
        cmocka_unit_test(a_key_has_one_use_and_one_algorithm),
        cmocka_unit_test(a_signed_token_verifies_and_a_changed_one_does_not),
        cmocka_unit_test(key_sets_are_read_with_care),
        cmocka_unit_test(headers_are_read_with_care),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
