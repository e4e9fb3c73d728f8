/* SPDX-License-Identifier: MIT
 * Paths of portals: what is made is accepted, what is accepted stays inside, and no byte of a user's file
 * name leads out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "storage/portal_paths.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define USER "0b7e2a52-6e57-4bd1-9b6d-0c8a2d1f9a01"
#define ITEM "3b7e2a52-6e57-4bd1-ab6d-0c8a2d1f9a04"
#define OLD "3b7e2a52-6e57-1bd1-9b6d-0c8a2d1f9a04"
#define ROUNDS 20000

static const char *check(const char *path) {
    return portal_path_check(path, strlen(path), PORTAL_UUID4, NULL);
}

static void paths_have_the_layout_of_portals(void **state) {
    char path[PORTAL_PATH_MAX];

    assert_int_equal(portal_path_raw(path, sizeof path, USER, ITEM, 1769400000, "Photo 1.jpg"), 0);
    assert_string_equal(path, "raw/" USER "/" ITEM "/1769400000_Photo_1.jpg.enc");
    assert_null(check(path));
    assert_int_equal(portal_path_master(path, sizeof path, USER, ITEM), 0);
    assert_string_equal(path, "master/" USER "/" ITEM "/" ITEM ".enc");
    assert_null(check(path));
    assert_int_equal(portal_path_output(path, sizeof path, USER, ITEM, "preview.jpg"), 0);
    assert_string_equal(path, "output/" USER "/" ITEM "/preview.jpg");
    assert_null(check(path));
}

static void a_path_comes_apart(void **state) {
    static const char path[] = "raw/" USER "/" ITEM "/1_a.enc";
    struct portal_path parts;

    assert_null(portal_path_check(path, sizeof path - 1, PORTAL_UUID4, &parts));
    assert_int_equal(parts.area, PORTAL_RAW);
    assert_string_equal(parts.user, USER);
    assert_string_equal(parts.item, ITEM);
    assert_ptr_equal(parts.name, path + sizeof path - 1 - strlen("1_a.enc"));
}

static void bad_parts_make_no_path(void **state) {
    char path[PORTAL_PATH_MAX], small[60];

    assert_int_equal(portal_path_raw(path, sizeof path, "..", ITEM, 1, "a"), -1);
    assert_int_equal(portal_path_raw(path, sizeof path, USER, "", 1, "a"), -1);
    assert_int_equal(portal_path_master(path, sizeof path, USER, "x/../y"), -1);
    assert_int_equal(portal_path_output(path, sizeof path, USER, ITEM, "../x"), -1);
    assert_int_equal(portal_path_output(path, sizeof path, USER, ITEM, "a/b"), -1);
    assert_int_equal(portal_path_output(path, sizeof path, USER, ITEM, ""), -1);
    assert_int_equal(portal_path_master(small, sizeof small, USER, ITEM), -1);
}

static void only_paths_pass_for_paths(void **state) {
    static const char *const bad[] = {
        "",
        "raw",
        "raw/",
        "raw/" USER,
        "raw/" USER "/" ITEM,
        "raw/" USER "/" ITEM "/",
        "raw/" USER "/" ITEM "/.enc",
        "raw/" USER "/" ITEM "/1_a",
        "raw/" USER "/" ITEM "/1_a b.enc",
        "raw/" USER "/" ITEM "/1_a\n.enc",
        "raw/" USER "/" ITEM "/1_a%2e.enc",
        "raw/" USER "/" ITEM "/.1_a.enc",
        "raw/" USER "/" ITEM "/../1_a.enc",
        "raw/" USER "/" ITEM "/1_a..enc",
        "raw/" USER "/" ITEM "/b/1_a.enc",
        "raw/" USER "//" ITEM "/1_a.enc",
        "raw/../" USER "/" ITEM "/1_a.enc",
        "/raw/" USER "/" ITEM "/1_a.enc",
        "\\raw/" USER "/" ITEM "/1_a.enc",
        "raw\\" USER "\\" ITEM "\\1_a.enc",
        "RAW/" USER "/" ITEM "/1_a.enc",
        "other/" USER "/" ITEM "/1_a.enc",
        "raw/user/" ITEM "/1_a.enc",
        "raw/" OLD "/" ITEM "/1_a.enc",
        "raw/" USER "/" OLD "/1_a.enc",
        "master/" USER "/" ITEM "/" USER ".enc",
        "master/" USER "/" ITEM "/" ITEM,
        "master/" USER "/" ITEM "/" ITEM "x.enc",
        "s3://raw/" USER "/" ITEM "/1_a.enc",
    };
    char path[PORTAL_PATH_MAX + 10];

    for (size_t i = 0; i < COUNT(bad); i++)
        assert_non_null(check(bad[i]));
    static const char nul[] = "raw/" USER "/" ITEM "/1_a.enc\0.enc";
    assert_non_null(portal_path_check(nul, sizeof nul - 1, PORTAL_UUID4, NULL));
    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    memcpy(path, "raw/" USER "/" ITEM "/", strlen("raw/" USER "/" ITEM "/"));
    memcpy(path + sizeof path - 5, ".enc", 4);
    assert_non_null(check(path));
}

static void older_identities_pass_where_asked(void **state) {
    static const char path[] = "raw/" OLD "/" OLD "/1_a.enc";

    assert_null(portal_path_check(path, sizeof path - 1, PORTAL_ANY_UUID, NULL));
    assert_true(portal_is_uuid4(USER));
    assert_false(portal_is_uuid4(OLD));
    assert_false(portal_is_uuid4("3b7e2a52-6e57-4bd1-0b6d-0c8a2d1f9a04"));
    assert_false(portal_is_uuid4(""));
}

static void names_are_cleaned(void **state) {
    static const struct {
        const char *given, *cleaned;
    } rows[] = {
        {"photo.jpg", "photo.jpg"},
        {"My Photo (1).jpg", "My_Photo__1_.jpg"},
        {"../../etc/passwd", "passwd"},
        {"C:\\Users\\x\\scan.pdf", "scan.pdf"},
        {"..", "file"},
        {"", "file"},
        {"a/", "file"},
        {".hidden", "hidden"},
        {"a..b...c", "a.b.c"},
        {"a.", "a"},
        {"\xC3\xBC.jpg", "_.jpg"},
        {"a\nb", "a_b"},
        {"\xE2\x80\xAEgpj.exe", "_gpj.exe"},
    };
    char name[PORTAL_FILENAME_MAX + 1], of_300[301];

    for (size_t i = 0; i < COUNT(rows); i++) {
        portal_clean_filename(name, rows[i].given);
        assert_string_equal(name, rows[i].cleaned);
    }
    memset(of_300, 'a', 300);
    memcpy(of_300 + 295, ".jpeg", sizeof ".jpeg");
    portal_clean_filename(name, of_300);
    assert_int_equal(strlen(name), PORTAL_FILENAME_MAX);
    assert_true(text_ends_with(name, "a.jpeg"));
}

static uint32_t next(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Bytes that are likely to matter, in any order. */
static void random_name(char *name, size_t most, uint32_t *seed) {
    static const char likely[] = "../\\ab.-_%\x80\xC3\xFF\n\r\t :";
    size_t length = next(seed) % most;

    for (size_t i = 0; i < length; i++)
        name[i] =
            next(seed) % 4 == 0 ? (char)(next(seed) % 255 + 1) : likely[next(seed) % (sizeof likely - 1)];
    name[length] = '\0';
}

static void any_name_makes_a_path_inside(void **state) {
    char given[600], name[PORTAL_FILENAME_MAX + 1], again[PORTAL_FILENAME_MAX + 1], path[PORTAL_PATH_MAX];
    uint32_t seed = 7;

    for (int i = 0; i < ROUNDS; i++) {
        random_name(given, sizeof given, &seed);
        portal_clean_filename(name, given);
        portal_clean_filename(again, name);
        assert_string_equal(name, again);
        assert_true(strlen(name) >= 1 && strlen(name) <= PORTAL_FILENAME_MAX);
        assert_int_equal(portal_path_raw(path, sizeof path, USER, ITEM, UINT64_MAX, given), 0);
        assert_null(check(path));
        assert_int_equal(portal_path_output(path, sizeof path, USER, ITEM, name), 0);
    }
}

/* One byte of a good path changed, taken out or put in: refused, or still inside. */
static void damaged_paths_stay_inside(void **state) {
    static const char good[] = "output/" USER "/" ITEM "/1769400000_output.zip.enc";
    char path[sizeof good + 1];
    struct portal_path parts;
    uint32_t seed = 11;

    for (int i = 0; i < ROUNDS; i++) {
        size_t size = sizeof good - 1, at = next(&seed) % size;
        memcpy(path, good, sizeof good);
        if (next(&seed) % 2 == 0)
            path[at] = (char)(next(&seed) % 256);
        else
            memmove(path + at, path + at + 1, size-- - at);
        if (portal_path_check(path, size, PORTAL_UUID4, &parts) != NULL)
            continue;
        assert_int_equal(parts.area, PORTAL_OUTPUT);
        assert_true(portal_is_uuid4(parts.user) && portal_is_uuid4(parts.item));
        assert_null(strstr(path, ".."));
        assert_null(strchr(parts.name, '/'));
    }
}

/* A later lease of a job makes another document, whose id is no other job's but by chance. */
static void each_lease_has_a_document_of_its_own(void **state) {
    char job[UUID_TEXT_SIZE], documents[200][UUID_TEXT_SIZE];
    for (int round = 0; round < 50; round++) {
        text_uuid4(job);
        for (size_t i = 0; i < 200; i++) {
            portal_document_of(documents[i], job, i + 1);
            assert_true(portal_is_uuid4(documents[i]));
            for (size_t k = 0; k < i; k++) {
                assert_string_not_equal(documents[i], documents[k]);
            }
        }
        assert_string_equal(documents[0], job);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_have_the_layout_of_portals),
        cmocka_unit_test(a_path_comes_apart),
        cmocka_unit_test(bad_parts_make_no_path),
        cmocka_unit_test(only_paths_pass_for_paths),
        cmocka_unit_test(older_identities_pass_where_asked),
        cmocka_unit_test(names_are_cleaned),
        cmocka_unit_test(any_name_makes_a_path_inside),
        cmocka_unit_test(damaged_paths_stay_inside),
        cmocka_unit_test(each_lease_has_a_document_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
