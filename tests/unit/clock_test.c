/* SPDX-License-Identifier: MIT
 * Stamps read as their standards write them, whatever the time zone and locale of the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "lib/clock.h"

static const struct {
    int64_t wall_ms;
    const char *iso8601, *basic, *http;
} stamps[] = {
    {0, "1970-01-01T00:00:00.000Z", "19700101T000000Z", "Thu, 01 Jan 1970 00:00:00 GMT"},
    {-1, "1969-12-31T23:59:59.999Z", "19691231T235959Z", "Wed, 31 Dec 1969 23:59:59 GMT"},
    {784111777000, "1994-11-06T08:49:37.000Z", "19941106T084937Z", "Sun, 06 Nov 1994 08:49:37 GMT"},
    {1709209445678, "2024-02-29T12:24:05.678Z", "20240229T122405Z", "Thu, 29 Feb 2024 12:24:05 GMT"},
    {4102444800001, "2100-01-01T00:00:00.001Z", "21000101T000000Z", "Fri, 01 Jan 2100 00:00:00 GMT"},
};

static void stamps_are_utc_in_their_standard_forms(void **state) {
    char text[32];

    for (size_t i = 0; i < sizeof(stamps) / sizeof(stamps[0]); i++) {
        clock_format_iso8601(text, 25, stamps[i].wall_ms);
        assert_string_equal(text, stamps[i].iso8601);
        clock_format_basic(text, 17, stamps[i].wall_ms);
        assert_string_equal(text, stamps[i].basic);
        clock_format_http(text, 30, stamps[i].wall_ms);
        assert_string_equal(text, stamps[i].http);
    }
}

static void forms_parse_back_to_the_second(void **state) {
    for (size_t i = 0; i < sizeof(stamps) / sizeof(stamps[0]); i++) {
        int64_t wall_ms = 5;
        int64_t floor_ms = stamps[i].wall_ms < 0 ? -1000 : stamps[i].wall_ms / 1000 * 1000;
        assert_int_equal(clock_parse_http(stamps[i].http), floor_ms / 1000);
        assert_int_equal(clock_parse_basic(stamps[i].basic, &wall_ms), 0);
        assert_int_equal(wall_ms, floor_ms);
    }
}

static void malformed_forms_are_refused(void **state) {
    static const char *const bad[] = {
        "",
        "20260102T030405",
        "20260102T030405Z ",
        " 0260102T030405Z",
        "20260102t030405Z",
        "20260102T030405z",
        "20261302T030405Z",
        "20260002T030405Z",
        "20260100T030405Z",
        "20260132T030405Z",
        "20260230T030405Z",
        "20250229T030405Z",
        "21000229T030405Z",
        "20260102T240405Z",
        "20260102T036005Z",
        "20260102T030460Z",
        "2026-1-2T030405Z",
        "+2260102T030405Z",
    };
    int64_t wall_ms = 7;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(clock_parse_basic(bad[i], &wall_ms), -1);
    assert_int_equal(clock_parse_http("Fri, 02 Jan 2026 03:04:05 GMT "), -1);
    assert_int_equal(clock_parse_http("20260102T030405Z"), -1);
    assert_int_equal(wall_ms, 7);
    assert_int_equal(clock_parse_basic("20000229T000000Z", &wall_ms), 0);
}

static void a_time_without_a_four_digit_year_gives_an_empty_text(void **state) {
    char text[32] = "old";

    clock_format_iso8601(text, sizeof(text), INT64_MAX);
    assert_string_equal(text, "");
    clock_format_basic(text, sizeof(text), INT64_MIN);
    assert_string_equal(text, "");
    clock_format_iso8601(text, 11, 0); /* a small target is cut, not overrun */
    assert_string_equal(text, "1970-01-01");
}

static void monotonic_time_advances_in_step(void **state) {
    struct timespec nap = {.tv_nsec = 20000000};

    int64_t before_us = clock_monotonic_us();
    int64_t before_ms = clock_monotonic_ms();
    nanosleep(&nap, NULL);
    int64_t passed_us = clock_monotonic_us() - before_us;
    int64_t passed_ms = clock_monotonic_ms() - before_ms;
    assert_true(passed_us >= 20000);
    assert_true(passed_ms >= 19 && passed_ms * 1000 <= passed_us + 1000);
    assert_true(clock_wall_ms() / 1000 - (int64_t)time(NULL) <= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stamps_are_utc_in_their_standard_forms),
        cmocka_unit_test(forms_parse_back_to_the_second),
        cmocka_unit_test(malformed_forms_are_refused),
        cmocka_unit_test(a_time_without_a_four_digit_year_gives_an_empty_text),
        cmocka_unit_test(monotonic_time_advances_in_step),
    };

    setenv("TZ", "Asia/Kolkata", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
