/* SPDX-License-Identifier: MIT
 * Who goes next. */
#include "scheduler/fair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct fair_wish wish_for(uint64_t jobs) {
    return (struct fair_wish){.room = {jobs, 0, 0}, .long_room = jobs, .jobs = jobs};
}

static void test_tenants_share_by_cost(void **state) {
    struct fair_lane lanes[] = {{.tenant = 0, .room = FAIR_UNLIMITED, .cost_ms = 10},
                                {.tenant = 1, .room = FAIR_UNLIMITED, .cost_ms = 30}};
    double used[] = {0, 0};
    struct fair_wish wish = wish_for(40);

    assert_int_equal(fair_choose(lanes, 2, used, &wish), 40);
    assert_int_equal(lanes[0].asked, 30);
    assert_int_equal(lanes[1].asked, 10);
    assert_true(used[0] - used[1] <= 30 && used[1] - used[0] <= 30);
}

static void test_least_used_goes_first(void **state) {
    struct fair_lane lanes[] = {{.tenant = 0, .room = FAIR_UNLIMITED, .cost_ms = 1, .age_ms = 9000},
                                {.tenant = 1, .room = FAIR_UNLIMITED, .cost_ms = 1}};
    double used[] = {500, 2};
    struct fair_wish wish = wish_for(5);

    assert_int_equal(fair_choose(lanes, 2, used, &wish), 5);
    assert_int_equal(lanes[0].asked, 0);
    assert_int_equal(lanes[1].asked, 5);
    assert_int_equal(lanes[1].sequence, 1);
}

static void test_bands_come_before_tenants(void **state) {
    struct fair_lane lanes[] = {{.tenant = 0, .band = 1, .room = FAIR_UNLIMITED, .cost_ms = 1},
                                {.tenant = 1, .band = 0, .room = 2, .cost_ms = 1}};
    double used[] = {0, 1000};
    struct fair_wish wish = wish_for(5);

    assert_int_equal(fair_choose(lanes, 2, used, &wish), 5);
    assert_int_equal(lanes[1].asked, 2);
    assert_int_equal(lanes[1].sequence, 1);
    assert_int_equal(lanes[0].asked, 3);
}

static void test_overdue_band_gets_one_in_eight(void **state) {
    struct fair_lane lanes[] = {
        {.tenant = 0, .band = 0, .room = FAIR_UNLIMITED, .cost_ms = 1, .age_ms = 9000000},
        {.tenant = 0, .band = 2, .room = FAIR_UNLIMITED, .cost_ms = 1, .age_ms = 59999},
        {.tenant = 0, .band = 3, .room = FAIR_UNLIMITED, .cost_ms = 1, .age_ms = 60000}};
    double used[] = {0};
    unsigned turn = 0;
    uint64_t of[3] = {0};

    /* Also when there is one place at a time. */
    for (int i = 0; i < 80; i++) {
        struct fair_wish wish = wish_for(1);
        wish.ageing_ms = 60000;
        wish.turn = turn;
        assert_int_equal(fair_choose(lanes, 3, used, &wish), 1);
        turn = wish.turn;
        for (size_t lane = 0; lane < 3; lane++)
            of[lane] += lanes[lane].asked;
    }
    assert_int_equal(of[0], 70);
    assert_int_equal(of[1], 0);
    assert_int_equal(of[2], 10);
}

static void test_strict_without_ageing(void **state) {
    struct fair_lane lanes[] = {
        {.tenant = 0, .band = 0, .room = FAIR_UNLIMITED, .cost_ms = 1},
        {.tenant = 0, .band = 3, .room = FAIR_UNLIMITED, .cost_ms = 1, .age_ms = INT64_MAX}};
    double used[] = {0};
    struct fair_wish wish = wish_for(32);

    assert_int_equal(fair_choose(lanes, 2, used, &wish), 32);
    assert_int_equal(lanes[0].asked, 32);
}

static void test_limits_and_closed_lanes(void **state) {
    struct fair_lane lanes[] = {{.tenant = 0, .room = 3, .cost_ms = 1},
                                {.tenant = 1, .room = 0, .cost_ms = 1},
                                {.tenant = 2, .room = FAIR_UNLIMITED, .cost_ms = 1, .is_closed = true}};
    double used[] = {0, 0, 0};
    struct fair_wish wish = wish_for(10);

    assert_int_equal(fair_choose(lanes, 3, used, &wish), 3);
    assert_int_equal(lanes[0].asked, 3);
    assert_int_equal(lanes[1].asked + lanes[2].asked, 0);
    assert_int_equal(wish.jobs, 7);
}

static void test_rooms_of_classes(void **state) {
    struct fair_lane lanes[] = {{.tenant = 0, .class = 0, .room = FAIR_UNLIMITED, .cost_ms = 1},
                                {.tenant = 0, .class = 1, .room = FAIR_UNLIMITED, .cost_ms = 1},
                                {.tenant = 0, .class = 2, .room = FAIR_UNLIMITED, .cost_ms = 1}};
    double used[] = {0};
    struct fair_wish wish = {
        .room = {2, 5, 0}, .is_shared = {false, false, true}, .long_room = 2, .jobs = 100};

    assert_int_equal(fair_choose(lanes, 3, used, &wish), 7);
    assert_int_equal(lanes[1].asked, 5);
    assert_int_equal(lanes[0].asked + lanes[2].asked, 2);
}

static void test_long_jobs_leave_the_reserve(void **state) {
    struct fair_lane lanes[] = {
        {.tenant = 0, .room = FAIR_UNLIMITED, .cost_ms = 1, .is_long = true, .age_ms = 99},
        {.tenant = 0, .band = 1, .room = FAIR_UNLIMITED, .cost_ms = 1}};
    double used[] = {0};
    struct fair_wish wish = wish_for(8);

    wish.long_room = fair_long_places(8, 8);
    assert_int_equal(fair_choose(lanes, 2, used, &wish), 8);
    assert_int_equal(lanes[0].asked, 7);
    assert_int_equal(lanes[1].asked, 1);
    assert_int_equal(fair_long_places(4, 8), 4);
    assert_int_equal(fair_long_places(4, 4), 3);
    assert_int_equal(fair_long_places(1, 1), 0);
    assert_int_equal(fair_long_places(7, 0), 7);
}

static void test_many_places_are_all_given(void **state) {
    static struct fair_lane lanes[400];
    static double used[400];
    struct fair_wish wish = wish_for(1000);
    uint64_t most = 0;

    for (size_t i = 0; i < 400; i++)
        lanes[i] = (struct fair_lane){.tenant = i, .room = FAIR_UNLIMITED, .cost_ms = 5};
    assert_int_equal(fair_choose(lanes, 400, used, &wish), 1000);
    for (size_t i = 0; i < 400; i++)
        most = lanes[i].asked > most ? lanes[i].asked : most;
    assert_true(most <= 16);
}

static void test_usage_halves_and_joins(void **state) {
    assert_true(fair_decay(100, 60000) > 49.99 && fair_decay(100, 60000) < 50.01);
    assert_true(fair_decay(100, 0) >= 100 && fair_decay(100, -5) >= 100);
    assert_true(fair_join(5, 70) >= 70);
    assert_true(fair_join(90, 70) >= 90);
    assert_true(fair_join(5, -1) <= 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tenants_share_by_cost),
        cmocka_unit_test(test_least_used_goes_first),
        cmocka_unit_test(test_bands_come_before_tenants),
        cmocka_unit_test(test_overdue_band_gets_one_in_eight),
        cmocka_unit_test(test_strict_without_ageing),
        cmocka_unit_test(test_limits_and_closed_lanes),
        cmocka_unit_test(test_rooms_of_classes),
        cmocka_unit_test(test_long_jobs_leave_the_reserve),
        cmocka_unit_test(test_many_places_are_all_given),
        cmocka_unit_test(test_usage_halves_and_joins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
