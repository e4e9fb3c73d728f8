/* SPDX-License-Identifier: MIT
 * Wycheproof's JSON Web Signature cases for the algorithms that Filemill speaks (HS256, RS256, ES256, and
 * keys that name none): 312, after leaving out four that the suite itself has wrong (two copies of a valid
 * case labelled invalid, two labelled valid whose MAC does not match). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/token.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECTED_CASES 312

static const json_int_t faulty_cases[] = {367, 370, 372, 373};

static bool is_faulty(json_int_t id) {
    for (size_t i = 0; i < sizeof faulty_cases / sizeof faulty_cases[0]; i++) {
        if (faulty_cases[i] == id) {
            return true;
        }
    }
    return false;
}

static bool is_ours(const json_t *jwk) {
    const char *algorithm = json_string_value(json_object_get(jwk, "alg"));
    return algorithm == NULL || strcmp(algorithm, "HS256") == 0 || strcmp(algorithm, "RS256") == 0 ||
           strcmp(algorithm, "ES256") == 0;
}

/* True if the token is accepted. A signature in JSON serialisation is no token at all. */
static bool accepts(const json_t *jwk, const json_t *jws) {
    enum token_key_fault fault;
    struct token_key *key = token_key_new(jwk, &fault);
    char *payload = NULL;
    size_t size = 0;
    bool accepted = false;
    if (key != NULL && json_is_string(jws)) {
        accepted = token_verify(key, json_string_value(jws), &payload, &size) == 0;
    }
    free(payload);
    token_key_free(key);
    return accepted;
}

static void every_case_ends_as_the_suite_says(void **state) {
    const char *folder = getenv("FILEMILL_VECTORS");
    char path[1024];
    assert_int_equal(text_format(path, sizeof path, "%s/jws/json_web_signature_test.json",
                                 folder != NULL ? folder : "../shared/vectors"),
                     0);
    json_error_t error;
    json_t *suite = json_load_file(path, 0, &error);
    if (suite == NULL) {
        print_message("skipped: %s is not there (set FILEMILL_VECTORS)\n", path);
        skip();
    }
    size_t group_index, test_index;
    json_t *group, *test;
    unsigned cases = 0, wrong = 0;
    json_array_foreach(json_object_get(suite, "testGroups"), group_index, group) {
        const json_t *public_key = json_object_get(group, "public");
        const json_t *jwk = public_key != NULL ? public_key : json_object_get(group, "private");
        if (!is_ours(jwk)) {
            continue;
        }
        json_array_foreach(json_object_get(group, "tests"), test_index, test) {
            json_int_t id = json_integer_value(json_object_get(test, "tcId"));
            const char *result = json_string_value(json_object_get(test, "result"));
            if (is_faulty(id)) {
                continue;
            }
            cases++;
            if (accepts(jwk, json_object_get(test, "jws")) != (strcmp(result, "valid") == 0)) {
                wrong++;
                print_error("tcId %lld: not %s\n", (long long)id, result);
            }
        }
    }
    json_decref(suite);
    print_message("%u cases, %u wrong\n", cases, wrong);
    assert_int_equal(cases, EXPECTED_CASES);
    assert_int_equal(wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_case_ends_as_the_suite_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
