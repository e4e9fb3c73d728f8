/* SPDX-License-Identifier: MIT
 * Backoff, attempts and the crash budget as a table. */
#include "scheduler/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MIDDLE 0x7fffffffu

static const struct retry_limits usual = {
    .max_attempts = 10, .unit_ms = 60000, .cap = 60, .jitter_percent = 0, .crash_budget = 2};

static const struct row {
    struct retry_failure failure;
    struct retry_verdict expected;
} rows[] = {
    /* min(2^attempts, 60) minutes */
    {{RETRY_ERROR, true, 0, 0}, {true, false, 60000}},
    {{RETRY_ERROR, true, 1, 0}, {true, false, 120000}},
    {{RETRY_ERROR, true, 2, 0}, {true, false, 240000}},
    {{RETRY_ERROR, true, 5, 0}, {true, false, 32 * 60000}},
    {{RETRY_ERROR, true, 6, 0}, {true, false, 60 * 60000}},
    {{RETRY_ERROR, true, 8, 0}, {true, false, 60 * 60000}},
    /* the tenth failure is the last */
    {{RETRY_ERROR, true, 9, 0}, {false, false, 60 * 60000}},
    {{RETRY_ERROR, true, 63, 0}, {false, false, 60 * 60000}},
    {{RETRY_ERROR, true, 1000000, 0}, {false, false, 60 * 60000}},
    /* not retryable */
    {{RETRY_ERROR, false, 0, 0}, {false, false, 60000}},
    /* crashes: soon, then quarantine */
    {{RETRY_CRASH, true, 0, 0}, {true, false, 1000}},
    {{RETRY_CRASH, false, 0, 0}, {true, false, 1000}},
    {{RETRY_CRASH, true, 1, 1}, {false, true, 1000}},
    {{RETRY_CRASH, true, 0, 7}, {false, true, 1000}},
    {{RETRY_CRASH, true, 9, 0}, {false, false, 1000}},
    /* a lost worker: soon, counted */
    {{RETRY_LOST, false, 0, 0}, {true, false, 1000}},
    {{RETRY_LOST, false, 3, 5}, {true, false, 1000}},
    {{RETRY_LOST, false, 9, 0}, {false, false, 1000}},
};

static void test_table(void **state) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct retry_verdict verdict = retry_next(&usual, &rows[i].failure, MIDDLE);
        assert_int_equal(verdict.again, rows[i].expected.again);
        assert_int_equal(verdict.quarantine, rows[i].expected.quarantine);
        assert_int_equal(verdict.delay_ms, rows[i].expected.delay_ms);
    }
}

static void test_jitter_stays_within_its_percentage(void **state) {
    struct retry_limits limits = usual;
    struct retry_failure failure = {.cause = RETRY_ERROR, .retryable = true, .attempts = 2};

    limits.jitter_percent = 10;
    assert_int_equal(retry_next(&limits, &failure, 0).delay_ms, 216000);
    assert_int_equal(retry_next(&limits, &failure, UINT32_MAX).delay_ms, 264000);
    for (uint32_t random = 0; random < UINT32_MAX - 99999999u; random += 99999999u) {
        int64_t delay_ms = retry_next(&limits, &failure, random).delay_ms;
        assert_true(delay_ms >= 216000 && delay_ms <= 264000);
    }
}

static void test_extreme_limits_do_not_overflow(void **state) {
    struct retry_limits limits = {
        .max_attempts = 1000, .unit_ms = 86400000, .cap = 100000, .jitter_percent = 100, .crash_budget = 100};
    struct retry_failure failure = {.cause = RETRY_ERROR, .retryable = true, .attempts = 998};
    struct retry_verdict verdict = retry_next(&limits, &failure, UINT32_MAX);

    assert_true(verdict.again);
    assert_true(verdict.delay_ms > 0 && verdict.delay_ms <= 2 * INT64_C(86400000) * 100000);
    limits.unit_ms = 1;
    assert_true(retry_next(&limits, &failure, 0).delay_ms >= 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_jitter_stays_within_its_percentage),
        cmocka_unit_test(test_extreme_limits_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
