/* SPDX-License-Identifier: MIT
 * Which pages of a PDF need ocr, by their text and by what is drawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "workers/processors/pdf_grade.h"

#define TEN "lettersten"
#define LONG TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define PRIVATE "\xee\x80\x81"     /* U+E001 */
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static const struct {
    const char *text; /* NULL: the page can't be read */
    struct pdf_marks marks;
    const char *reason;
    bool needs_ocr;
} pages[] = {
    {LONG, {.visible_texts = 9}, "text", false},
    {LONG, {.image_share = 1, .visible_texts = 9}, "text", false},
    {LONG, {.image_share = 1, .invisible_texts = 9}, "foreign_ocr", false},
    {LONG, {.image_share = 1, .invisible_texts = 9, .visible_texts = 1}, "text", false},
    {"page 7", {.image_share = 1, .visible_texts = 1}, "little_text_over_image", true},
    {"page 7", {.image_share = 0.2, .visible_texts = 1}, "text", false},
    {" \n\f", {.image_share = 1}, "no_text", true},
    {"\f", {.image_share = 0.1}, "no_text", true},
    {"\f", {.paths = 5000}, "no_text", true},
    {"\f", {.is_cut = true}, "no_text", true},
    {"\f", {.paths = 3}, "blank", false},
    {"", {.paths = 0}, "blank", false},
    {LONG PRIVATE PRIVATE, {.visible_texts = 9}, "text", false},
    {TEN PRIVATE PRIVATE, {.visible_texts = 9}, "garbled", true},
    {TEN REPLACEMENT REPLACEMENT, {.visible_texts = 9}, "garbled", true},
    {"\1\2\3\4\5\6", {.visible_texts = 9}, "garbled", true},
    {NULL, {.paths = 0}, "unreadable", false},
};

static void test_each_page_has_one_reason(void **state) {
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        const char *text = pages[i].text;
        struct pdf_grade grade = pdf_grade_page(text, text == NULL ? 0 : strlen(text), &pages[i].marks);
        assert_string_equal(grade.reason, pages[i].reason);
        assert_int_equal(grade.needs_ocr, pages[i].needs_ocr);
        assert_int_equal(strcmp(grade.source, "none") == 0, text == NULL || text[strspn(text, " \n\f")] == '\0');
    }
}

static void test_text_alone_decides_only_where_it_can(void **state) {
    assert_true(pdf_grade_is_plain(LONG, strlen(LONG)));
    assert_false(pdf_grade_is_plain(TEN, strlen(TEN)));
    assert_false(pdf_grade_is_plain("", 0));
    /* cut within a character: still bounded, still one character */
    assert_false(pdf_grade_is_plain(PRIVATE, 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_page_has_one_reason),
        cmocka_unit_test(test_text_alone_decides_only_where_it_can),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
