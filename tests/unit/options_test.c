/* SPDX-License-Identifier: MIT
 * Options: later sources win, a bad value is named and never taken, a secret is never shown, and a child gets
 * exactly what its audience may see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/options.h"

#define GATEWAY 1u
#define WORKER 2u

struct settings {
    char *host;
    int64_t port;
    int64_t limit_bytes;
    bool embedded;
    char *mode;
    char *key;
};

static const struct option_row rows[] = {
    {.name = "host",
     .variable = "FILEMILL_HOST",
     .type = OPTION_TEXT,
     .offset = offsetof(struct settings, host),
     .fallback = "127.0.0.1",
     .audience = GATEWAY,
     .description = "Address to serve on."},
    {.name = "port",
     .variable = "FILEMILL_PORT",
     .aliases = "PORT,HTTP_PORT",
     .type = OPTION_NUMBER,
     .offset = offsetof(struct settings, port),
     .fallback = "8080",
     .min = 1,
     .max = 65535,
     .audience = GATEWAY,
     .description = "Port to serve on."},
    {.name = "limit",
     .variable = "FILEMILL_LIMIT",
     .type = OPTION_NUMBER,
     .offset = offsetof(struct settings, limit_bytes),
     .min = 1,
     .max = INT64_MAX,
     .unit = "bytes",
     .audience = GATEWAY | WORKER,
     .description = "Largest file."},
    {.name = "embedded",
     .variable = "FILEMILL_EMBEDDED",
     .type = OPTION_BOOL,
     .offset = offsetof(struct settings, embedded),
     .fallback = "on",
     .audience = WORKER,
     .heading = "Parts",
     .description = "Run the embedded parts."},
    {.name = "mode",
     .variable = "FILEMILL_MODE",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct settings, mode),
     .fallback = "strict",
     .unit = "strict|relaxed|off",
     .audience = WORKER,
     .description = "How strict, <or> not."},
    {.name = "key",
     .variable = "FILEMILL_KEY",
     .aliases = "APP_SECRET",
     .type = OPTION_TEXT,
     .offset = offsetof(struct settings, key),
     .audience = GATEWAY,
     .secret = true,
     .description = "Signing key."},
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static const struct option_table table = {rows, ROW_COUNT};
static struct settings settings;
static char error[256];

static int clear(void **state) {
    options_clear(&table, &settings);
    error[0] = '\0';
    return 0;
}

static int load(const char *const *environment) {
    return options_load(&table, &settings, (char *const *)environment, error, sizeof(error));
}

static int load_one(const char *variable) {
    return load((const char *const[]){variable, NULL});
}

static int set(const char *name, const char *value) {
    return options_set(&table, &settings, name, value, error, sizeof(error));
}

static void fallbacks_fill_what_nobody_set(void **state) {
    assert_int_equal(load((const char *const[]){"PATH=/bin", "OTHER=1", NULL}), 0);
    assert_string_equal(settings.host, "127.0.0.1");
    assert_int_equal(settings.port, 8080);
    assert_int_equal(settings.limit_bytes, 0);
    assert_true(settings.embedded);
    assert_string_equal(settings.mode, "strict");
    assert_null(settings.key);
}

static void the_environment_wins_and_own_names_before_aliases(void **state) {
    assert_int_equal(load((const char *const[]){"HTTP_PORT=3", "PORT=2", "FILEMILL_HOST=0.0.0.0", NULL}), 0);
    assert_int_equal(settings.port, 2);
    assert_string_equal(settings.host, "0.0.0.0");
    assert_int_equal(load((const char *const[]){"PORT=2", "FILEMILL_PORT=1", "FILEMILL_MODE=off", NULL}), 0);
    assert_int_equal(settings.port, 1);
    assert_string_equal(settings.mode, "off");
    assert_int_equal(load_one("HTTP_PORT=3"), 0);
    assert_int_equal(settings.port, 3);
    assert_int_equal(load_one("PORTS=3"), 0); /* a longer name is another name */
    assert_int_equal(settings.port, 8080);
}

static void an_empty_value_counts_as_unset(void **state) {
    assert_int_equal(load((const char *const[]){"FILEMILL_PORT=", "PORT=9", "FILEMILL_MODE=", NULL}), 0);
    assert_int_equal(settings.port, 9);
    assert_string_equal(settings.mode, "strict");
    assert_int_equal(set("mode", "off"), 0);
    assert_int_equal(set("mode", ""), 0);
    assert_string_equal(settings.mode, "strict");
}

static void bad_values_are_named_and_refused(void **state) {
    static const struct {
        const char *variable, *message;
    } bad[] = {
        {"FILEMILL_PORT=abc", "FILEMILL_PORT: \"abc\" is not a number from 1 to 65535"},
        {"FILEMILL_PORT=0", "FILEMILL_PORT: \"0\" is not a number from 1 to 65535"},
        {"FILEMILL_PORT=65536", "FILEMILL_PORT: \"65536\" is not a number from 1 to 65535"},
        {"FILEMILL_PORT=80 ", "FILEMILL_PORT: \"80 \" is not a number from 1 to 65535"},
        {"FILEMILL_PORT=1k", "FILEMILL_PORT: \"1k\" is not a number from 1 to 65535"},
        {"HTTP_PORT=x\ny", "HTTP_PORT: \"x?y\" is not a number from 1 to 65535"},
        {"FILEMILL_EMBEDDED=maybe", "FILEMILL_EMBEDDED: \"maybe\" is not on or off"},
        {"FILEMILL_MODE=Strict", "FILEMILL_MODE: \"Strict\" is not one of strict|relaxed|off"},
        {"FILEMILL_MODE=strict|relaxed",
         "FILEMILL_MODE: \"strict|relaxed\" is not one of strict|relaxed|off"},
        {"FILEMILL_MODE=stric", "FILEMILL_MODE: \"stric\" is not one of strict|relaxed|off"},
        {"FILEMILL_PROT=1", "FILEMILL_PROT: no such option"},
        {"FILEMILL_=1", "FILEMILL_: no such option"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(load_one(bad[i].variable), -1);
        assert_string_equal(error, bad[i].message);
    }
}

static void plumbing_between_processes_is_no_option(void **state) {
    assert_int_equal(load((const char *const[]){"FILEMILL_COUNTERS_FD=5", "FILEMILL_READY_FD=6",
                                                "FILEMILL_CORPUS=x", NULL}),
                     0);
}

static void byte_sizes_take_a_suffix(void **state) {
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {{"10", 10}, {"4k", 4096}, {"4K", 4096}, {"3M", 3145728}, {"2G", INT64_C(2147483648)}};
    static const char *const bad[] = {"k", "4kk", "4T", "4 k", "-1k", "9007199254740993k", "9999999999999G",
                                      "0"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(set("limit", good[i].text), 0);
        assert_true(settings.limit_bytes == good[i].bytes);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(set("limit", bad[i]), -1);
    assert_true(settings.limit_bytes == INT64_C(2147483648)); /* a refused value changes nothing */
}

static void arguments_set_options_by_name(void **state) {
    assert_int_equal(set("port", "81"), 0);
    assert_int_equal(settings.port, 81);
    assert_int_equal(set("port", "x"), -1);
    assert_string_equal(error, "--port: \"x\" is not a number from 1 to 65535");
    assert_int_equal(set("prot", "81"), -1);
    assert_string_equal(error, "--prot: no such option");
    assert_int_equal(set("host", "a"), 0);
    assert_int_equal(set("host", "b"), 0);
    assert_string_equal(settings.host, "b");
}

static bool contains(char **environment, const char *entry) {
    for (size_t i = 0; environment[i] != NULL; i++) {
        if (strcmp(environment[i], entry) == 0)
            return true;
    }
    return false;
}

static void a_child_gets_its_audience_and_no_more(void **state) {
    assert_int_equal(load((const char *const[]){"PORT=99", "APP_SECRET=hush", "FILEMILL_EMBEDDED=off", NULL}),
                     0);
    char **gateway = options_environment(&table, &settings, GATEWAY);
    assert_true(contains(gateway, "FILEMILL_HOST=127.0.0.1"));
    assert_true(contains(gateway, "FILEMILL_PORT=99"));
    assert_true(contains(gateway, "FILEMILL_KEY=hush"));
    assert_null(gateway[3]); /* the limit is unset */
    options_free_environment(gateway);

    char **worker = options_environment(&table, &settings, WORKER);
    assert_true(contains(worker, "FILEMILL_EMBEDDED=off"));
    assert_true(contains(worker, "FILEMILL_MODE=strict"));
    assert_null(worker[2]);
    options_free_environment(worker);
    options_free_environment(NULL);
}

static void a_childs_environment_loads_to_the_same_values(void **state) {
    struct settings child = {0};

    assert_int_equal(load((const char *const[]){"PORT=99", "FILEMILL_LIMIT=3M", "FILEMILL_EMBEDDED=off",
                                                "FILEMILL_MODE=relaxed", "FILEMILL_KEY=a=b c", NULL}),
                     0);
    char **environment = options_environment(&table, &settings, GATEWAY | WORKER);
    assert_int_equal(options_load(&table, &child, environment, error, sizeof(error)), 0);
    options_free_environment(environment);
    assert_int_equal(child.port, 99);
    assert_int_equal(child.limit_bytes, 3145728);
    assert_false(child.embedded);
    assert_string_equal(child.mode, "relaxed");
    assert_string_equal(child.key, "a=b c");
    options_clear(&table, &child);
}

static char *printed(bool markdown) {
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    assert_non_null(stream);
    options_print(&table, &settings, markdown, stream);
    fclose(stream);
    return text;
}

static void a_secret_is_never_shown(void **state) {
    static const struct option_row secret_number[] = {{.name = "pin",
                                                       .variable = "PIN",
                                                       .type = OPTION_NUMBER,
                                                       .max = 9,
                                                       .secret = true,
                                                       .description = "Pin."}};
    const struct option_table secret_table = {secret_number, 1};
    int64_t pin = 0;

    assert_int_equal(load_one("FILEMILL_KEY=hush-hush"), 0);
    char *plain = printed(false);
    char *markdown = printed(true);
    assert_null(strstr(plain, "hush"));
    assert_null(strstr(markdown, "hush"));
    assert_non_null(strstr(plain, "FILEMILL_KEY=(set, not shown)\n"));
    free(plain);
    free(markdown);
    assert_int_equal(options_load(&secret_table, &pin, (char *const *)(const char *const[]){"PIN=1234", NULL},
                                  error, sizeof(error)),
                     -1);
    assert_null(strstr(error, "1234"));
    assert_non_null(strstr(error, "PIN"));
}

static void the_reference_prints_every_row(void **state) {
    assert_int_equal(load_one("PORT=99"), 0);
    char *plain = printed(false);
    char *markdown = printed(true);
    assert_non_null(strstr(plain, "# Port to serve on. (1 to 65535)\nFILEMILL_PORT=99\n"));
    assert_non_null(strstr(plain, "FILEMILL_KEY=\n"));
    assert_non_null(strstr(plain, "# How strict, <or> not. (strict, relaxed, off)\nFILEMILL_MODE=strict\n"));
    assert_non_null(strstr(
        markdown, "| `FILEMILL_PORT` | `--port` | `8080` | 1 to 65535 | Port to serve on. Also read from "
                  "`PORT`, `HTTP_PORT`. |\n"));
    assert_non_null(strstr(
        markdown,
        "| `FILEMILL_MODE` | `--mode` | `strict` | strict, relaxed, off | How strict, &lt;or> not. |\n"));
    assert_non_null(
        strstr(markdown,
               "\n\n## Parts\n\n| Variable | Flag | Default | Values | Meaning |\n|---|---|---|---|---|\n| "
               "`FILEMILL_EMBEDDED` |"));
    for (size_t i = 0; i < ROW_COUNT; i++) {
        assert_non_null(strstr(plain, rows[i].variable));
        assert_non_null(strstr(markdown, rows[i].variable));
    }
    free(plain);
    free(markdown);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(fallbacks_fill_what_nobody_set, clear),
        cmocka_unit_test_teardown(the_environment_wins_and_own_names_before_aliases, clear),
        cmocka_unit_test_teardown(an_empty_value_counts_as_unset, clear),
        cmocka_unit_test_teardown(bad_values_are_named_and_refused, clear),
        cmocka_unit_test_teardown(plumbing_between_processes_is_no_option, clear),
        cmocka_unit_test_teardown(byte_sizes_take_a_suffix, clear),
        cmocka_unit_test_teardown(arguments_set_options_by_name, clear),
        cmocka_unit_test_teardown(a_child_gets_its_audience_and_no_more, clear),
        cmocka_unit_test_teardown(a_childs_environment_loads_to_the_same_values, clear),
        cmocka_unit_test_teardown(a_secret_is_never_shown, clear),
        cmocka_unit_test_teardown(the_reference_prints_every_row, clear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
