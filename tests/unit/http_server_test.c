/* SPDX-License-Identifier: MIT
 * What the server promises its program: who is called when, how often, and what may be done where. What it
 * promises its clients is in tests/integration/test_http_strict.py. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/server.h"
#include "lib/buffer.h"
#include "lib/loop.h"
#include "lib/text.h"

static struct loop *loop;
static struct loop_timer *deadline;
static struct http_server *server;
static int client_fd;
static struct loop_watch *client_watch;
static struct buffer received;
static unsigned wanted_ends; /* stop the loop when the client has seen this text so often, or its end */
static const char *wanted;

/* What the program under test did and saw. */
static struct program {
    unsigned begun, completed, closed, parts;
    struct http_request *request;
    void (*on_begin)(struct http_request *request, struct http_plan *plan);
    int begin_result;
    void (*on_complete)(struct http_request *request);
    int (*on_body)(struct http_request *request);
    struct loop_timer *timer;
} program;

static void give_up(void *context) {
    loop_stop(loop, 99);
}

static void respond_text(struct http_request *request, int status, const char *text) {
    const struct http_header headers[] = {{"X-Own", "yes"}, {"X-Split", "a\r\nX-Injected: b"}};

    http_respond(request, &(struct http_response){.status = status,
                                                  .headers = headers,
                                                  .header_count = 2,
                                                  .body = text,
                                                  .body_size = strlen(text)});
}

static int on_begin(void *context, struct http_request *request, struct http_plan *plan) {
    assert_ptr_equal(context, &program);
    program.begun++;
    program.request = request;
    plan->max_body_bytes = 100;
    if (program.on_begin != NULL)
        program.on_begin(request, plan);
    return program.begin_result;
}

static int on_body(void *context, struct http_request *request, const char *bytes, size_t size) {
    assert_non_null(bytes);
    assert_true(size > 0);
    program.parts++;
    return program.on_body != NULL ? program.on_body(request) : 0;
}

static void on_complete(void *context, struct http_request *request) {
    program.completed++;
    if (program.on_complete != NULL)
        program.on_complete(request);
    else
        respond_text(request, 200, "done");
}

static void on_closed(void *context, struct http_request *request) {
    assert_non_null(http_request_path(request)); /* still valid here */
    program.closed++;
}

static const struct http_handlers handlers = {
    .begin = on_begin, .body = on_body, .complete = on_complete, .closed = on_closed};

static void error_as_xml(int status, const char *code, char *target, size_t size, const char **content_type) {
    *content_type = "application/xml";
    (void)text_format(target, size, "<Error><Code>%s</Code><S>%d</S></Error>", code, status);
}

static unsigned count_wanted(void) {
    unsigned count = 0;

    for (const char *at = received.data; at != NULL && (at = strstr(at, wanted)) != NULL; at++)
        count++;
    return count;
}

static void on_client(void *context, uint32_t events) {
    char bytes[65536];

    ssize_t got = read(client_fd, bytes, sizeof(bytes));
    if (got > 0)
        assert_int_equal(buffer_append(&received, bytes, (size_t)got), 0);
    if (got <= 0) {
        loop_watch_set(client_watch, 0);
        loop_stop(loop, 1);
    } else if (wanted != NULL && count_wanted() >= wanted_ends) {
        loop_stop(loop, 0);
    }
}

static void connect_client(uint16_t port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};

    client_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    client_watch = loop_watch_new(loop, client_fd, LOOP_READ, on_client, NULL);
}

static struct http_server_options make_options(void) {
    return (struct http_server_options){.listen_fd = -1, .address = "127.0.0.1", .server_name = "unit"};
}

static int start(void **state) {
    struct http_server_options options = make_options();

    loop = loop_new();
    deadline = loop_timer_new(loop, give_up, NULL);
    loop_timer_set(deadline, 10000);
    memset(&program, 0, sizeof(program));
    buffer_init(&received, 8 << 20);
    options.error_body = error_as_xml;
    server = http_server_new(loop, &options, &handlers, &program);
    if (server == NULL)
        return -1;
    connect_client(http_server_port(server));
    return 0;
}

static int finish(void **state) {
    http_server_free(server);
    server = NULL;
    loop_watch_free(client_watch);
    close(client_fd);
    buffer_clear(&received);
    loop_free(loop);
    return program.begun == program.closed ? 0 : -1;
}

static void say(const char *text) {
    assert_int_equal(send(client_fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Runs until `text` has come `count` times, or to the end of the connection when NULL. */
static void listen_for(const char *text, unsigned count) {
    wanted = text;
    wanted_ends = count;
    assert_int_equal(loop_run(loop), text != NULL ? 0 : 1);
}

static bool has(const char *text) {
    return received.data != NULL && strstr(received.data, text) != NULL;
}

static void stop_now(void *context) {
    loop_stop(loop, 0);
}

static void run_for(int64_t delay_ms) {
    struct loop_timer *timer = loop_timer_new(loop, stop_now, NULL);

    loop_timer_set(timer, delay_ms);
    assert_int_equal(loop_run(loop), 0);
    loop_timer_free(timer);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
#define POST(path, body_size, body)                                                                          \
    "POST " path " HTTP/1.1\r\nHost: x\r\nContent-Length: " body_size "\r\n\r\n" body

static void requests_are_begun_completed_and_closed_once(void **state) {
    say(GET("/a") POST("/b", "3", "abc") GET("/c"));
    listen_for("done", 3);
    assert_int_equal(program.begun, 3);
    assert_int_equal(program.completed, 3);
    assert_int_equal(program.parts, 0); /* gathered */
    assert_int_equal(http_server_connections(server), 1);
    assert_true(has("X-Own: yes\r\n"));
    assert_true(has("Server: unit\r\n"));
    assert_false(has("X-Injected"));
}

static void errors_of_the_server_speak_the_programs_tongue(void **state) {
    say("GET / HTTP/1.1\r\n\r\n");
    listen_for(NULL, 0);
    assert_true(has("HTTP/1.1 400 Bad Request\r\n"));
    assert_true(has("Content-Type: application/xml\r\n"));
    assert_true(has("<Code>bad_request</Code><S>400</S>"));
    assert_int_equal(program.begun, 0);
}

static void a_body_over_the_limit_does_not_reach_the_program(void **state) {
    say(POST("/", "101", ""));
    listen_for(NULL, 0);
    assert_true(has("HTTP/1.1 413 "));
    assert_true(has("<Code>payload_too_large</Code>"));
    assert_int_equal(program.begun, 1);
    assert_int_equal(program.completed, 0);
}

static void refuse_in_begin(struct http_request *request, struct http_plan *plan) {
    respond_text(request, 403, "refused");
}

static void a_refusal_in_begin_needs_no_body(void **state) {
    program.on_begin = refuse_in_begin;
    program.begin_result = -1;
    say(GET("/") GET("/again")); /* without a body the connection goes on */
    listen_for("refused", 2);
    say(POST("/", "50", ""));
    listen_for(NULL, 0);
    assert_int_equal(program.begun, 3);
    assert_int_equal(program.completed, 0);
    assert_true(has("HTTP/1.1 403 "));
}

static void say_nothing(struct http_request *request) {
}

static void an_answer_may_come_later(void **state) {
    program.on_complete = say_nothing;
    say(GET("/a%20b?x=1&y=%41&x=2&z"));
    run_for(50);
    assert_int_equal(program.completed, 1);
    assert_int_equal(program.closed, 0);
    assert_string_equal(http_request_method(program.request), "GET");
    assert_string_equal(http_request_path(program.request), "/a b");
    assert_string_equal(http_request_raw_path(program.request), "/a%20b");
    assert_string_equal(http_request_raw_query(program.request), "x=1&y=%41&x=2&z");
    assert_string_equal(http_request_query(program.request, "x"), "1");
    assert_string_equal(http_request_query(program.request, "y"), "A");
    assert_string_equal(http_request_query(program.request, "z"), "");
    assert_null(http_request_query(program.request, "w"));
    assert_string_equal(http_request_header(program.request, "hOST"), "x");
    assert_null(http_request_header(program.request, "X-None"));
    assert_int_equal(http_request_body_length(program.request), 0);
    assert_string_equal(http_request_peer(program.request), "127.0.0.1");
    struct http_header one[1];
    assert_int_equal(http_request_queries(program.request, one, 1), 1);
    respond_text(program.request, 200, "at last");
    listen_for("at last", 1);
    run_for(20);
    assert_int_equal(program.closed, 1);
}

static void stream_bodies(struct http_request *request, struct http_plan *plan) {
    assert_int_equal(http_request_body_length(request), UINT64_MAX);
    plan->streamed = true;
}

static int pause_body(struct http_request *request) {
    http_request_pause(request);
    return 0;
}

static void a_paused_body_waits(void **state) {
    program.on_begin = stream_bodies;
    program.on_body = pause_body;
    say("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    run_for(50);
    assert_int_equal(program.parts, 1);
    say("3\r\ndef\r\n0\r\n\r\n");
    run_for(50);
    assert_int_equal(program.parts, 1);
    assert_int_equal(program.completed, 0);
    http_request_continue(program.request);
    run_for(50);
    assert_int_equal(program.parts, 2);
    assert_int_equal(program.completed, 0); /* paused again */
    http_request_continue(program.request);
    listen_for("done", 1);
}

static void a_paused_body_can_be_refused(void **state) {
    program.on_begin = stream_bodies;
    program.on_body = pause_body;
    say("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    run_for(50);
    respond_text(program.request, 409, "no more");
    listen_for(NULL, 0);
    assert_true(has("HTTP/1.1 409 Conflict\r\n"));
    assert_true(has("no more"));
    assert_false(has("X-Injected"));
    run_for(20);
    assert_int_equal(program.closed, 1);
}

static int go_on(struct http_request *request) {
    return 0;
}

static void an_unpaused_body_can_be_refused_from_outside(void **state) {
    program.on_begin = stream_bodies;
    program.on_body = go_on;
    say("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    run_for(50);
    respond_text(program.request, 409, "no more");
    listen_for(NULL, 0);
    assert_true(has("HTTP/1.1 409 Conflict\r\n"));
    run_for(20);
    assert_int_equal(program.closed, 1);
}

static void a_second_answer_is_ignored(void **state) {
    program.on_complete = say_nothing;
    say(GET("/"));
    run_for(50);
    respond_text(program.request, 200, "first");
    respond_text(program.request, 200, "second");
    listen_for("first", 1);
    assert_false(has("second"));
}

static struct http_stream *stream;

static void open_stream(struct http_request *request) {
    stream = http_respond_stream(request, &(struct http_response){.status = 200}, 10);
}

static void a_stream_is_bounded(void **state) {
    program.on_complete = open_stream;
    say(GET("/"));
    run_for(50);
    assert_int_equal(http_stream_write(stream, "12345", 5), 0);
    listen_for("12345", 1);
    assert_int_equal(http_stream_write(stream, "6789012345", 10), 0);
    assert_int_equal(http_stream_write(stream, "!", 1), -1); /* the loop has not run */
    assert_int_equal(http_stream_write(stream, "", 0), -1);
    listen_for(NULL, 0);
    assert_false(has("0\r\n\r\n"));
    run_for(20);
    assert_int_equal(program.closed, 1);
}

static void a_stream_ends_well(void **state) {
    program.on_complete = open_stream;
    say(GET("/"));
    run_for(50);
    assert_int_equal(http_stream_write(stream, "12345", 5), 0);
    http_stream_end(stream);
    assert_int_equal(http_stream_write(stream, "6", 1), -1);
    listen_for("0\r\n\r\n", 1);
    program.on_complete = NULL;
    say(GET("/")); /* and the connection goes on */
    listen_for("done", 1);
}

static void send_file(struct http_request *request) {
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_int_equal(write(fd, "0123456789", 10), 10);
    http_respond_file(request, &(struct http_response){.status = 206}, fd, 3, 4);
}

static void a_part_of_a_file(void **state) {
    program.on_complete = send_file;
    say(GET("/"));
    listen_for("\r\n\r\n3456", 1);
    assert_true(has("Content-Length: 4\r\n"));
}

static void freeing_closes_what_waits(void **state) {
    program.on_complete = say_nothing;
    say(GET("/"));
    run_for(50);
    assert_int_equal(program.closed, 0);
    http_server_free(server);
    server = NULL;
    assert_int_equal(program.closed, 1);
}

static void draining_lets_the_last_answer_out(void **state) {
    program.on_complete = say_nothing;
    say(GET("/"));
    run_for(50);
    http_server_drain(server);
    http_server_drain(server);
    run_for(50);
    assert_int_equal(http_server_connections(server), 1);
    respond_text(program.request, 200, "last");
    listen_for(NULL, 0);
    assert_true(has("last"));
    assert_true(has("Connection: close\r\n"));
    run_for(20);
    assert_int_equal(http_server_connections(server), 0);
}

static void a_listening_socket_can_be_given(void **state) {
    struct http_server_options options = make_options();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    options.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(options.listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(options.listen_fd, 8), 0);
    struct http_server *given = http_server_new(loop, &options, &handlers, &program);
    assert_non_null(given);
    loop_watch_free(client_watch);
    close(client_fd);
    connect_client(http_server_port(given));
    say(GET("/"));
    listen_for("done", 1);
    http_server_free(given);
    assert_int_equal(fcntl(options.listen_fd, F_GETFD), -1); /* it was taken */
}

static void a_port_in_use_or_a_bad_address_is_an_error(void **state) {
    struct http_server_options options = make_options();

    options.port = http_server_port(server);
    assert_null(http_server_new(loop, &options, &handlers, &program));
    options.address = "localhost";
    options.port = 0;
    assert_null(http_server_new(loop, &options, &handlers, &program));
}

static void a_port_can_be_shared(void **state) {
    struct http_server_options options = make_options();

    options.reuse_port = true;
    struct http_server *one = http_server_new(loop, &options, &handlers, &program);
    assert_non_null(one);
    options.port = http_server_port(one);
    struct http_server *two = http_server_new(loop, &options, &handlers, &program);
    assert_non_null(two);
    http_server_free(one);
    http_server_free(two);
}

static void statuses_have_names(void **state) {
    assert_string_equal(http_status_text(404), "Not Found");
    assert_string_equal(http_status_text(599), "Unknown");
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(void) {
    const struct CMUnitTest tests[] = {
        ROW(requests_are_begun_completed_and_closed_once),
        ROW(errors_of_the_server_speak_the_programs_tongue),
        ROW(a_body_over_the_limit_does_not_reach_the_program),
        ROW(a_refusal_in_begin_needs_no_body),
        ROW(an_answer_may_come_later),
        ROW(a_paused_body_waits),
        ROW(a_paused_body_can_be_refused),
        ROW(an_unpaused_body_can_be_refused_from_outside),
        ROW(a_second_answer_is_ignored),
        ROW(a_stream_is_bounded),
        ROW(a_stream_ends_well),
        ROW(a_part_of_a_file),
        ROW(freeing_closes_what_waits),
        ROW(draining_lets_the_last_answer_out),
        ROW(a_listening_socket_can_be_given),
        ROW(a_port_in_use_or_a_bad_address_is_an_error),
        ROW(a_port_can_be_shared),
        cmocka_unit_test(statuses_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
