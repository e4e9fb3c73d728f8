/* SPDX-License-Identifier: MIT
 * Cutting a document: every page in one range, in order, none too large, and not too many of them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/ranges.h"
#include "workers/processors/ocr_ranges.h"

#define TEXT_SIZE 2048

static unsigned char *every(int step, int count) {
    unsigned char *chosen = calloc((size_t)count / 8 + 1, 1);

    for (int i = 0; i < count; i += step)
        chosen[i / 8] |= (unsigned char)(1u << (i % 8));
    return chosen;
}

static void check(uint64_t pages, int step, int count) {
    const struct ocr_ranges rule = {.pages = pages, .most = 64};
    unsigned char *chosen = every(step, count);
    struct range ranges[RANGES_MAX];
    char text[TEXT_SIZE];
    uint64_t total = 0, largest = 0;
    size_t found;

    assert_int_equal(ocr_ranges_cut(&rule, chosen, count, text, sizeof text), 0);
    found = ranges_read(ranges, text); /* as the scheduler will */
    assert_true(found >= 2 && found <= 64);
    for (size_t i = 0; i < found; i++) {
        total += ranges[i].pages;
        largest = ranges[i].pages > largest ? ranges[i].pages : largest;
        assert_true((ranges[i].first - 1) % (uint64_t)step == 0 && (ranges[i].last - 1) % (uint64_t)step == 0);
    }
    assert_int_equal(total, (count + step - 1) / step);
    if (total <= 8 * pages)
        assert_true(largest <= pages);
    free(chosen);
}

static void every_page_is_in_one_range(void **state) {
    static const int counts[] = {9, 10, 30, 99, 100, 512, 1000, 2000, 12345, 100000};
    static const int steps[] = {1, 2, 3};

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        for (size_t step = 0; step < sizeof steps / sizeof steps[0]; step++)
            check(8, steps[step], counts[i]);
        check(1, 1, counts[i]);
    }
}

static void ranges_become_smaller(void **state) {
    uint64_t before = UINT64_MAX, left = 100, count = 0;

    for (; left > 0; count++) {
        uint64_t next = ocr_ranges_next(left, 8);
        assert_true(next <= before && next >= 1 && next <= 8);
        before = next;
        left -= next;
    }
    assert_true(before <= 2 && count <= 40);
}

static void nothing_to_cut(void **state) {
    const struct ocr_ranges rule = {.pages = 8, .most = 64}, alone = {.pages = 8, .most = 1};
    unsigned char one[1] = {1}, many[2] = {0xff, 0xff};
    char text[TEXT_SIZE];

    assert_int_equal(ocr_ranges_cut(&rule, one, 8, text, sizeof text), -1);
    assert_int_equal(ocr_ranges_cut(&alone, many, 16, text, sizeof text), -1);
    assert_int_equal(ocr_ranges_cut(&rule, many, 16, text, 8), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_page_is_in_one_range),
        cmocka_unit_test(ranges_become_smaller),
        cmocka_unit_test(nothing_to_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
