/* SPDX-License-Identifier: MIT
 * The guard's verdict on raw bytes: by table, and the same however the bytes are cut into pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/guard.h"

#define HOST "Host: x\r\n"
#define POST "POST / HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

/* Integration tests hold the long list; here is one row per rule, and the frames. */
static const struct row {
    const char *bytes;
    int status;        /* 0: passes */
    uint64_t messages; /* complete ones */
} rows[] = {
    {"GET / HTTP/1.1\r\n" HOST "\r\n", 0, 1},
    {"GET / HTTP/1.0\r\n\r\n", 0, 1},
    {"GET / HTTP/1.1\r\n" HOST "\r\nGET /b HTTP/1.1\r\n" HOST "\r\nGET", 0, 2},
    {POST "Content-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n" HOST "\r\n", 0, 2},
    {POST "Content-Length: 0\r\n\r\n", 0, 1},
    {POST "Content-Length: 3\r\n\r\nab", 0, 0},
    {CHUNKED "3\r\nabc\r\n0\r\n\r\n", 0, 1},
    {CHUNKED "3\r\nab", 0, 0},
    {CHUNKED "A;x=\"y\"\r\n0123456789\r\n000\r\nX-Sum: 1\r\n\r\n", 0, 1},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 0, 1},
    {"GET /%20%2F?a=%26 HTTP/1.1\r\n" HOST "\r\n", 0, 1},
    {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0, 1},
    {"GET / HTTP/1.1\n", 400, 0},
    {"GET / HTTP/1.1\rH", 400, 0},
    {"\r\n", 400, 0},
    {"GET /\r\n", 400, 0},
    {"GET  / HTTP/1.1\r\n", 400, 0},
    {"GET / HTTP/1.2\r\n", 505, 0},
    {"GET / HTTP/2.0\r\n", 505, 0},
    {"GET /%00 HTTP/1.1\r\n", 400, 0},
    {"GET /%0g HTTP/1.1\r\n", 400, 0},
    {"GET /%0", 0, 0},
    {"GET http://x/ HTTP/1.1\r\n", 400, 0},
    {"GET * HTTP/1.1\r\n", 400, 0},
    {"CONNECT x:1 HTTP/1.1\r\n", 405, 0},
    {"GET / HTTP/1.1\r\n\r\n", 400, 0},
    {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400, 0},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, 0},
    {"GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n", 400, 0},
    {"GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", 400, 0},
    {"GET / HTTP/1.1\r\n" HOST "A\r\n\r\n", 400, 0},
    {"GET / HTTP/1.1\r\n" HOST "A: \x01", 400, 0},
    {"GET / HTTP/1.1\r\n" HOST "Authorization: a\r\nAUTHORIZATION: a\r\n\r\n", 400, 0},
    {POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, 0},
    {POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, 0},
    {POST "Content-Length: 01\r\n\r\n", 400, 0},
    {POST "Content-Length: +1\r\n\r\n", 400, 0},
    {POST "Content-Length: 1 \r\n\r\n", 400, 0},
    {POST "Content-Length: 18446744073709551615\r\n\r\n", 413, 0},
    {POST "Content-Length: 18446744073709551616\r\n\r\n", 400, 0},
    {POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, 0},
    {POST "Transfer-Encoding: gzip\r\nHost: y\r\n\r\n", 400, 0},
    {POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 400, 0},
    {POST "Transfer-Encoding: \r\n\r\n", 400, 0},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, 0},
    {POST "Expect: 200-ok\r\n\r\n", 417, 0},
    {CHUNKED "0x1\r\n", 400, 0},
    {CHUNKED "\r\n", 400, 0},
    {CHUNKED "-1\r\n", 400, 0},
    {CHUNKED "1\n", 400, 0},
    {CHUNKED "1 \r\n", 400, 0},
    {CHUNKED "1\r\nab", 400, 0},
    {CHUNKED "1\r\na\n", 400, 0},
    {CHUNKED "1234567890abcdef", 400, 0},
    {CHUNKED "0\r\nContent-Length: 1\r\n\r\n", 400, 0},
    {CHUNKED "0\r\nA\r\n", 400, 0},
    {CHUNKED "0\r\nA: b\n", 400, 0},
};

static int status_of(const struct guard *guard) {
    return guard->refusal != NULL ? guard->refusal->status : 0;
}

static void verdict_by_table_in_all_pieces(void **state) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t size = strlen(rows[i].bytes);
        for (size_t piece = 1; piece <= size; piece++) {
            struct guard guard;
            guard_init(&guard);
            for (size_t at = 0; at < size; at += piece)
                (void)guard_feed(&guard, rows[i].bytes + at, piece < size - at ? piece : size - at);
            if (status_of(&guard) != rows[i].status || guard.messages != rows[i].messages)
                fail_msg("row %zu in pieces of %zu: status %d, messages %llu: %s", i, piece,
                         status_of(&guard), (unsigned long long)guard.messages, rows[i].bytes);
            guard_clear(&guard);
        }
    }
}

static void nothing_of_a_refused_message_is_handed_on(void **state) {
    const char *good = POST "Content-Length: 3\r\n\r\nabc";
    const char *bad = "GET / HTTP/1.1\r\n\r\n";
    char bytes[256];
    struct guard guard;

    size_t size = (size_t)snprintf(bytes, sizeof(bytes), "%s%s", good, bad);
    guard_init(&guard);
    assert_int_equal(guard_feed(&guard, bytes, size), strlen(good));
    assert_int_equal(status_of(&guard), 400);
    assert_int_equal(guard_feed(&guard, good, strlen(good)), 0); /* and it stays so */
    guard_clear(&guard);

    guard_init(&guard); /* a bad line in an earlier piece is refused there */
    assert_int_equal(guard_feed(&guard, "GET / HTTP/1.1\r\nHos\r\n", 21), 0);
    assert_int_equal(status_of(&guard), 400);
    guard_clear(&guard);

    guard_init(&guard);
    assert_int_equal(guard_feed(&guard, bad, 5), 5);
    assert_int_equal(guard_feed(&guard, bad + 5, strlen(bad) - 5), 0);
    guard_clear(&guard);
}

static void a_control_byte_is_refused_wherever_it_stands(void **state) {
    const char *head = "GET /a HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n";
    const char bytes[] = {0, 1, 8, 0x0b, 0x0c, 0x0e, 0x1b, 0x1f, 0x7f};

    for (size_t at = 0; at < strlen(head); at++) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            char changed[64];
            struct guard guard;
            memcpy(changed, head, at);
            changed[at] = bytes[i];
            memcpy(changed + at + 1, head + at, strlen(head) - at);
            guard_init(&guard);
            (void)guard_feed(&guard, changed, strlen(head) + 1);
            assert_int_equal(status_of(&guard), 400);
            guard_clear(&guard);
        }
    }
}

/* Feeds `count` copies after `start`; returns the status. */
static int flood(const char *start, const char *unit, size_t count) {
    struct guard guard;

    guard_init(&guard);
    (void)guard_feed(&guard, start, strlen(start));
    for (size_t i = 0; i < count; i++)
        (void)guard_feed(&guard, unit, strlen(unit));
    int status = status_of(&guard);
    guard_clear(&guard);
    return status;
}

#define TEN "0123456789"
#define FIELD_OF_200                                                                                         \
    "A: 12345" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "\r\n"

static void sizes_are_bounded_before_the_end_comes(void **state) {
    assert_int_equal(flood("", "A", 64), 0);
    assert_int_equal(flood("", "A", 65), 501);
    assert_int_equal(flood("GET /", "a", 8000), 0);
    assert_int_equal(flood("GET /", "a", 9000), 414);
    assert_int_equal(flood("GET / HTTP/1.1\r\n", "A: b\r\n", 100), 0);
    assert_int_equal(flood("GET / HTTP/1.1\r\n", "A: b\r\n", 101), 431);
    assert_int_equal(flood("GET / HTTP/1.1\r\n", FIELD_OF_200, 81), 0);
    assert_int_equal(flood("GET / HTTP/1.1\r\n", FIELD_OF_200, 82), 431);
    assert_int_equal(flood("GET / HTTP/1.1\r\nA: ", "b", 20000), 431);
    assert_int_equal(flood(CHUNKED "1;", "a", 300), 400);
    assert_int_equal(flood(CHUNKED "0\r\n", "A: b\r\n", 1000), 400);
}

/* No byte string may crash it, hand on more than it got, or count messages backwards. */
static void random_bytes_do_no_harm(void **state) {
    static const char *const words[] = {"GET ",
                                        "/",
                                        " HTTP/1.1\r\n",
                                        "Host: x\r\n",
                                        "\r\n",
                                        "\n",
                                        "Content-Length: ",
                                        "7",
                                        "Transfer-Encoding: chunked\r\n",
                                        "0\r\n",
                                        "5\r\n",
                                        "hello",
                                        ": ",
                                        "%2",
                                        "\x80"};
    unsigned seed = 1;

    for (int round = 0; round < 20000; round++) {
        struct guard guard;
        uint64_t messages = 0;
        guard_init(&guard);
        for (int i = 0; i < 24; i++) {
            seed = seed * 1103515245u + 12345u;
            const char *word = words[(seed >> 16) % (sizeof(words) / sizeof(words[0]))];
            assert_true(guard_feed(&guard, word, strlen(word)) <= strlen(word));
            assert_true(guard.messages >= messages && guard.heads >= guard.messages);
            messages = guard.messages;
        }
        guard_clear(&guard);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdict_by_table_in_all_pieces),
        cmocka_unit_test(nothing_of_a_refused_message_is_handed_on),
        cmocka_unit_test(a_control_byte_is_refused_wherever_it_stands),
        cmocka_unit_test(sizes_are_bounded_before_the_end_comes),
        cmocka_unit_test(random_bytes_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
