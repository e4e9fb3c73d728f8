/* SPDX-License-Identifier: MIT
 * Ranges as a runner names them: what is taken, and what is not. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "scheduler/ranges.h"

static void good_ones_are_read(void **state) {
    struct range ranges[RANGES_MAX];

    assert_int_equal(ranges_read(ranges, "1-8:8,9-16:5,20-20:1"), 3);
    assert_int_equal(ranges[1].first, 9);
    assert_int_equal(ranges[1].last, 16);
    assert_int_equal(ranges[1].pages, 5);
    assert_int_equal(ranges[2].last, 20);
}

static void others_are_not(void **state) {
    static const char *const texts[] = {
        "",           "1-8:8",           "1-8:8,",          ",1-8:8",       "1-8:9,9-10:1", "1-8:0,9-10:1",
        "0-8:8,9-9:1", "1-8:8,8-9:1",    "9-16:8,1-8:8",    "1-8,9-16",     "1-8:8 9-16:8", "-1-8:8,9-9:1",
        "8-1:1,9-9:1", "1-8:8,9-99999999999999999999999:1", "1-8:8,9-16:8x", "a-b:c,d-e:f",  "01-8:8,9-9:1",
    };
    struct range ranges[RANGES_MAX];

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (ranges_read(ranges, texts[i]) != 0)
            fail_msg("\"%s\" was taken", texts[i]);
    }
}

static void no_more_than_fit(void **state) {
    struct range ranges[RANGES_MAX];
    char text[RANGES_MAX * 16 + 32] = "";

    for (int i = 1; i <= RANGES_MAX; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d-%d:1", i == 1 ? "" : ",", i, i);
    assert_int_equal(ranges_read(ranges, text), RANGES_MAX);
    (void)snprintf(text + strlen(text), sizeof text - strlen(text), ",99-99:1");
    assert_int_equal(ranges_read(ranges, text), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones_are_read),
        cmocka_unit_test(others_are_not),
        cmocka_unit_test(no_more_than_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
