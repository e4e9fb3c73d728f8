/* SPDX-License-Identifier: MIT
 * Trace context: what the standard calls valid is taken, all else is not. */
#include "lib/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ID "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"
#define ZEROS "00000000000000000000000000000000"

static void test_valid(void **state) {
    static const char *const values[] = {
        "00-" ID "-" PARENT "-01", "00-" ID "-" PARENT "-00",      "00-" ID "-" PARENT "-ff",
        "cc-" ID "-" PARENT "-01", "01-" ID "-" PARENT "-01-more",
    };

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char id[TRACE_ID_SIZE] = "";
        if (!trace_parse(values[i], id))
            fail_msg("%s", values[i]);
        assert_string_equal(id, ID);
    }
}

static void test_invalid(void **state) {
    static const char *const values[] = {
        NULL,
        "",
        "00",
        "00-" ID "-" PARENT,
        "00-" ID "-" PARENT "-",
        "00-" ID "-" PARENT "-1",
        "00-" ID "-" PARENT "-01-more",
        "00-" ID "-" PARENT "-01 ",
        " 00-" ID "-" PARENT "-01",
        "00-" ID "-" PARENT "-0g",
        "01-" ID "-" PARENT "-01.more",
        "ff-" ID "-" PARENT "-01",
        "0-" ID "-" PARENT "-001",
        "00_" ID "-" PARENT "-01",
        "00-" ID "_" PARENT "-01",
        "00-" ID "-" PARENT "_01",
        "00-" ZEROS "-" PARENT "-01",
        "00-" ID "-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01",
        "00-" ID "-B7AD6B7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319-" PARENT "-011",
        "00-" ID PARENT "--01",
    };

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char id[TRACE_ID_SIZE] = "untouched";
        if (trace_parse(values[i], id))
            fail_msg("%s", values[i]);
        assert_string_equal(id, "untouched");
    }
}

static void test_made(void **state) {
    char first[TRACE_ID_SIZE], second[TRACE_ID_SIZE], header[TRACE_HEADER_SIZE], other[TRACE_HEADER_SIZE];
    char back[TRACE_ID_SIZE], line[TRACE_LINE_SIZE];

    trace_make(first);
    trace_make(second);
    assert_true(trace_is_id(first));
    assert_string_not_equal(first, second);
    assert_int_equal(trace_header(header, first), 0);
    assert_int_equal(trace_header(other, first), 0);
    assert_string_not_equal(header, other); /* the parent id */
    assert_true(trace_parse(header, back));
    assert_string_equal(back, first);
    assert_int_equal(trace_line(line, first), 0);
    assert_memory_equal(line, "traceparent: 00-", 16);
    assert_true(trace_parse(line + 13, back));
}

static void test_what_is_no_id(void **state) {
    static const char *const texts[] = {NULL,  "",     "0198c0de-1111-7222-8333-444455556666",
                                        ZEROS, ID "0", "0AF7651916CD43DD8448EB211C80319C"};
    char header[TRACE_HEADER_SIZE];

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_false(trace_is_id(texts[i]));
        assert_int_equal(trace_header(header, texts[i]), -1);
    }
    assert_true(trace_is_id(ID));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_made),
        cmocka_unit_test(test_what_is_no_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
