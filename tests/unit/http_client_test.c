/* SPDX-License-Identifier: MIT
 * The client before a server that answers, and misbehaves: what is sent, received, refused, too slow. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/clock.h"
#include "lib/text.h"
#include "tests/unit/http_stand_in.h"

#define ABC_SHA256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void a_download_is_written_and_hashed(void **state) {
    struct http_client_request request = make_own_request("GET", "/a%20b?x=1");
    char written[8] = {0};

    stand_in.reply =
        "HTTP/1.1 200 OK\r\nETag: \"e1\"\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc";
    request.sink_fd = memory_file("");
    request.hash = true;
    run_request(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_OK);
    assert_int_equal(outcome.status, 200);
    assert_int_equal(outcome.received_bytes, 3);
    assert_int_equal(outcome.content_length, 3);
    assert_string_equal(outcome.sha256, ABC_SHA256);
    assert_string_equal(outcome.etag, "\"e1\"");
    assert_string_equal(outcome.content_type, "text/plain");
    assert_string_equal(outcome.body, "");
    assert_string_equal(outcome.detail, "");
    assert_int_equal(pread(request.sink_fd, written, 8, 0), 3);
    assert_string_equal(written, "abc");
    assert_true(text_starts_with(stand_in.seen.data, "GET /a%20b?x=1 HTTP/1.1\r\n"));
    close(request.sink_fd);
}

static void an_error_answer_stays_out_of_the_sink(void **state) {
    struct http_client_request request = make_own_request("GET", "/");
    char written[8];

    stand_in.reply = "HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 8\r\n\r\nSlowDown";
    request.sink_fd = memory_file("");
    request.hash = true;
    request.max_body = 4;
    run_request(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_OK);
    assert_int_equal(outcome.status, 503);
    assert_string_equal(outcome.retry_after, "7");
    assert_string_equal(outcome.body, "Slow"); /* max_body */
    assert_int_equal(outcome.received_bytes, 8);
    assert_false(outcome.hashed);
    assert_int_equal(pread(request.sink_fd, written, 8, 0), 0);
    close(request.sink_fd);
}

/* What the server says and the error that must come of it. */
static const struct misbehaviour {
    const char *name, *reply;
    enum http_client_error error;
} misbehaviours[] = {
    {"fewer bytes than announced", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", HTTP_CLIENT_TRUNCATED},
    {"no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
     HTTP_CLIENT_TRUNCATED},
    {"half a head", "HTTP/1.1 200 OK\r\nContent-Le", HTTP_CLIENT_TRUNCATED},
    {"nothing", "", HTTP_CLIENT_TRUNCATED},
    {"more than allowed, announced", "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n", HTTP_CLIENT_TOO_LARGE},
    {"more than allowed, in chunks",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n123456789012345678901\r\n0\r\n\r\n",
     HTTP_CLIENT_TOO_LARGE},
    {"more than allowed, to the end", "HTTP/1.1 200 OK\r\n\r\n123456789012345678901", HTTP_CLIENT_TOO_LARGE},
    {"more than allowed, in an error", "HTTP/1.1 500 No\r\n\r\n123456789012345678901", HTTP_CLIENT_TOO_LARGE},
    {"not HTTP", "220 mail ready\r\n", HTTP_CLIENT_OTHER},
    {"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", HTTP_CLIENT_TRUNCATED},
    {"exactly what is allowed", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n12345678901234567890",
     HTTP_CLIENT_OK},
    {"redirect", "HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n", HTTP_CLIENT_OK},
    {"interim answer", "HTTP/1.1 100 Continue\r\nETag: a\r\n\r\nHTTP/1.1 204 No\r\n\r\n", HTTP_CLIENT_OK},
};

static void misbehaving_servers_by_table(void **state) {
    for (size_t i = 0; i < sizeof(misbehaviours) / sizeof(misbehaviours[0]); i++) {
        struct http_client_request request = make_own_request("GET", "/");
        unsigned accepted = stand_in.accepted;
        request.max_bytes = 20;
        outcome_forget();
        buffer_reset(&stand_in.seen);
        stand_in.reply = misbehaviours[i].reply;
        run_request(&request);
        if (outcome.error != misbehaviours[i].error)
            fail_msg("%s: %s (%s)", misbehaviours[i].name, http_client_error_name(outcome.error),
                     outcome.detail);
        assert_true(outcome.received_bytes <= 20);
        assert_int_equal(stand_in.accepted, accepted + 1); /* a redirect is not followed */
        assert_string_equal(outcome.etag, "");
    }
}

static void endless_heads_are_cut(void **state) {
    struct http_client_request request = make_own_request("GET", "/");
    struct buffer reply;

    buffer_init(&reply, 4 << 20);
    (void)buffer_append_text(&reply, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 20000; i++)
        (void)buffer_append_text(&reply, "X-Filler: 0123456789\r\n");
    stand_in.reply = reply.data;
    run_request(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_TOO_LARGE);
    buffer_clear(&reply);
}

static void silence_ends_at_the_deadline(void **state) {
    struct http_client_request request = make_own_request("GET", "/");
    int64_t begin_ms = clock_monotonic_ms();

    request.timeout_ms = 300;
    run_request(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_TIMEOUT);
    assert_true(clock_monotonic_ms() - begin_ms < 4000); /* and not at that of the others */
}

static void a_trickle_is_too_slow(void **state) {
    struct http_client_request request = make_own_request("GET", "/");

    stand_in.reply =
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome bytes that come very slowly, one by one, "
        "and would take two minutes in all";
    stand_in.trickle = true;
    request.timeout_ms = 50000;
    request.low_speed_ms = 1500;
    run_request(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_TOO_SLOW);
}

static void a_header_cannot_carry_a_line_end(void **state) {
    const char *const headers[] = {"X: a\r\nY: b", NULL};
    struct http_client_request request = make_own_request("GET", "/");

    request.headers = headers;
    run_request(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_OTHER);
    assert_int_equal(stand_in.accepted, 0);
}

static void an_upload_is_sent_whole_and_without_waiting(void **state) {
    const char *const headers[] = {"x-amz-test: 1", NULL};
    struct http_client_request request = make_own_request("PUT", "/key");
    size_t size = 3000000;
    char *content = malloc(size + 1);

    assert_non_null(content);
    memset(content, 'u', size);
    content[size] = '\0';
    stand_in.reply = "HTTP/1.1 200 OK\r\nETag: \"up\"\r\nContent-Length: 0\r\n\r\n";
    stand_in.body_awaited = size;
    request.upload_fd = memory_file(content);
    request.upload_bytes = size;
    request.headers = headers;
    run_request(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_OK);
    assert_string_equal(outcome.etag, "\"up\"");
    assert_non_null(strstr(stand_in.seen.data, "Content-Length: 3000000\r\n"));
    assert_non_null(strstr(stand_in.seen.data, "x-amz-test: 1\r\n"));
    const char *const absent[] = {"Expect:", "Transfer-Encoding:", "Content-Type:", "Accept:"};
    const char *body = strstr(stand_in.seen.data, "\r\n\r\n") + 4;
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
        assert_null(strstr(stand_in.seen.data, absent[i]));
    assert_string_equal(body, content);
    close(request.upload_fd);
    free(content);
}

static void an_upload_that_is_shorter_than_said_fails(void **state) {
    struct http_client_request request = make_own_request("PUT", "/key");

    stand_in.body_awaited = 10;
    request.upload_fd = memory_file("abc");
    request.upload_bytes = 10;
    run_request(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_OTHER);
    close(request.upload_fd);
}

static void empty_uploads_and_texts_have_lengths(void **state) {
    struct http_client_request request = make_own_request("PUT", "/key");

    stand_in.reply = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
    request.upload_fd = memory_file("");
    run_request(&request);
    assert_int_equal(outcome.status, 201);
    assert_non_null(strstr(stand_in.seen.data, "Content-Length: 0\r\n"));
    close(request.upload_fd);

    buffer_reset(&stand_in.seen);
    outcome_forget();
    request = make_own_request("POST", "/hook");
    request.body = "a\0b";
    request.body_size = 3;
    stand_in.body_awaited = 3;
    run_request(&request);
    assert_int_equal(outcome.status, 201);
    assert_true(text_starts_with(stand_in.seen.data, "POST /hook HTTP/1.1\r\n"));
    assert_non_null(strstr(stand_in.seen.data, "Content-Length: 3\r\n"));
    assert_memory_equal(stand_in.seen.data + stand_in.seen.size - 3, "a\0b", 3);
}

static void a_head_request_learns_the_length(void **state) {
    struct http_client_request request = make_own_request("HEAD", "/key");

    stand_in.reply = "HTTP/1.1 200 OK\r\nContent-Length: 123456789\r\nETag: x\r\n\r\n";
    request.max_bytes = 0;
    run_request(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_OK);
    assert_int_equal(outcome.content_length, 123456789);
    assert_int_equal(outcome.received_bytes, 0);
}

static void other_methods_are_sent_as_they_are(void **state) {
    struct http_client_request request = make_own_request("DELETE", "/key");

    stand_in.reply = "HTTP/1.1 200 OK\r\n\r\n";
    run_request(&request);
    assert_int_equal(outcome.status, 200);
    assert_int_equal(outcome.content_length, UINT64_MAX);
    assert_true(text_starts_with(stand_in.seen.data, "DELETE /key HTTP/1.1\r\n"));
}

static void a_sink_that_refuses_ends_the_transfer(void **state) {
    struct http_client_request request = make_own_request("GET", "/");

    stand_in.reply = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    request.sink_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    run_request(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_WRITE);
    close(request.sink_fd);
}

static unsigned progress_calls;

static void on_progress(void *context, uint64_t received, uint64_t sent) {
    assert_true(received <= 100);
    progress_calls++;
}

static void progress_is_told(void **state) {
    struct http_client_request request = make_own_request("GET", "/");
    int64_t begin_ms = clock_monotonic_ms();

    progress_calls = 0;
    stand_in.reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab";
    stand_in.trickle = true;
    request.progress = on_progress;
    run_request(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_OK);
    assert_in_range(progress_calls, 2, 2 + (clock_monotonic_ms() - begin_ms) / 250);
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, stand_in_start, stand_in_finish)

int main(void) {
    const struct CMUnitTest tests[] = {
        ROW(a_download_is_written_and_hashed),
        ROW(an_error_answer_stays_out_of_the_sink),
        ROW(misbehaving_servers_by_table),
        ROW(endless_heads_are_cut),
        ROW(silence_ends_at_the_deadline),
        ROW(a_trickle_is_too_slow),
        ROW(a_header_cannot_carry_a_line_end),
        ROW(an_upload_is_sent_whole_and_without_waiting),
        ROW(an_upload_that_is_shorter_than_said_fails),
        ROW(empty_uploads_and_texts_have_lengths),
        ROW(a_head_request_learns_the_length),
        ROW(other_methods_are_sent_as_they_are),
        ROW(a_sink_that_refuses_ends_the_transfer),
        ROW(progress_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
