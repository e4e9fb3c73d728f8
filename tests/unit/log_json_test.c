/* SPDX-License-Identifier: MIT
 * A log line is one valid JSON object, whatever it quotes and however long it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/log_json.h"
#include <jansson.h>

#define COUNT_OF(table) (sizeof(table) / sizeof((table)[0]))

static void pairs_become_members(void **state) {
    static const struct {
        const char *message;
        const char *line;
    } cases[] = {
        {"job=j1 attempt=3", "{\"level\":\"info\",\"job\":\"j1\",\"attempt\":3}\n"},
        {"error=\"no such file\" path=/x",
         "{\"level\":\"info\",\"error\":\"no such file\",\"path\":\"/x\"}\n"},
        {"note=\"a \"quote\" inside\" x=1",
         "{\"level\":\"info\",\"note\":\"a \\\"quote\",\"x\":1,\"message\":\"inside\\\"\"}\n"},
        {"path=a=b", "{\"level\":\"info\",\"path\":\"a=b\"}\n"},
        {"empty= next=1", "{\"level\":\"info\",\"empty\":\"\",\"next\":1}\n"},
        {"open=\"never closed", "{\"level\":\"info\",\"open\":\"never closed\"}\n"},
        {"just some words", "{\"level\":\"info\",\"message\":\"just some words\"}\n"},
        {"n=-12 z=007 m=-0 big=1234567890123456",
         "{\"level\":\"info\",\"n\":-12,\"z\":\"007\",\"m\":\"-0\",\"big\":\"1234567890123456\"}\n"},
        {"t=\"a\tb\\\"", "{\"level\":\"info\",\"t\":\"a\\u0009b\\\\\"}\n"},
        {"bad=\xff\xc0x", "{\"level\":\"info\",\"bad\":\"\xef\xbf\xbd\xef\xbf\xbdx\"}\n"},
    };
    char line[512];

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t size = log_json_line(line, sizeof line - 1, "level=info", cases[i].message);
        line[size] = '\0';
        assert_string_equal(line, cases[i].line);
    }
}

/* Any bytes, any length, any room: one object that parses, and a newline. */
static void every_line_parses(void **state) {
    char message[600];
    char line[700];
    uint32_t seed = 12345;

    for (int round = 0; round < 20000; round++) {
        size_t length = (size_t)(round % 599);
        for (size_t i = 0; i < length; i++) {
            static const char pieces[] = "a=\" \\\"1-\n\x7f\xc3\xa9\xf0\x9f";
            seed = seed * 1664525 + 1013904223;
            char byte = pieces[(seed >> 16) % (sizeof pieces - 1)];
            message[i] = byte;
        }
        message[length] = '\0';
        size_t room = 40 + (size_t)(round % 600);
        size_t size = log_json_line(line, room, "ts=2026-01-02T03:04:05.678Z", message);
        assert_true(size >= 3 && size <= room);
        assert_int_equal(line[size - 1], '\n');
        assert_null(memchr(line, '\n', size - 1));
        json_t *object = json_loadb(line, size, 0, NULL);
        assert_non_null(object);
        json_decref(object);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_become_members),
        cmocka_unit_test(every_line_parses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
