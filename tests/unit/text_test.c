/* SPDX-License-Identifier: MIT
 * Texts from outside are taken whole or refused; every encoding has one spelling and never overruns its
 * target. Vectors: RFC 4648 §10, RFC 3986 §2.1, Kuhn's UTF-8 stress cases, RFC 9562. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "lib/text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void formatting_reports_what_did_not_fit(void **state) {
    char target[6];

    assert_int_equal(text_format(target, sizeof(target), "%s", "12345"), 0);
    assert_int_equal(text_format(target, sizeof(target), "%s", "123456"), -1);
    assert_string_equal(target, "12345");
    assert_int_equal(text_copy(target, sizeof(target), "abcde"), 0);
    assert_string_equal(target, "abcde");
    assert_int_equal(text_copy(target, sizeof(target), "abcdefgh"), -1);
    assert_string_equal(target, "abcde");
    assert_int_equal(text_copy(target, 0, "x"), -1);
    assert_int_equal(text_format(target, 0, "x"), -1);
    assert_string_equal(target, "abcde");
}

static void unsigned_numbers_parse_strictly(void **state) {
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "+1",
                                      "-1",
                                      "0x1",
                                      "1.0",
                                      "1e3",
                                      "1\n",
                                      "18446744073709551616",
                                      "99999999999999999999999"};
    uint64_t value = 7;

    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(text_parse_u64(bad[i], 0, UINT64_MAX, &value), -1);
    assert_int_equal(value, 7);
    assert_int_equal(text_parse_u64("18446744073709551615", 0, UINT64_MAX, &value), 0);
    assert_true(value == UINT64_MAX);
    assert_int_equal(text_parse_u64("0", 0, 0, &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(text_parse_u64("4", 5, 10, &value), -1);
    assert_int_equal(text_parse_u64("5", 5, 10, &value), 0);
    assert_int_equal(text_parse_u64("10", 5, 10, &value), 0);
    assert_int_equal(text_parse_u64("11", 5, 10, &value), -1);
}

static void signed_numbers_reach_both_ends(void **state) {
    static const char *const bad[] = {
        "", "-", "--1", "+1", "- 1", "9223372036854775808", "-9223372036854775809"};
    int64_t value = 7;

    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(text_parse_i64(bad[i], INT64_MIN, INT64_MAX, &value), -1);
    assert_int_equal(value, 7);
    assert_int_equal(text_parse_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &value), 0);
    assert_true(value == INT64_MIN);
    assert_int_equal(text_parse_i64("9223372036854775807", INT64_MIN, INT64_MAX, &value), 0);
    assert_true(value == INT64_MAX);
    assert_int_equal(text_parse_i64("-0", -1, 1, &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(text_parse_i64("-2", -1, 1, &value), -1);
    assert_int_equal(text_parse_i64("-1", -1, 1, &value), 0);
    assert_int_equal(value, -1);
}

static void booleans_are_eight_words(void **state) {
    static const char *const on[] = {"on", "true", "yes", "1"};
    static const char *const off[] = {"off", "false", "no", "0"};
    static const char *const bad[] = {"", "On", "TRUE", "2", "y", "on "};
    bool value;

    for (size_t i = 0; i < COUNT(on); i++) {
        value = false;
        assert_int_equal(text_parse_bool(on[i], &value), 0);
        assert_true(value);
    }
    for (size_t i = 0; i < COUNT(off); i++) {
        value = true;
        assert_int_equal(text_parse_bool(off[i], &value), 0);
        assert_false(value);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(text_parse_bool(bad[i], &value), -1);
}

static void ends_of_texts(void **state) {
    assert_true(text_starts_with("image/png", "image/"));
    assert_true(text_starts_with("x", ""));
    assert_false(text_starts_with("im", "image/"));
    assert_true(text_is_choice("a|bc", "a", 1) && text_is_choice("a|bc", "bcd", 2));
    assert_false(text_is_choice("a|bc", "b", 1) || text_is_choice("a|bc", "", 0) ||
                 text_is_choice(NULL, "a", 1));
    assert_true(text_ends_with("a.tar.gz", ".gz"));
    assert_true(text_ends_with("x", ""));
    assert_false(text_ends_with("gz", ".gz"));
}

static void utf8_is_strict(void **state) {
    static const char *const good[] = {"",
                                       "plain",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "h\xc3\xa9llo \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80"};
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2\x41",
                                      "\xe0\x80\x80",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xe2\x82",
                                      "\xe2\x82\x41",
                                      "\xf0\x80\x80\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xf0\x9f\x98",
                                      "\xff",
                                      "\xfe",
                                      "ok\xff",
                                      "\xf8\x88\x80\x80\x80"};

    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(text_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(text_is_utf8(bad[i], strlen(bad[i])));
    assert_true(text_is_utf8("a\0b", 3));
}

static void hex_goes_there_and_back(void **state) {
    static const unsigned char bytes[] = {0x00, 0x01, 0x7f, 0x80, 0xab, 0xff};
    unsigned char back[6];
    char text[13];

    text_hex_encode(text, bytes, sizeof(bytes));
    assert_string_equal(text, "00017f80abff");
    assert_int_equal(text_hex_decode(back, sizeof(back), text), 0);
    assert_memory_equal(back, bytes, sizeof(bytes));
    assert_int_equal(text_hex_decode(back, sizeof(back), "00017F80ABFF"), 0);
    assert_memory_equal(back, bytes, sizeof(bytes));
    assert_int_equal(text_hex_decode(back, sizeof(back), "00017f80abf"), -1);
    assert_int_equal(text_hex_decode(back, sizeof(back), "00017f80abff0"), -1);
    assert_int_equal(text_hex_decode(back, sizeof(back), "00017f80abff00"), -1);
    assert_int_equal(text_hex_decode(back, sizeof(back), "00017f80abfg"), -1);
    assert_int_equal(text_hex_decode(back, 0, ""), 0);
}

static const struct {
    const char *bytes;
    const char *text;
} base64_vectors[] = {
    {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
    {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "-__-"},
};

static void base64url_vectors(void **state) {
    for (size_t i = 0; i < COUNT(base64_vectors); i++) {
        size_t size = strlen(base64_vectors[i].bytes);
        size_t room = (size + 2) / 3 * 4 + 1;
        char text[16];
        unsigned char back[8];

        assert_int_equal(text_base64url_encode(text, room, base64_vectors[i].bytes, size), 0);
        assert_string_equal(text, base64_vectors[i].text);
        assert_int_equal(text_base64url_encode(text, room - 1, base64_vectors[i].bytes, size), -1);
        assert_int_equal(
            text_base64url_decode(back, size, base64_vectors[i].text, strlen(base64_vectors[i].text)),
            (int)size);
        assert_memory_equal(back, base64_vectors[i].bytes, size);
        if (size > 0)
            assert_int_equal(
                text_base64url_decode(back, size - 1, base64_vectors[i].text, strlen(base64_vectors[i].text)),
                -1);
    }
}

static void base64url_refuses_other_spellings(void **state) {
    static const char *const bad[] = {"Zg==",  "Zg=",    "Z",    "Zm9vY", "Zh",     "Zm9",
                                      "Zm 9v", "Zm9v\n", "+__-", "/w",    "Zm9\x80"};
    unsigned char back[16];

    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(text_base64url_decode(back, sizeof(back), bad[i], strlen(bad[i])), -1);
    assert_int_equal(text_base64url_decode(back, sizeof(back), "Zg\0\0", 4), -1);
}

static void percent_encoding_keeps_only_unreserved_bytes(void **state) {
    char text[128];

    assert_int_equal(text_percent_encode(text, sizeof(text), "AZaz09-._~", false), 0);
    assert_string_equal(text, "AZaz09-._~");
    assert_int_equal(text_percent_encode(text, sizeof(text), "a b/c+d&e=f%\xc3\xa9*'()", false), 0);
    assert_string_equal(text, "a%20b%2Fc%2Bd%26e%3Df%25%C3%A9%2A%27%28%29");
    assert_int_equal(text_percent_encode(text, sizeof(text), "a/b c", true), 0);
    assert_string_equal(text, "a/b%20c");
    assert_int_equal(text_percent_encode(text, 4, "abc", false), 0);
    assert_int_equal(text_percent_encode(text, 4, " ", false), 0);
    assert_int_equal(text_percent_encode(text, 3, "abc", false), -1);
    assert_int_equal(text_percent_encode(text, 3, " ", false), -1);
    assert_int_equal(text_percent_encode(text, 0, "", false), -1);
}

static int decode(char *target, size_t size, const char *text, bool plus_is_space) {
    return text_percent_decode(target, size, text, strlen(text), plus_is_space);
}

static void percent_decoding_is_strict(void **state) {
    static const char *const bad[] = {"%", "%4", "%zz", "%4g", "a%", "%00", "a%00b", "%+1", "% 1", "%-1"};
    char text[32];

    assert_int_equal(decode(text, sizeof(text), "a%20b%2fc%2Fd+e", false), 0);
    assert_string_equal(text, "a b/c/d+e");
    assert_int_equal(decode(text, sizeof(text), "a+b%2B", true), 0);
    assert_string_equal(text, "a b+");
    assert_int_equal(decode(text, sizeof(text), "%2525", false), 0);
    assert_string_equal(text, "%25"); /* once, not twice */
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(decode(text, sizeof(text), bad[i], false), -1);
    assert_int_equal(text_percent_decode(text, sizeof(text), "a\0b", 3, false), -1);
    assert_int_equal(text_percent_decode(text, sizeof(text), "%412", 2, false),
                     -1); /* stays inside text_size */
    assert_int_equal(decode(text, 3, "%41%42", false), 0);
    assert_int_equal(decode(text, 2, "%41%42", false), -1);
    assert_int_equal(decode(text, 1, "", false), 0);
}

static void uuids_have_their_version_and_variant(void **state) {
    char text[UUID_TEXT_SIZE];
    char other[UUID_TEXT_SIZE];

    for (int i = 0; i < 100; i++) {
        text_uuid4(text);
        assert_true(text_is_uuid(text));
        assert_int_equal(text[14], '4');
        assert_non_null(strchr("89ab", text[19]));
        text_uuid4(other);
        assert_string_not_equal(text, other);
    }
    text_uuid7(text);
    assert_true(text_is_uuid(text));
    assert_int_equal(text[14], '7');
    assert_non_null(strchr("89ab", text[19]));
}

static void version_7_carries_the_time_and_sorts_by_making(void **state) {
    char previous[UUID_TEXT_SIZE] = "";
    char text[UUID_TEXT_SIZE];
    unsigned char stamp[6];
    int64_t milliseconds = 0;

    for (int i = 0; i < 20000; i++) {
        text_uuid7(text);
        assert_true(strcmp(previous, text) < 0);
        memcpy(previous, text, sizeof(previous));
    }
    memmove(text + 8, text + 9, 4);
    text[12] = '\0';
    assert_int_equal(text_hex_decode(stamp, sizeof(stamp), text), 0);
    for (size_t i = 0; i < sizeof(stamp); i++)
        milliseconds = milliseconds * 256 + stamp[i];
    assert_in_range(milliseconds / 1000, (uint64_t)time(NULL) - 1, (uint64_t)time(NULL) + 1);
}

static void uuid_texts_are_checked_whole(void **state) {
    static const char *const bad[] = {
        "",
        "0123456789abcdef0123456789abcdef",
        "01234567-89ab-cdef-0123-456789abcde",
        "01234567-89ab-cdef-0123-456789abcdef0",
        "01234567-89ab-cdef-0123-456789abcdeg",
        "01234567_89ab-cdef-0123-456789abcdef",
        "012345678-9ab-cdef-0123-456789abcdef",
        "{1234567-89ab-cdef-0123-456789abcde}",
        "01234567-89ab-cdef-0123-456789abcdef\n",
        " 1234567-89ab-cdef-0123-456789abcdef",
    };

    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(text_is_uuid(bad[i]));
    assert_true(text_is_uuid("01234567-89ab-cdef-0123-456789abcdef"));
    assert_true(text_is_uuid("01234567-89AB-CDEF-0123-456789ABCDEF"));
    assert_true(text_is_uuid("00000000-0000-0000-0000-000000000000"));
}

static void secrets_compare_like_texts(void **state) {
    assert_true(text_equal_secret("", ""));
    assert_true(text_equal_secret("secret", "secret"));
    assert_false(text_equal_secret("secret", "secreT"));
    assert_false(text_equal_secret("secret", "secre"));
    assert_false(text_equal_secret("secre", "secret"));
    assert_false(text_equal_secret("", "x"));
    assert_false(text_equal_secret("Xecret", "secret"));
}

static void random_bytes_fill_the_whole_target(void **state) {
    unsigned char bytes[64];
    unsigned char seen[64] = {0};

    for (int round = 0; round < 16; round++) {
        memset(bytes, 0, sizeof(bytes));
        text_random(bytes, sizeof(bytes));
        for (size_t i = 0; i < sizeof(bytes); i++)
            seen[i] |= bytes[i];
    }
    for (size_t i = 0; i < sizeof(seen); i++)
        assert_int_not_equal(seen[i], 0);
}

static void origins_are_compared_whole(void **state) {
    static const struct {
        const char *url;
        bool same;
    } rows[] = {
        {"https://raid.example/pub?key=1", true},   {"https://raid.example", true},
        {"https://raid.example?x", true},           {"https://raid.example:444/pub", false},
        {"http://raid.example/pub", false},         {"https://raid.example.evil/pub", false},
        {"https://raid.example@evil/pub", false},   {"https://user@raid.example/pub", false},
        {"https://raid.example\\@evil/pub", false}, {"ftp://raid.example/pub", false},
        {"raid.example/pub", false},                {"", false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(text_has_same_origin(rows[i].url, "https://raid.example/pub/download"), rows[i].same);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formatting_reports_what_did_not_fit),
        cmocka_unit_test(unsigned_numbers_parse_strictly),
        cmocka_unit_test(signed_numbers_reach_both_ends),
        cmocka_unit_test(booleans_are_eight_words),
        cmocka_unit_test(ends_of_texts),
        cmocka_unit_test(utf8_is_strict),
        cmocka_unit_test(hex_goes_there_and_back),
        cmocka_unit_test(base64url_vectors),
        cmocka_unit_test(base64url_refuses_other_spellings),
        cmocka_unit_test(percent_encoding_keeps_only_unreserved_bytes),
        cmocka_unit_test(percent_decoding_is_strict),
        cmocka_unit_test(uuids_have_their_version_and_variant),
        cmocka_unit_test(version_7_carries_the_time_and_sorts_by_making),
        cmocka_unit_test(uuid_texts_are_checked_whole),
        cmocka_unit_test(secrets_compare_like_texts),
        cmocka_unit_test(origins_are_compared_whole),
        cmocka_unit_test(random_bytes_fill_the_whole_target),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
