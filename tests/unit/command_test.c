/* SPDX-License-Identifier: MIT
 * Lines of the operators' socket: what is understood, and that everything else is refused with clean text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "supervisor/command.h"

static int parse(struct command *command, const char *line) {
    char error[256] = "";

    return command_parse(command, line, strlen(line), error, sizeof error);
}

static void test_every_row_parses(void **state) {
    for (enum command_verb verb = 0; verb < COMMAND_COUNT; verb++) {
        const struct command_row *row = &command_rows[verb];
        struct command command;
        char line[64] = "";
        assert_non_null(row->name);
        strncat(line, row->name, 30);
        strncat(line,
                row->argument == ARGUMENT_NONE     ? ""
                : row->argument == ARGUMENT_NUMBER ? " 3"
                                                   : " extract_pdf",
                20);
        assert_int_equal(parse(&command, line), 0);
        assert_int_equal(command.verb, verb);
        assert_int_equal(command.number, row->argument == ARGUMENT_NUMBER ? 3 : 0);
        assert_string_equal(command.word, row->argument == ARGUMENT_WORD ? "extract_pdf" : "");
    }
}

static void test_blanks_do_not_matter(void **state) {
    struct command command;

    assert_int_equal(parse(&command, "  workers \t 64 \r"), 0);
    assert_int_equal(command.verb, COMMAND_WORKERS);
    assert_int_equal(command.number, 64);
}

static void test_refused(void **state) {
    static const char *const lines[] = {"",           " ",           "stat",        "Stats",
                                        "stats x",    "workers",     "workers 65",  "workers -1",
                                        "workers +1", "workers 0x1", "workers 1 2", "slots 257",
                                        "pause",      "pause a b",   "pause a/b",   "pause \xc3\xa9",
                                        "pause *",    "\x1b[31m",    "%n%n",        "jobs;drain"};

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct command command;
        assert_int_equal(parse(&command, lines[i]), -1);
    }
}

static void test_errors_repeat_nothing_dangerous(void **state) {
    struct command command;
    char line[COMMAND_LINE_MAX + 2];
    char error[256];

    for (int byte = 0; byte < 256; byte++) {
        memset(line, byte, 40);
        error[0] = '\0';
        assert_int_equal(command_parse(&command, line, 40, error, sizeof error), -1);
        assert_true(strlen(error) > 0);
        for (const char *c = error; *c != '\0'; c++)
            assert_in_range((unsigned char)*c, 0x20, 0x7e);
    }
}

static void test_length_limits(void **state) {
    struct command command;
    char line[COMMAND_LINE_MAX + 2];
    char error[256];

    memset(line, ' ', sizeof line);
    memcpy(line, "stats", 5);
    assert_int_equal(command_parse(&command, line, COMMAND_LINE_MAX, error, sizeof error), 0);
    assert_int_equal(command_parse(&command, line, COMMAND_LINE_MAX + 1, error, sizeof error), -1);
    memset(line, 'a', sizeof line);
    memcpy(line, "pause ", 6);
    assert_int_equal(command_parse(&command, line, 6 + COMMAND_TEXT_MAX - 1, error, sizeof error), 0);
    assert_int_equal(command_parse(&command, line, 6 + COMMAND_TEXT_MAX, error, sizeof error), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_parses), cmocka_unit_test(test_blanks_do_not_matter),
        cmocka_unit_test(test_refused),          cmocka_unit_test(test_errors_repeat_nothing_dangerous),
        cmocka_unit_test(test_length_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
