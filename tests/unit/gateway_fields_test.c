/* SPDX-License-Identifier: MIT
 * Bodies and queries against rows of fields, strict JSON, CORS lists and the token bucket: the pure parts of
 * the gateway. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/cors.h"
#include "gateway/fields.h"
#include "gateway/json.h"
#include "gateway/problems.h"
#include "gateway/rate.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID "3b241101-e2bb-4255-8caf-4136c566a962"

static const struct field fields[] = {
    {"id", FIELD_UUID, true, 0, 0, NULL, ""},
    {"name", FIELD_TEXT, false, 2, 4, NULL, ""},
    {"count", FIELD_INTEGER, false, -1, 10, NULL, ""},
    {"color", FIELD_CHOICE, false, 0, 0, "red|green", ""},
    {"mime", FIELD_MEDIA_TYPE, false, 0, 20, NULL, ""},
    {"sum", FIELD_SHA256, false, 0, 0, NULL, ""},
    {"size", FIELD_INTEGER, false, 0, FIELD_MAX_UPLOAD, NULL, ""},
    {"at", FIELD_TIME, false, 0, 0, NULL, ""},
    {"what", FIELD_OBJECT, false, 0, 0, NULL, ""},
    {"on", FIELD_BOOLEAN, false, 0, 0, NULL, ""},
    {"price", FIELD_NUMBER, false, 0, 10, NULL, ""},
};
static const struct field_rows rows = {fields, sizeof fields / sizeof fields[0], 100};

static bool fits(const char *text) {
    const char *reason = NULL;
    json_t *body = json_decode(text, strlen(text), &reason);
    assert_non_null(body);
    json_t *details = fields_check(&rows, body);
    bool good = details == NULL;
    if (details != NULL) {
        assert_true(json_is_array(json_object_get(details, "formErrors")));
        assert_true(json_is_object(json_object_get(details, "fieldErrors")));
    }
    json_decref(details);
    json_decref(body);
    return good;
}

#define WITH(member) "{\"id\":\"" ID "\"," member "}"

static void bodies_fit_or_not(void **state) {
    static const char *const good[] = {
        "{\"id\":\"" ID "\"}",
        WITH("\"name\":\"ab\""),
        WITH("\"name\":\"\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\""),
        WITH("\"name\":\"\xf0\x9f\x98\x80\xf0\x9f\x98\x80\""),
        WITH("\"on\":true"),
        WITH("\"on\":false"),
        WITH("\"price\":0"),
        WITH("\"price\":0.15"),
        WITH("\"price\":1e1"),
        WITH("\"count\":-1"),
        WITH("\"count\":10"),
        WITH("\"color\":\"green\""),
        WITH("\"mime\":\"a/b; c=d\""),
        WITH("\"size\":100"),
        WITH("\"at\":\"2026-01-31T12:00:00Z\""),
        WITH("\"at\":\"2024-02-29T23:59:59.123456+05:30\""),
        WITH("\"what\":{\"any\":[1]}"),
        WITH("\"sum\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934CA495991b7852b855\""),
    };
    static const char *const bad[] = {
        WITH("\"on\":\"true\""),
        WITH("\"on\":1"),
        WITH("\"on\":null"),
        WITH("\"price\":\"0.15\""),
        WITH("\"price\":-0.1"),
        WITH("\"price\":10.5"),
        WITH("\"price\":null"),
        "[]",
        "null",
        "1",
        "{}",
        "{\"id\":null}",
        "{\"id\":1}",
        "{\"id\":\"x\"}",
        WITH("\"name\":\"a\""),
        WITH("\"name\":\"abcde\""),
        WITH("\"name\":\"\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\""),
        WITH("\"name\":\"ab\\u0000\""),
        WITH("\"count\":-2"),
        WITH("\"count\":11"),
        WITH("\"count\":1.0"),
        WITH("\"count\":\"1\""),
        WITH("\"count\":true"),
        WITH("\"color\":\"blue\""),
        WITH("\"color\":\"\""),
        WITH("\"color\":\"red|green\""),
        WITH("\"color\":\"re\""),
        WITH("\"mime\":\"a\""),
        WITH("\"mime\":\"aaaaaaaaaaaaaaa/bbbbbbbbbbbbbb\""),
        WITH("\"sum\":\"e3\""),
        WITH("\"size\":101"),
        WITH("\"at\":\"2026-02-29T12:00:00Z\""),
        WITH("\"at\":\"2026-01-31 12:00:00Z\""),
        WITH("\"at\":\"2026-01-31T24:00:00Z\""),
        WITH("\"at\":\"2026-01-31T12:00:00\""),
        WITH("\"at\":\"2026-01-31T12:00:00.Z\""),
        WITH("\"at\":\"2026-01-31T12:00:00+1:00\""),
        WITH("\"at\":\"0000-01-31T12:00:00Z\""),
        WITH("\"what\":[]"),
        WITH("\"size\":9223372036854775807"),
        WITH("\"other\":1"),
        WITH("\"Name\":\"ab\""),
        WITH("\"\":1"),
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        print_message("%s\n", good[i]);
        assert_true(fits(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        print_message("%s\n", bad[i]);
        assert_false(fits(bad[i]));
    }
}

static bool query_fits(const struct http_header *parameters, size_t count) {
    json_t *details = fields_check_query(&rows, parameters, count);
    bool good = details == NULL;
    json_decref(details);
    return good;
}

static void queries_are_checked_like_bodies(void **state) {
    assert_true(query_fits((const struct http_header[]){{"id", ID}, {"count", "5"}}, 2));
    assert_false(query_fits((const struct http_header[]){{"id", ID}, {"count", "5x"}}, 2));
    assert_false(query_fits((const struct http_header[]){{"id", ID}, {"count", ""}}, 2));
    assert_false(query_fits((const struct http_header[]){{"id", ID}, {"count", "99999999999999999999"}}, 2));
    assert_false(query_fits((const struct http_header[]){{"id", ID}, {"id", ID}}, 2));
    assert_false(query_fits((const struct http_header[]){{"id", ID}, {"name", "\xff\xff\xff"}}, 2));
    assert_false(query_fits((const struct http_header[]){{"id", ID}, {"nonsense", "1"}}, 2));
    assert_false(query_fits(NULL, 0));
}

static bool is_json(const char *bytes, size_t size) {
    const char *reason = NULL;
    json_t *value = json_decode(bytes, size, &reason);
    bool good = value != NULL;
    assert_true(good || reason != NULL);
    json_decref(value);
    return good;
}

static void levels_are_counted_without_recursion(void **state) {
    static char bytes[1000000];
    memset(bytes, '[', sizeof bytes);
    assert_false(is_json(bytes, sizeof bytes));
    memset(bytes, '[', JSON_MAX_LEVELS);
    memset(bytes + JSON_MAX_LEVELS, ']', JSON_MAX_LEVELS);
    assert_true(is_json(bytes, 2 * JSON_MAX_LEVELS));
    memset(bytes, '[', JSON_MAX_LEVELS + 1);
    memset(bytes + JSON_MAX_LEVELS + 1, ']', JSON_MAX_LEVELS + 1);
    assert_false(is_json(bytes, 2 * JSON_MAX_LEVELS + 2));
    static const char brackets_in_text[] =
        "\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[[[[[[[[[[[[[[[[[\"";
    assert_true(is_json(brackets_in_text, sizeof brackets_in_text - 1));
}

static void texts_with_a_nul_are_not_texts(void **state) {
    const char *reason;
    static const char text[] = "{\"a\":\"x\\u0000y\",\"b\":\"z\",\"c\":1}";
    json_t *body = json_decode(text, sizeof text - 1, &reason);
    assert_non_null(body);
    assert_null(json_text_member(body, "a"));
    assert_string_equal(json_text_member(body, "b"), "z");
    assert_null(json_text_member(body, "c"));
    assert_null(json_text_member(body, "d"));
    json_decref(body);
}

static void origins_are_compared_whole(void **state) {
    static const char list[] = "https://app.example, http://localhost:3000";
    assert_true(cors_allows(list, "https://app.example"));
    assert_true(cors_allows(list, "http://localhost:3000"));
    assert_false(cors_allows(list, "http://localhost:300"));
    assert_false(cors_allows(list, "http://localhost:30000"));
    assert_false(cors_allows(list, "https://APP.example"));
    assert_false(cors_allows(list, "null"));
    assert_false(cors_allows(list, ""));
    assert_false(cors_allows(list, NULL));
    assert_false(cors_allows(NULL, "https://app.example"));
    assert_false(cors_allows("", "https://app.example"));
    assert_true(cors_allows("*", "https://anything.example"));
}

static void a_bucket_gives_and_fills(void **state) {
    struct rate *rate = rate_new(60);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(rate_take(rate, "a", 1000), 0);
    }
    assert_int_equal(rate_take(rate, "a", 1000), 1);
    assert_int_equal(rate_take(rate, "b", 1000), 0);
    assert_int_equal(rate_take(rate, "a", 1500), 1);
    assert_int_equal(rate_take(rate, "a", 2000), 0);
    assert_int_equal(rate_take(rate, "a", 2000), 1);
    assert_int_equal(rate_take(rate, "a", 500), 1); /* a clock that steps back gives nothing */
    for (int i = 0; i < 60; i++) {
        assert_int_equal(rate_take(rate, "a", 100000000), 0);
    }
    assert_int_equal(rate_take(rate, "a", 100000000), 1);
    rate_free(rate);
    rate = rate_new(1);
    assert_int_equal(rate_take(rate, "a", 0), 0);
    assert_int_equal(rate_take(rate, "a", 0), 60);
    assert_int_equal(rate_take(rate, "a", 59000), 1);
    assert_int_equal(rate_take(rate, "a", 60000), 0);
    rate_free(rate);
    rate = rate_new(0);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(rate_take(rate, "a", 0), 0);
    }
    rate_free(rate);
}

static void many_users_do_not_wear_the_table_out(void **state) {
    struct rate *rate = rate_new(2);
    char user[37];
    for (int i = 0; i < 100000; i++) {
        (void)snprintf(user, sizeof user, "%08d-0000-4000-8000-000000000000", i);
        assert_int_equal(rate_take(rate, user, 1000 + i), 0);
    }
    rate_free(rate);
}

static void problems_are_equal_where_their_cause_is(void **state) {
    char *first = problem_document(PROBLEM_NOT_FOUND, NULL, NULL);
    char *second = problem_document(PROBLEM_NOT_FOUND, NULL, NULL);
    assert_string_equal(first, second);
    assert_non_null(strstr(first, "\"error\":\"not_found\""));
    free(first);
    free(second);
    for (size_t i = 0; i < PROBLEM_COUNT; i++) {
        assert_true(problem_rows[i].status >= 400 && problem_rows[i].status < 600);
        for (size_t k = 0; k < i; k++) {
            assert_true(strcmp(problem_rows[i].code, problem_rows[k].code) != 0);
        }
    }
    char *kept =
        problem_document(PROBLEM_NOT_FOUND, NULL, json_pack("{s:s,s:i}", "error", "other", "more", 1));
    assert_non_null(strstr(kept, "\"error\":\"not_found\""));
    assert_non_null(strstr(kept, "\"more\":1"));
    free(kept);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_fit_or_not),
        cmocka_unit_test(queries_are_checked_like_bodies),
        cmocka_unit_test(levels_are_counted_without_recursion),
        cmocka_unit_test(texts_with_a_nul_are_not_texts),
        cmocka_unit_test(origins_are_compared_whole),
        cmocka_unit_test(a_bucket_gives_and_fills),
        cmocka_unit_test(many_users_do_not_wear_the_table_out),
        cmocka_unit_test(problems_are_equal_where_their_cause_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
