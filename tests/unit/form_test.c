/* SPDX-License-Identifier: MIT
 * Forms as they come: what a form says does not depend on how its bytes are cut; what is malformed is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/form.h"
#include "lib/buffer.h"

#define TYPE "multipart/form-data; boundary=b0undary"

/* All that a form says, as text; what is fed is cut as `cut` says (0: whole). */
static void tell(struct buffer *out, const char *bytes, size_t size, size_t cut, uint32_t seed) {
    struct form *form = form_new(TYPE, 10);
    enum form_event event = FORM_MORE;
    size_t at = 0, data_size;
    const char *data;

    while (event != FORM_BROKEN && (at < size || event != FORM_MORE)) {
        event = form_next(form);
        if (event == FORM_MORE && at < size) {
            size_t take = cut == 0 ? size - at : 1 + (seed = seed * 1103515245u + 12345u, seed >> 16) % cut;
            if (take > size - at)
                take = size - at;
            assert_int_equal(form_feed(form, bytes + at, take), 0);
            at += take;
            event = FORM_DATA;
        } else if (event == FORM_PART) {
            assert_int_equal(
                buffer_append_format(out, "[%s|%s|%s|", form_part(form)->name,
                                     form_part(form)->has_filename ? form_part(form)->filename : "-",
                                     form_part(form)->type),
                0);
        } else if (event == FORM_DATA) {
            data = form_data(form, &data_size);
            assert_int_equal(buffer_append(out, data, data_size), 0);
        } else if (event == FORM_PART_END) {
            assert_int_equal(buffer_append_text(out, "]"), 0);
        } else if (event == FORM_END) {
            assert_int_equal(buffer_append_text(out, "."), 0);
        }
    }
    while (event == FORM_MORE && (event = form_next(form)) != FORM_MORE && event != FORM_BROKEN) {
    }
    if (event == FORM_BROKEN)
        (void)buffer_append_format(out, "!%s", form_error(form));
    form_free(form);
}

static const struct {
    const char *bytes, *said;
} rows[] = {
    {"--b0undary\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n--b0undary--\r\n",
     "[a|-||value]."},
    {"preamble\r\n--b0undary  \r\ncontent-disposition: form-data; name=a; "
     "filename=\"C:\\\\x\\\\y.txt\"\r\nContent-Type: "
     "text/plain\r\n\r\n\r\n--b0undar\r\n--b0undary--epilogue",
     "[a|y.txt|text/plain|\r\n--b0undar]."},
    {"--b0undary\r\nContent-Disposition: form-data; name=\"f\"; "
     "filename=\"../../etc/passwd\"\r\n\r\n\r\n--b0undary--",
     "[f|passwd||]."},
    {"--b0undary\r\nContent-Disposition: form-data; name=\"f\"; filename=\"say "
     "\\\"hi\\\".txt\"\r\n\r\n-\r\n-\r\r\n\n\r\n--b0undary--",
     "[f|say \"hi\".txt||-\r\n-\r\r\n\n]."},
    {"--b0undary\r\nContent-Disposition: form-data; name=\"f\"; "
     "filename=\"\"\r\n\r\nx\r\n--b0undary\r\nContent-Disposition: "
     "form-data; name=\"g\"\r\n\r\ny\r\n--b0undary--",
     "[f|file||x][g|-||y]."},
    {"--b0undary--", "."},
    {"--b0undaryX\r\n", "!a boundary is malformed"},
    {"--b0undary\r\n\r\nx\r\n--b0undary--", "!a part has no Content-Disposition"},
    {"--b0undary\r\nno header\r\n\r\nx\r\n--b0undary--", "!a part's header is malformed"},
    {"--b0undary\r\nContent-Type: a/b\r\n\r\nx\r\n--b0undary--", "!a part has no Content-Disposition"},
    {"--b0undary\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--b0undary--",
     "!a part is not form-data"},
    {"--b0undary\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b0undary--", "!a part has no name"},
    {"--b0undary\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\nx\r\n--b0undary--",
     "!a part's name is too long, or given twice"},
    {"--b0undary\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx\r\n--b0undary--",
     "!a part's Content-Disposition is malformed"},
    {"--b0undary\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: "
     "base64\r\n\r\nx\r\n--b0undary--",
     "!a part has a transfer encoding"},
};

static void test_cuts_change_nothing(void **state) {
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        for (size_t cut = 0; cut < 12; cut++) {
            for (uint32_t seed = 1; seed < 12; seed++) {
                struct buffer out;
                buffer_init(&out, 4096);
                tell(&out, rows[row].bytes, strlen(rows[row].bytes), cut, seed);
                assert_string_equal(out.data, rows[row].said);
                buffer_clear(&out);
            }
        }
    }
}

/* Any bytes that do not hold the boundary come out as they went in, however they are cut. */
static void test_any_bytes_come_through(void **state) {
    static const char pieces[] = "\r\n--b0undary\r\n\r-b0-";
    uint32_t seed = 4711;

    for (int round = 0; round < 300; round++) {
        struct buffer form, out, wanted;
        char body[600];
        size_t size = 0, length = (seed = seed * 1103515245u + 12345u, seed >> 16) % sizeof body;
        while (size < length) {
            seed = seed * 1103515245u + 12345u;
            body[size++] =
                (seed >> 16) % 3 == 0 ? (char)(seed >> 20) : pieces[(seed >> 16) % (sizeof pieces - 1)];
        }
        if (memmem(body, size, "--b0undary", 10) != NULL)
            continue;
        buffer_init(&form, 4096);
        buffer_init(&out, 4096);
        buffer_init(&wanted, 4096);
        (void)buffer_append_text(&form, "--b0undary\r\nContent-Disposition: form-data; name=a\r\n\r\n");
        (void)buffer_append(&form, body, size);
        (void)buffer_append_text(&form, "\r\n--b0undary--\r\n");
        (void)buffer_append_text(&wanted, "[a|-||");
        (void)buffer_append(&wanted, body, size);
        (void)buffer_append_text(&wanted, "].");
        tell(&out, form.data, form.size, (size_t)round % 17, (uint32_t)round);
        assert_int_equal(out.size, wanted.size);
        assert_memory_equal(out.data, wanted.data, wanted.size);
        buffer_clear(&form);
        buffer_clear(&out);
        buffer_clear(&wanted);
    }
}

static void test_limits(void **state) {
    struct buffer form, out;

    buffer_init(&form, 1 << 20);
    buffer_init(&out, 1 << 20);
    for (int i = 0; i < 11; i++)
        (void)buffer_append_text(&form, "--b0undary\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n");
    tell(&out, form.data, form.size, 0, 1);
    assert_non_null(strstr(out.data, "!too many parts"));
    buffer_clear(&form);
    buffer_clear(&out);
    (void)buffer_append_text(&form, "--b0undary\r\nX: ");
    for (int i = 0; i < 9000; i++)
        (void)buffer_append_text(&form, "x");
    tell(&out, form.data, form.size, 100, 1);
    assert_string_equal(out.data, "!a part's head is too long");
    buffer_clear(&form);
    buffer_clear(&out);
    for (int i = 0; i < 5000; i++)
        (void)buffer_append_text(&form, "x");
    tell(&out, form.data, form.size, 0, 1);
    assert_string_equal(out.data, "!no boundary where the form should begin");
    buffer_clear(&form);
    buffer_clear(&out);
}

static void test_content_types(void **state) {
    static const char *const bad[] = {
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/mixed; boundary=a",
        "multipart/form-data; boundary=\"a \"",
        "multipart/form-data boundary=a",
        ("multipart/form-data; boundary=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")};
    struct form *form = form_new("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"", 1);

    assert_non_null(form);
    form_free(form);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_null(form_new(bad[i], 1));
    assert_null(form_new(NULL, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cuts_change_nothing),
                                       cmocka_unit_test(test_any_bytes_come_through),
                                       cmocka_unit_test(test_limits), cmocka_unit_test(test_content_types)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
