/* SPDX-License-Identifier: MIT
 * The .env syntax: what people write in such files is read as they mean it, and what can't be meant is
 * refused with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/text.h"
#include "supervisor/variables.h"

static void test_values(void **state) {
    static const struct {
        const char *text;
        const char *value; /* of A */
    } cases[] = {
        {"A=1", "1"},
        {"A=1\n", "1"},
        {"A=1\r\n", "1"},
        {"\xef\xbb\xbf"
         "A=1\n",
         "1"},
        {"  A  =  1 2  \n", "1 2"},
        {"export A=1\n", "1"},
        {"# A=0\n\n  # more\nA=1\n", "1"},
        {"A=1\nA=2\n", "2"},
        {"A=\n", ""},
        {"A=1 # comment\n", "1"},
        {"A=#1\n", "#1"},
        {"A=a#1\n", "a#1"},
        {"A=postgresql://u:p@h:5432/d?x=y#z\n", "postgresql://u:p@h:5432/d?x=y#z"},
        {"A='a \" $HOME # \\n' # c\n", "a \" $HOME # \\n"},
        {"A=\"a ' # b\"\n", "a ' # b"},
        {"A=\"a\\nb\\t\\\"\\\\\\$\"\n", "a\nb\t\"\\$"},
        {"A=\"one\ntwo\"\n", "one\ntwo"},
        {"A='one\ntwo'\nB=1\n", "one\ntwo"},
        {"A=$HOME\n", "$HOME"},
        {"A=`id`\n", "`id`"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct variables variables = {0};
        char error[128] = "";
        assert_int_equal(variables_parse(&variables, cases[i].text, error, sizeof error), 0);
        assert_non_null(variables_get(&variables, "A"));
        assert_string_equal(variables_get(&variables, "A"), cases[i].value);
        variables_clear(&variables);
    }
}

static void test_bad_lines_are_named(void **state) {
    static const struct {
        const char *text;
        const char *where;
    } cases[] = {
        {"A", "line 1:"},
        {"A=1\nB\n", "line 2:"},
        {"A=1\n\n# x\n=2\n", "line 4:"},
        {"1A=1\n", "line 1:"},
        {"A='x\n\n", "line 1:"},
        {"B=1\nA=\"x\ny\n", "line 2:"},
        {"A=\"x\" y\n", "line 1:"},
        {"A='x'y\n", "line 1:"},
        {"A-B=1\n", "line 1:"},
        {"A='1\n2'\nB\n", "line 3:"},
        {"export\n", "line 1:"},
        {"A=\"\\", "line 1:"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct variables variables = {0};
        char error[128] = "";
        assert_int_equal(variables_parse(&variables, cases[i].text, error, sizeof error), -1);
        assert_int_equal(strncmp(error, cases[i].where, strlen(cases[i].where)), 0);
        variables_clear(&variables);
    }
}

static void test_merging(void **state) {
    char *const list[] = {"A=2", "B=", "C=", "malformed", "=x", NULL};
    struct variables variables = {0};

    variables_set(&variables, "A", "1");
    variables_set(&variables, "B", "1");
    variables_merge(&variables, list);
    assert_string_equal(variables_get(&variables, "A"), "2");
    assert_string_equal(variables_get(&variables, "B"), "1"); /* an empty value replaces nothing */
    assert_string_equal(variables_get(&variables, "C"), "");
    assert_int_equal(variables.count, 3);
    variables_unset(&variables, "A");
    assert_null(variables_get(&variables, "A"));
    assert_null(variables.list[variables.count]);
    variables_clear(&variables);
}

static void test_what_is_written_is_read_back(void **state) {
    static const char *const values[] = {"",           "plain",      "a b", "\"quoted\"",   "back\\slash",
                                         "$HOME `id`", "two\nlines", "'",   "# no comment", "\xc3\xa9"};
    char path[] = "/tmp/filemill-variables-XXXXXX";
    struct variables written = {0};
    struct variables found = {0};
    struct stat status;
    char error[256];
    char name[16];

    assert_non_null(mkdtemp(path));
    char file[64];
    (void)text_format(file, sizeof file, "%s/file", path);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        (void)text_format(name, sizeof name, "V%zu", i);
        variables_set(&written, name, values[i]);
    }
    assert_int_equal(variables_write(written.list, file), 0);
    assert_int_equal(stat(file, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(variables_read(&found, file, error, sizeof error), 0);
    assert_int_equal(found.count, written.count);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        (void)text_format(name, sizeof name, "V%zu", i);
        assert_string_equal(variables_get(&found, name), values[i]);
    }
    variables_clear(&written);
    variables_clear(&found);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(path), 0);
}

static void test_unreadable_files(void **state) {
    struct variables variables = {0};
    char error[256];

    assert_int_equal(variables_read(&variables, "/nonexistent/file", error, sizeof error), -1);
    assert_string_equal(error, "/nonexistent/file: No such file or directory");
    assert_int_equal(variables_read(&variables, "/dev/zero", error, sizeof error), -1); /* endless */
    assert_int_equal(variables.count, 0);
    variables_clear(&variables);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),           cmocka_unit_test(test_bad_lines_are_named),
        cmocka_unit_test(test_merging),          cmocka_unit_test(test_what_is_written_is_read_back),
        cmocka_unit_test(test_unreadable_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
