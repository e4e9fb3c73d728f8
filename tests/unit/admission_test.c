/* SPDX-License-Identifier: MIT
 * How much a worker takes on, and what the answers of a storage mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "workers/admission.h"
#include "workers/transfer.h"

#define MIB (UINT64_C(1) << 20)

static void credit_is_what_is_free(void **state) {
    struct admission admission = {.slots = 4, .prefetch = 4, .budget_bytes = 1024 * MIB};

    assert_int_equal(admission_credit(&admission, 0), 8);
    assert_int_equal(admission_credit(&admission, 3), 5);
    assert_int_equal(admission_credit(&admission, 20), 0);
    for (int i = 0; i < 8; i++)
        admission_charge(&admission, MIB);
    assert_int_equal(admission_credit(&admission, 0), 0);
    assert_false(admission_fits(&admission, MIB));
    admission_return(&admission, MIB);
    assert_int_equal(admission_credit(&admission, 0), 1);
    assert_int_equal(admission_free_bytes(&admission), 1017 * MIB);
}

static void the_budget_holds(void **state) {
    struct admission admission = {.slots = 8, .prefetch = 8, .budget_bytes = 100 * MIB};

    admission_charge(&admission, 60 * MIB);
    assert_true(admission_fits(&admission, 40 * MIB));
    assert_false(admission_fits(&admission, 41 * MIB));
    admission_charge(&admission, 40 * MIB);
    assert_int_equal(admission_credit(&admission, 0), 0);
}

/* One document larger than the whole budget must run some day: alone. */
static void a_giant_runs_alone(void **state) {
    struct admission admission = {.slots = 4, .prefetch = 4, .budget_bytes = 100 * MIB};

    assert_true(admission_fits(&admission, 5000 * MIB));
    admission_charge(&admission, 5000 * MIB);
    assert_false(admission_fits(&admission, 1));
    assert_int_equal(admission_free_bytes(&admission), 0);
    admission_return(&admission, 5000 * MIB);
    assert_int_equal(admission_credit(&admission, 0), 8);
}

static void costs_do_not_overflow(void **state) {
    assert_int_equal(admission_cost(0, 0), 48 * MIB);
    assert_int_equal(admission_cost(0, 10 * MIB), 10 * MIB);
    assert_int_equal(admission_cost(10 * MIB, 0), 98 * MIB);
    assert_true(admission_cost(UINT64_MAX, 0) >= UINT64_MAX / 2);
    assert_true(admission_cost(UINT64_MAX, MIB) >= UINT64_MAX / 2);
}

static void expect_reason(const struct reason_row *row, const char *code) {
    if (code == NULL)
        assert_null(row);
    else
        assert_string_equal(row->code, code);
}

static void fetches_are_judged(void **state) {
    static const struct {
        enum http_client_error error;
        int status;
        uint64_t received;
        const char *sha256, *expected, *code;
    } cases[] = {
        {HTTP_CLIENT_OK, 200, 10, "aa", "", NULL},
        {HTTP_CLIENT_OK, 200, 10, "aa", "AA", NULL},
        {HTTP_CLIENT_OK, 200, 10, "aa", "bb", "input_changed"},
        {HTTP_CLIENT_OK, 200, 10, NULL, "bb", "input_changed"},
        {HTTP_CLIENT_OK, 200, 9, "aa", "", "input_changed"},
        {HTTP_CLIENT_OK, 206, 10, "aa", "", "storage_unavailable"},
        {HTTP_CLIENT_OK, 301, 0, NULL, "", "storage_unavailable"},
        {HTTP_CLIENT_OK, 403, 0, NULL, "", "storage_refused"},
        {HTTP_CLIENT_OK, 404, 0, NULL, "", "input_missing"},
        {HTTP_CLIENT_OK, 412, 0, NULL, "", "input_changed"},
        {HTTP_CLIENT_OK, 429, 0, NULL, "", "storage_unavailable"},
        {HTTP_CLIENT_OK, 503, 0, NULL, "", "storage_unavailable"},
        {HTTP_CLIENT_TOO_LARGE, 200, 11, NULL, "", "input_changed"},
        {HTTP_CLIENT_TRUNCATED, 200, 9, NULL, "", "storage_unavailable"},
        {HTTP_CLIENT_TIMEOUT, 0, 0, NULL, "", "storage_unavailable"},
        {HTTP_CLIENT_TOO_SLOW, 200, 1, NULL, "", "storage_unavailable"},
        {HTTP_CLIENT_WRITE, 200, 1, NULL, "", "memory_limit"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct http_client_reply reply = {.error = cases[i].error, .status = cases[i].status,
                                                .received_bytes = cases[i].received, .sha256 = cases[i].sha256};
        expect_reason(transfer_input_reason(&reply, 10, cases[i].expected), cases[i].code);
    }
}

static void stores_are_judged(void **state) {
    static const struct {
        enum http_client_error error;
        int status;
        const char *code;
    } cases[] = {
        {HTTP_CLIENT_OK, 200, NULL},
        {HTTP_CLIENT_OK, 204, NULL},
        {HTTP_CLIENT_OK, 403, "storage_refused"},
        {HTTP_CLIENT_OK, 500, "storage_unavailable"},
        {HTTP_CLIENT_OK, 307, "storage_unavailable"},
        {HTTP_CLIENT_TOO_LARGE, 200, "storage_unavailable"},
        {HTTP_CLIENT_CONNECT, 0, "storage_unavailable"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct http_client_reply reply = {.error = cases[i].error, .status = cases[i].status};
        expect_reason(transfer_output_reason(&reply), cases[i].code);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credit_is_what_is_free), cmocka_unit_test(the_budget_holds),
        cmocka_unit_test(a_giant_runs_alone),     cmocka_unit_test(costs_do_not_overflow),
        cmocka_unit_test(fetches_are_judged),     cmocka_unit_test(stores_are_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
