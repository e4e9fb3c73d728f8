/* SPDX-License-Identifier: MIT
 * The restart policy: waits double up to a limit, five quick deaths in a minute are too many, a steady life
 * makes up for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "supervisor/restart.h"

#define NEVER_READY (-1)

static void test_waits_double_to_a_limit(void **state) {
    static const int64_t expected[] = {100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
    struct restart restart = {0};
    int64_t now_ms = 1000;

    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        struct restart_decision decision = restart_after_death(&restart, now_ms, NEVER_READY, 0);
        assert_int_equal(decision.delay_ms, expected[i]);
        now_ms += decision.delay_ms;
    }
}

static void test_jitter_adds_at_most_a_quarter(void **state) {
    static const uint32_t randoms[] = {0, 1, 24, 25, 26, 1000, UINT32_MAX - 1, UINT32_MAX};
    int64_t least = INT64_MAX;
    int64_t most = 0;

    for (uint32_t random = 0; random < 1000; random++) {
        struct restart restart = {0};
        struct restart_decision decision = restart_after_death(&restart, 0, NEVER_READY, random);
        least = decision.delay_ms < least ? decision.delay_ms : least;
        most = decision.delay_ms > most ? decision.delay_ms : most;
    }
    assert_int_equal(least, 100);
    assert_int_equal(most, 125);
    for (size_t i = 0; i < sizeof randoms / sizeof randoms[0]; i++) {
        struct restart restart = {.backoff_ms = RESTART_LONGEST_MS};
        struct restart_decision decision = restart_after_death(&restart, 0, NEVER_READY, randoms[i]);
        assert_in_range(decision.delay_ms, 30000, 37500);
    }
}

static void test_five_quick_deaths_in_a_minute_are_too_many(void **state) {
    static const struct {
        int64_t deaths_ms[6];
        unsigned given_up_at; /* index of the first death that is too many; 6: none */
    } cases[] = {
        {{0, 1, 2, 3, 4, 5}, 4},
        {{0, 15000, 30000, 45000, 60000, 60001}, 4},
        {{0, 15000, 30000, 45000, 60001, 70000}, 5}, /* the first has fallen out, the next five have not */
        {{0, 20000, 40000, 60000, 80000, 100000}, 6},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct restart restart = {0};
        unsigned given_up_at = 6;
        for (unsigned death = 6; death-- > 0;)
            assert_true(death == 0 || cases[i].deaths_ms[death] > cases[i].deaths_ms[death - 1]);
        for (unsigned death = 0; death < 6 && given_up_at == 6; death++) {
            if (restart_after_death(&restart, cases[i].deaths_ms[death], NEVER_READY, 0).give_up)
                given_up_at = death;
        }
        assert_int_equal(given_up_at, cases[i].given_up_at);
    }
}

static void test_ready_for_a_moment_is_still_quick(void **state) {
    struct restart restart = {0};
    bool gave_up = false;

    for (int64_t death = 0; death < 5; death++)
        gave_up = restart_after_death(&restart, death * 1000, RESTART_QUICK_MS - 1, 0).give_up;
    assert_true(gave_up);
}

static void test_deaths_that_are_not_quick_only_back_off(void **state) {
    struct restart restart = {0};
    struct restart_decision decision = {.give_up = false};

    for (int64_t death = 0; death < 20; death++) {
        decision = restart_after_death(&restart, death * 1000, RESTART_QUICK_MS, 0);
        assert_false(decision.give_up);
    }
    assert_int_equal(decision.delay_ms, RESTART_LONGEST_MS);
}

static void test_a_steady_life_forgets_earlier_deaths(void **state) {
    struct restart restart = {0};

    for (int64_t death = 0; death < 4; death++)
        assert_false(restart_after_death(&restart, death, NEVER_READY, 0).give_up);
    struct restart_decision decision = restart_after_death(&restart, 11000, RESTART_STEADY_MS, 0);
    assert_false(decision.give_up);
    assert_int_equal(decision.delay_ms, RESTART_FIRST_MS);
    for (int64_t death = 0; death < 4; death++)
        assert_false(restart_after_death(&restart, 11001 + death, NEVER_READY, 0).give_up);
    assert_true(restart_after_death(&restart, 11010, NEVER_READY, 0).give_up);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_double_to_a_limit),
        cmocka_unit_test(test_jitter_adds_at_most_a_quarter),
        cmocka_unit_test(test_five_quick_deaths_in_a_minute_are_too_many),
        cmocka_unit_test(test_ready_for_a_moment_is_still_quick),
        cmocka_unit_test(test_deaths_that_are_not_quick_only_back_off),
        cmocka_unit_test(test_a_steady_life_forgets_earlier_deaths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
