/* SPDX-License-Identifier: MIT
 * No text of a user is ever in a key but a cleaned extension, and nothing else passes for a key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "storage/keys.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TENANT "0b7e2a52-6e57-4bd1-9b6d-0c8a2d1f9a01"
#define OWNER "1b7e2a52-6e57-4bd1-9b6d-0c8a2d1f9a02"
#define FILE_ID "2b7e2a52-6e57-4bd1-9b6d-0c8a2d1f9a03"
#define JOB "3b7e2a52-6e57-4bd1-9b6d-0c8a2d1f9a04"

static void extensions_are_cleaned(void **state) {
    static const struct {
        const char *filename;
        const char *extension;
    } rows[] = {
        {"report.pdf", "pdf"},
        {"PHOTO.JPEG", "jpeg"},
        {"archive.tar.gz", "gz"},
        {"noextension", "bin"},
        {"", "bin"},
        {"dot.", "bin"},
        {".hidden", "hidden"},
        {"a.p/../d\\f", "df"},
        {"x.../", "bin"},
        {"x.\xC3\xBC", "bin"},
        {"x.p\xC3\xBC"
         "df",
         "pdf"},
        {"x.<script>", "script"},
        {"x.pdf\n", "pdf"},
        {"x.abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnop"},
    };
    char extension[64];

    for (size_t i = 0; i < COUNT(rows); i++) {
        key_extension(extension, sizeof(extension), rows[i].filename);
        assert_string_equal(extension, rows[i].extension);
    }
    key_extension(extension, 3, "photo.jpeg");
    assert_string_equal(extension, "jp");
}

static int derivative(char *key, const char *kind, const char *extension, const char *job, uint64_t epoch,
                      bool first) {
    const struct key_parts parts = {.tenant = TENANT,
                                    .file = FILE_ID,
                                    .kind = kind,
                                    .extension = extension,
                                    .job = job,
                                    .epoch = epoch,
                                    .first = first};

    return key_derivative(key, KEY_MAX, &parts);
}

static void keys_have_the_layout_of_the_api(void **state) {
    char key[KEY_MAX];

    assert_int_equal(key_original(key, sizeof(key), TENANT, OWNER, FILE_ID, "pdf"), 0);
    assert_string_equal(key, "t/" TENANT "/u/" OWNER "/" FILE_ID ".pdf");
    assert_int_equal(derivative(key, "thumb_400", "webp", JOB, 1, true), 0);
    assert_string_equal(key, "t/" TENANT "/derived/" FILE_ID "/thumb_400.webp");
    assert_int_equal(derivative(key, "thumb_400", "webp", JOB, 7, false), 0);
    assert_string_equal(key, "t/" TENANT "/derived/" FILE_ID "/thumb_400." JOB "-7.webp");
}

static void keys_of_two_leases_differ(void **state) {
    char first[KEY_MAX];
    char second[KEY_MAX];

    assert_int_equal(derivative(first, "text", "txt", JOB, 1, false), 0);
    assert_int_equal(derivative(second, "text", "txt", JOB, 2, false), 0);
    assert_string_not_equal(first, second);
}

static void published_keys_are_keys_of_the_other_bucket(void **state) {
    const struct key_parts parts = {.tenant = TENANT,
                                    .file = FILE_ID,
                                    .kind = "published_thumb",
                                    .extension = "webp",
                                    .job = JOB,
                                    .epoch = 3,
                                    .published = true};
    char key[KEY_MAX];

    assert_int_equal(key_derivative(key, sizeof(key), &parts), 0);
    assert_string_equal(key, "published/" TENANT "/" FILE_ID "/published_thumb." JOB "-3.webp");
    assert_true(key_is_valid(key) && key_is_published(key));
    assert_false(key_is_published("t/" TENANT "/u/" OWNER "/" FILE_ID ".pdf"));
    assert_false(key_is_valid("published/" TENANT "/" FILE_ID "/../x.webp"));
    assert_false(key_is_valid("published/" TENANT "/derived/" FILE_ID "/x.webp"));
    assert_false(key_is_valid("published/" FILE_ID "/x.webp"));
}

static void sources_outside_are_no_keys(void **state) {
    assert_string_equal(key_source("source:" FILE_ID "/lots/12/a b.jpg"), "lots/12/a b.jpg");
    assert_null(key_source("source:" FILE_ID "/"));
    assert_null(key_source("source:lots/12"));
    assert_null(key_source("t/" TENANT "/u/" OWNER "/" FILE_ID ".pdf"));
    assert_false(key_is_valid("source:" FILE_ID "/lots/12/a.jpg"));
}

static void bad_parts_make_no_key(void **state) {
    char key[KEY_MAX];
    char small[40];

    assert_int_equal(key_original(key, sizeof(key), "..", OWNER, FILE_ID, "pdf"), -1);
    assert_int_equal(key_original(key, sizeof(key), TENANT, OWNER, FILE_ID, ""), -1);
    assert_int_equal(key_original(key, sizeof(key), TENANT, OWNER, FILE_ID, "p/f"), -1);
    assert_int_equal(key_original(key, sizeof(key), TENANT, OWNER, FILE_ID, "PDF"), -1);
    assert_int_equal(derivative(key, "../x", "txt", JOB, 1, true), -1);
    assert_int_equal(derivative(key, "", "txt", JOB, 1, true), -1);
    assert_int_equal(derivative(key, "text", "txt", "job", 1, false), -1);
    assert_int_equal(key_original(small, sizeof(small), TENANT, OWNER, FILE_ID, "pdf"), -1);
}

static void only_keys_pass_for_keys(void **state) {
    static const char *const bad[] = {
        "",
        "t/",
        "t/" TENANT "/u/" OWNER "/" FILE_ID,
        "t/" TENANT "/u/" OWNER "/" FILE_ID ".",
        "t/" TENANT "/u/" OWNER "/" FILE_ID ".pdf/",
        "t/" TENANT "/u/" OWNER "/" FILE_ID ".pdf\n",
        "t/" TENANT "/u/" OWNER "//" FILE_ID ".pdf",
        "t/" TENANT "/u/" OWNER "/../" FILE_ID ".pdf",
        "/t/" TENANT "/u/" OWNER "/" FILE_ID ".pdf",
        "x/" TENANT "/u/" OWNER "/" FILE_ID ".pdf",
        "t/" TENANT "/v/" OWNER "/" FILE_ID ".pdf",
        "t/not-a-uuid/u/" OWNER "/" FILE_ID ".pdf",
        "t/" TENANT "/u/" OWNER "/" FILE_ID ".tar.gz",
        "t/" TENANT "/derived/" FILE_ID "/",
        "t/" TENANT "/derived/" FILE_ID "/text",
        "t/" TENANT "/derived/" FILE_ID "/te xt.txt",
        "t/" TENANT "/derived/" FILE_ID "/text." JOB ".txt",
        "t/" TENANT "/derived/" FILE_ID "/text." JOB "-.txt",
        "t/" TENANT "/derived/" FILE_ID "/text." JOB "-1x.txt",
        "t/" TENANT "/derived/" FILE_ID "/text." JOB "-1.txt.exe",
    };

    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(key_is_valid(bad[i]));
    assert_true(key_is_valid("t/" TENANT "/u/" OWNER "/" FILE_ID ".pdf"));
    assert_true(key_is_valid("t/" TENANT "/derived/" FILE_ID "/text." JOB "-18446744073709551615.txt"));
}

#define CLASS "document-uploads"

static void classes_have_folders_of_their_own(void **state) {
    static const char *const sealed[] = {
        CLASS "/" OWNER "/" FILE_ID ".csv.enc",
        CLASS "/" OWNER "/" FILE_ID "." JOB "-3.csv.enc",
    };
    static const char *const bad[] = {
        CLASS "/" OWNER "/" FILE_ID,
        CLASS "/" OWNER "/" FILE_ID ".csv.enc.enc",
        CLASS "/" OWNER "/" FILE_ID ".csv.encx",
        CLASS "/" OWNER "/" FILE_ID ".pdf/..",
        CLASS "/" OWNER "/../" FILE_ID ".pdf",
        CLASS "//" FILE_ID ".pdf",
        CLASS "/" OWNER "/" FILE_ID ".p df",
        "uploads/" OWNER "/" FILE_ID ".pdf",
        "-uploads/" OWNER "/" FILE_ID ".pdf",
        "Document-uploads/" OWNER "/" FILE_ID ".pdf",
        CLASS "/" OWNER "/" FILE_ID "." JOB "-.pdf",
        CLASS "/" OWNER "/" FILE_ID "." JOB "-1.pdf.exe",
    };
    struct key_parts parts = {.file = FILE_ID, .extension = "csv", .job = JOB, .epoch = 3, .first = true};
    char key[KEY_MAX];

    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(key_is_valid(bad[i]));
    assert_int_equal(key_retained(key, sizeof key, CLASS, OWNER, FILE_ID, "pdf"), 0);
    assert_string_equal(key, CLASS "/" OWNER "/" FILE_ID ".pdf");
    assert_int_equal(key_retained(key, sizeof key, CLASS, "../x", FILE_ID, "pdf"), -1);
    assert_int_equal(key_retained(key, sizeof key, "raw", OWNER, FILE_ID, "pdf"), -1);
    assert_int_equal(key_retained_output(key, sizeof key, CLASS, OWNER, &parts), 0);
    assert_string_equal(key, CLASS "/" OWNER "/" FILE_ID ".csv");
    parts.first = false;
    assert_int_equal(key_retained_output(key, sizeof key, CLASS, OWNER, &parts), 0);
    assert_string_equal(key, CLASS "/" OWNER "/" FILE_ID "." JOB "-3.csv");
    for (size_t i = 0; i < COUNT(sealed); i++)
        assert_true(key_is_valid(sealed[i]));
    parts.job = "x";
    assert_int_equal(key_retained_output(key, sizeof key, CLASS, OWNER, &parts), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extensions_are_cleaned),    cmocka_unit_test(keys_have_the_layout_of_the_api),
        cmocka_unit_test(keys_of_two_leases_differ), cmocka_unit_test(bad_parts_make_no_key),
        cmocka_unit_test(only_keys_pass_for_keys),   cmocka_unit_test(classes_have_folders_of_their_own),
        cmocka_unit_test(published_keys_are_keys_of_the_other_bucket),
        cmocka_unit_test(sources_outside_are_no_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
