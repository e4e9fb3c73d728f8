/* SPDX-License-Identifier: MIT
 * A buffer holds what was appended, never more than its ceiling, and is a text at any moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buffer.h"

static void an_unused_buffer_is_an_empty_text(void **state) {
    struct buffer buffer;

    buffer_init(&buffer, 10);
    assert_int_equal(buffer.size, 0);
    assert_string_equal(buffer.data, "");
    buffer_reset(&buffer);
    buffer_consume(&buffer, 5);
    assert_string_equal(buffer.data, "");
    buffer_clear(&buffer);
    assert_string_equal(buffer.data, "");
}

static void appends_add_up(void **state) {
    struct buffer buffer;

    buffer_init(&buffer, 1000);
    assert_int_equal(buffer_append(&buffer, "a\0b", 3), 0);
    assert_int_equal(buffer_append_text(&buffer, "text"), 0);
    assert_int_equal(buffer_append_format(&buffer, "%s=%d", "x", 42), 0);
    assert_int_equal(buffer.size, 11);
    assert_memory_equal(buffer.data, "a\0btextx=42", 12);
    buffer_clear(&buffer);
}

static void the_ceiling_holds_and_a_refused_append_changes_nothing(void **state) {
    struct buffer buffer;

    buffer_init(&buffer, 5);
    assert_int_equal(buffer_append_text(&buffer, "abc"), 0);
    assert_int_equal(buffer_append_text(&buffer, "def"), -1);
    assert_int_equal(buffer_append_format(&buffer, "%d", 123), -1);
    assert_string_equal(buffer.data, "abc");
    assert_int_equal(buffer_append(&buffer, "x", SIZE_MAX), -1);
    assert_int_equal(buffer_append_text(&buffer, "de"), 0);
    assert_string_equal(buffer.data, "abcde");
    assert_int_equal(buffer_append(&buffer, "f", 1), -1);
    assert_int_equal(buffer_append(&buffer, "", 0), 0);
    assert_true(buffer.capacity <= 6);
    buffer_clear(&buffer);
}

static void what_was_appended_is_taken_back(void **state) {
    struct buffer buffer;

    buffer_init(&buffer, 6);
    buffer_cut(&buffer, 0);
    assert_string_equal(buffer.data, "");
    assert_int_equal(buffer_append_text(&buffer, "{1}"), 0);
    assert_int_equal(buffer_append_text(&buffer, ",{"), 0);
    assert_int_equal(buffer_append_text(&buffer, "22}"), -1);
    buffer_cut(&buffer, 3);
    assert_int_equal(buffer.size, 3);
    assert_string_equal(buffer.data, "{1}");
    buffer_cut(&buffer, 4);
    assert_int_equal(buffer.size, 3);
    buffer_clear(&buffer);
}

static void a_ceiling_of_zero_takes_nothing(void **state) {
    struct buffer buffer;

    buffer_init(&buffer, 0);
    assert_int_equal(buffer_append_text(&buffer, "a"), -1);
    assert_int_equal(buffer_append_text(&buffer, ""), 0);
    assert_int_equal(buffer_append_format(&buffer, "%s", ""), 0);
    assert_string_equal(buffer.data, "");
    buffer_clear(&buffer);
}

static void many_small_appends_keep_every_byte(void **state) {
    struct buffer buffer;

    buffer_init(&buffer, 100000);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(buffer_append(&buffer, &(char){(char)('a' + i % 26)}, 1), 0);
    assert_int_equal(buffer_append_text(&buffer, "x"), -1);
    assert_int_equal(buffer.size, 100000);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(buffer.data[i], 'a' + i % 26);
    assert_int_equal(strlen(buffer.data), 100000);
    buffer_clear(&buffer);
}

static void consume_removes_from_the_front(void **state) {
    struct buffer buffer;

    buffer_init(&buffer, 100);
    assert_int_equal(buffer_append_text(&buffer, "hello world"), 0);
    buffer_consume(&buffer, 6);
    assert_string_equal(buffer.data, "world");
    assert_int_equal(buffer.size, 5);
    buffer_consume(&buffer, 0);
    assert_string_equal(buffer.data, "world");
    buffer_consume(&buffer, 5);
    assert_string_equal(buffer.data, "");
    assert_int_equal(buffer_append_text(&buffer, "again"), 0);
    buffer_consume(&buffer, 99);
    assert_int_equal(buffer.size, 0);
    buffer_clear(&buffer);
}

static void take_hands_the_memory_over(void **state) {
    struct buffer buffer;
    size_t size = 99;

    buffer_init(&buffer, 8);
    char *nothing = buffer_take(&buffer, &size);
    assert_string_equal(nothing, "");
    assert_int_equal(size, 0);
    free(nothing);

    assert_int_equal(buffer_append_text(&buffer, "12345678"), 0);
    char *taken = buffer_take(&buffer, &size);
    assert_int_equal(size, 8);
    assert_string_equal(buffer.data, "");
    assert_int_equal(buffer_append_text(&buffer, "abc"), 0);
    assert_int_equal(buffer_append_text(&buffer, "123456"), -1); /* the ceiling is still there */
    assert_string_equal(taken, "12345678");
    free(taken);
    buffer_clear(&buffer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unused_buffer_is_an_empty_text),
        cmocka_unit_test(appends_add_up),
        cmocka_unit_test(the_ceiling_holds_and_a_refused_append_changes_nothing),
        cmocka_unit_test(what_was_appended_is_taken_back),
        cmocka_unit_test(a_ceiling_of_zero_takes_nothing),
        cmocka_unit_test(many_small_appends_keep_every_byte),
        cmocka_unit_test(consume_removes_from_the_front),
        cmocka_unit_test(take_hands_the_memory_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
