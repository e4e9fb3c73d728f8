/* SPDX-License-Identifier: MIT
 * JSONTestSuite's parsing cases through the parser of request bodies: y_ accepted, n_ refused, i_ (where the
 * RFC leaves a choice) as json.h says. Three y_ cases are refused on purpose: a name twice, or a NUL in a
 * name (I-JSON). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/json.h"
#include "lib/text.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECTED_CASES 318
#define CASE_MAX_BYTES (1024 * 1024)

/* Valid JSON that I-JSON (RFC 7493 §2.3) forbids, or that no name of ours could be. */
static const char *const refused_on_purpose[] = {
    "y_object_duplicated_key.json",
    "y_object_duplicated_key_and_value.json",
    "y_object_escaped_null_in_key.json",
};

/* Those of the open cases that are read: a real that is too small, which is zero. All others are refused. */
static const char *const accepted_by_choice[] = {
    "i_number_double_huge_neg_exp.json",
    "i_number_real_underflow.json",
};

static bool is_in(const char *name, const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool must_accept(const char *name) {
    if (text_starts_with(name, "y_")) {
        return !is_in(name, refused_on_purpose, sizeof refused_on_purpose / sizeof refused_on_purpose[0]);
    }
    return is_in(name, accepted_by_choice, sizeof accepted_by_choice / sizeof accepted_by_choice[0]);
}

static bool accepts(const char *folder, const char *name) {
    char path[2048];
    static char bytes[CASE_MAX_BYTES];
    assert_int_equal(text_format(path, sizeof path, "%s/%s", folder, name), 0);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    const char *reason = NULL;
    json_t *value = json_decode(bytes, size, &reason);
    bool accepted = value != NULL;
    assert_true(accepted || reason != NULL);
    json_decref(value);
    return accepted;
}

static void every_case_ends_as_the_suite_says(void **state) {
    const char *root = getenv("FILEMILL_VECTORS");
    char folder[1024];
    assert_int_equal(
        text_format(folder, sizeof folder, "%s/json/test_parsing", root != NULL ? root : "../shared/vectors"),
        0);
    DIR *directory = opendir(folder);
    if (directory == NULL) {
        print_message("skipped: %s is not there (set FILEMILL_VECTORS)\n", folder);
        skip();
    }
    unsigned cases = 0, wrong = 0;
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        if (!text_ends_with(entry->d_name, ".json")) {
            continue;
        }
        cases++;
        bool wanted = must_accept(entry->d_name);
        if (accepts(folder, entry->d_name) != wanted) {
            wrong++;
            print_error("%s: not %s\n", entry->d_name, wanted ? "accepted" : "refused");
        }
    }
    (void)closedir(directory);
    print_message("%u cases, %u wrong\n", cases, wrong);
    assert_int_equal(cases, EXPECTED_CASES);
    assert_int_equal(wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_case_ends_as_the_suite_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
