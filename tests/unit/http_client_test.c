/* SPDX-License-Identifier: MIT
 * The client against a raw server in the same loop that answers byte for byte what a test says, and
 * misbehaves: cuts, floods, trickles, redirects, keeps silent. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/client.h"
#include "lib/buffer.h"
#include "lib/clock.h"
#include "lib/loop.h"
#include "lib/process.h"
#include "lib/text.h"

#define VISITORS 8
#define ABC_SHA256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static struct loop *loop;
static struct loop_timer *deadline, *trickle_timer;
static struct http_client *client;

static struct stand_in {
    int listen_fd;
    uint16_t port;
    struct loop_watch *watch;
    struct visitor {
        int fd;
        struct loop_watch *watch;
    } visitors[VISITORS];
    unsigned accepted, answered;
    struct buffer seen;  /* all requests */
    size_t body_awaited; /* bytes of body to read before answering */
    const char *reply;   /* NULL: silence */
    bool trickle;        /* one byte each 100 ms */
    size_t trickled;
    bool keep_open;
} stand_in;

static struct outcome {
    unsigned calls;
    enum http_client_error error;
    int status;
    uint64_t received_bytes, content_length;
    bool hashed;
    char sha256[65], etag[64], content_type[64], retry_after[64], body[256], detail[256];
    size_t body_size;
} outcome;

static void give_up(void *context) {
    loop_stop(loop, 99);
}

static void leave(struct visitor *visitor) {
    loop_watch_free(visitor->watch);
    close(visitor->fd);
    *visitor = (struct visitor){.fd = -1};
}

static void reply_byte(void *context) {
    struct visitor *visitor = context;

    if (visitor->fd < 0 || stand_in.reply[stand_in.trickled] == '\0')
        return;
    (void)send(visitor->fd, &stand_in.reply[stand_in.trickled++], 1, MSG_NOSIGNAL);
    loop_timer_set(trickle_timer, 100);
}

static void reply_to(struct visitor *visitor) {
    stand_in.answered++;
    if (stand_in.reply == NULL)
        return;
    if (stand_in.trickle) {
        trickle_timer = loop_timer_new(loop, reply_byte, visitor);
        loop_timer_set(trickle_timer, 0);
        return;
    }
    (void)send(visitor->fd, stand_in.reply, strlen(stand_in.reply), MSG_NOSIGNAL);
    if (!stand_in.keep_open)
        leave(visitor);
}

static void on_bytes(void *context, uint32_t events) {
    struct visitor *visitor = context;
    char bytes[65536];

    ssize_t got = read(visitor->fd, bytes, sizeof(bytes));
    if (got <= 0) {
        leave(visitor);
        return;
    }
    assert_int_equal(buffer_append(&stand_in.seen, bytes, (size_t)got), 0);
    const char *end = strstr(stand_in.seen.data, "\r\n\r\n");
    if (end != NULL && stand_in.seen.size >= (size_t)(end - stand_in.seen.data) + 4 + stand_in.body_awaited)
        reply_to(visitor);
}

static void on_visitor(void *context, uint32_t events) {
    struct visitor *visitor = &stand_in.visitors[stand_in.accepted % VISITORS];

    if (visitor->fd >= 0)
        leave(visitor);
    visitor->fd = accept(stand_in.listen_fd, NULL, NULL);
    assert_true(visitor->fd >= 0);
    stand_in.accepted++;
    visitor->watch = loop_watch_new(loop, visitor->fd, LOOP_READ, on_bytes, visitor);
}

static int start(void **state) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    loop = loop_new();
    deadline = loop_timer_new(loop, give_up, NULL);
    loop_timer_set(deadline, 15000);
    client = http_client_new(loop, 8);
    stand_in = (struct stand_in){.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    for (size_t i = 0; i < VISITORS; i++)
        stand_in.visitors[i].fd = -1;
    buffer_init(&stand_in.seen, 8 << 20);
    if (bind(stand_in.listen_fd, (struct sockaddr *)&address, size) != 0 ||
        listen(stand_in.listen_fd, 8) != 0 ||
        getsockname(stand_in.listen_fd, (struct sockaddr *)&address, &size) != 0)
        return -1;
    stand_in.port = ntohs(address.sin_port);
    stand_in.watch = loop_watch_new(loop, stand_in.listen_fd, LOOP_READ, on_visitor, NULL);
    memset(&outcome, 0, sizeof(outcome));
    trickle_timer = NULL;
    return 0;
}

static int finish(void **state) {
    http_client_free(client);
    for (size_t i = 0; i < VISITORS; i++) {
        if (stand_in.visitors[i].fd >= 0)
            leave(&stand_in.visitors[i]);
    }
    buffer_clear(&stand_in.seen);
    loop_free(loop);
    close(stand_in.listen_fd);
    return 0;
}

static void on_done(void *context, const struct http_client_reply *reply) {
    outcome.calls++;
    outcome.error = reply->error;
    outcome.status = reply->status;
    outcome.received_bytes = reply->received_bytes;
    outcome.content_length = reply->content_length;
    outcome.hashed = reply->sha256 != NULL;
    assert_int_equal(
        text_copy(outcome.sha256, sizeof(outcome.sha256), reply->sha256 != NULL ? reply->sha256 : ""), 0);
    assert_int_equal(text_copy(outcome.etag, sizeof(outcome.etag), reply->etag), 0);
    assert_int_equal(text_copy(outcome.content_type, sizeof(outcome.content_type), reply->content_type), 0);
    assert_int_equal(text_copy(outcome.retry_after, sizeof(outcome.retry_after), reply->retry_after), 0);
    assert_int_equal(text_copy(outcome.body, sizeof(outcome.body), reply->body), 0);
    assert_int_equal(text_copy(outcome.detail, sizeof(outcome.detail), reply->detail), 0);
    assert_int_equal(strlen(reply->body), reply->body_size);
    outcome.body_size = reply->body_size;
    loop_stop(loop, 0);
}

static struct http_client_request make(const char *method, const char *url) {
    return (struct http_client_request){.method = method,
                                        .url = url,
                                        .upload_fd = -1,
                                        .sink_fd = -1,
                                        .max_bytes = 1 << 20,
                                        .max_body = 200,
                                        .timeout_ms = 5000};
}

static void run(const struct http_client_request *request) {
    assert_non_null(http_client_start(client, request, on_done, NULL));
    assert_int_equal(outcome.calls, 0); /* never from inside */
    assert_int_equal(loop_run(loop), 0);
    assert_int_equal(outcome.calls, 1);
}

static const char *own_url(const char *path) {
    static char url[512];

    assert_int_equal(text_format(url, sizeof(url), "http://127.0.0.1:%u%s", stand_in.port, path), 0);
    return url;
}

static struct http_client_request make_own(const char *method, const char *path) {
    return make(method, own_url(path));
}

static int memory_file(const char *content) {
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    return fd;
}

static void a_download_is_written_and_hashed(void **state) {
    struct http_client_request request = make_own("GET", "/a%20b?x=1");
    char written[8] = {0};

    stand_in.reply =
        "HTTP/1.1 200 OK\r\nETag: \"e1\"\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc";
    request.sink_fd = memory_file("");
    request.hash = true;
    run(&request);
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
    struct http_client_request request = make_own("GET", "/");
    char written[8];

    stand_in.reply = "HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 8\r\n\r\nSlowDown";
    request.sink_fd = memory_file("");
    request.hash = true;
    request.max_body = 4;
    run(&request);
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
        struct http_client_request request = make_own("GET", "/");
        unsigned accepted = stand_in.accepted;
        request.max_bytes = 20;
        memset(&outcome, 0, sizeof(outcome));
        buffer_reset(&stand_in.seen);
        stand_in.reply = misbehaviours[i].reply;
        run(&request);
        if (outcome.error != misbehaviours[i].error)
            fail_msg("%s: %s (%s)", misbehaviours[i].name, http_client_error_name(outcome.error),
                     outcome.detail);
        assert_true(outcome.received_bytes <= 20);
        assert_int_equal(stand_in.accepted, accepted + 1); /* a redirect is not followed */
        assert_string_equal(outcome.etag, "");
    }
}

static void endless_heads_are_cut(void **state) {
    struct http_client_request request = make_own("GET", "/");
    struct buffer reply;

    buffer_init(&reply, 4 << 20);
    (void)buffer_append_text(&reply, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 20000; i++)
        (void)buffer_append_text(&reply, "X-Filler: 0123456789\r\n");
    stand_in.reply = reply.data;
    run(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_TOO_LARGE);
    buffer_clear(&reply);
}

static void silence_ends_at_the_deadline(void **state) {
    struct http_client_request request = make_own("GET", "/");
    int64_t begin_ms = clock_monotonic_ms();

    request.timeout_ms = 300;
    run(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_TIMEOUT);
    assert_true(clock_monotonic_ms() - begin_ms < 2000);
}

static void a_trickle_is_too_slow(void **state) {
    struct http_client_request request = make_own("GET", "/");

    stand_in.reply =
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome bytes that come very slowly, one by one, "
        "and would take two minutes in all";
    stand_in.trickle = true;
    request.timeout_ms = 12000;
    request.low_speed_ms = 1500;
    run(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_TOO_SLOW);
}

static void nobody_there(void **state) {
    struct http_client_request request;
    char url[64];

    loop_watch_free(stand_in.watch);
    close(stand_in.listen_fd); /* its port refuses now */
    stand_in.listen_fd = dup(0);
    assert_int_equal(
        text_format(url, sizeof(url), "http://127.0.0.1:%u/?X-Amz-Signature=secret", stand_in.port), 0);
    request = make("GET", url);
    run(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_CONNECT);
    assert_true(outcome.detail[0] != '\0');
    assert_null(strstr(outcome.detail, "secret"));
}

static void unknown_names_do_not_resolve(void **state) {
    struct http_client_request request = make("GET", "http://no-such-host.invalid/");

    request.timeout_ms = 12000;
    run(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_RESOLVE);
}

static void addresses_inside_are_blocked(void **state) {
    static const char *const hosts[] = {
        "127.0.0.1",          "localhost", "2130706433", "0x7f000001",      "0177.1",  "127.1",
        "[::ffff:127.0.0.1]", "[::1]",     "0.0.0.0",    "169.254.169.254", "10.0.0.1"};

    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        char url[80];
        assert_int_equal(text_format(url, sizeof(url), "http://%s:%u/", hosts[i], stand_in.port), 0);
        struct http_client_request request = make("GET", url);
        request.global_only = true;
        memset(&outcome, 0, sizeof(outcome));
        run(&request);
        if (outcome.error != HTTP_CLIENT_BLOCKED)
            fail_msg("%s: %s (%s)", hosts[i], http_client_error_name(outcome.error), outcome.detail);
    }
    assert_int_equal(stand_in.accepted, 0);
}

static void a_warm_connection_inside_is_not_borrowed(void **state) {
    struct http_client_request request = make_own("GET", "/");

    stand_in.reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    stand_in.keep_open = true;
    run(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_OK);
    memset(&outcome, 0, sizeof(outcome));
    request.global_only = true;
    run(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_BLOCKED);
    assert_int_equal(stand_in.answered, 1);
}

static void bad_urls_are_refused(void **state) {
    static const char *const urls[] = {"",
                                       "/path",
                                       "file:///etc/passwd",
                                       "ftp://127.0.0.1/",
                                       "gopher://127.0.0.1/",
                                       "dict://127.0.0.1/",
                                       "http://user@127.0.0.1/",
                                       "http://user:password@127.0.0.1/",
                                       "http://127.0.0.1/a b",
                                       "http://127.0.0.1/\r\nX: y",
                                       "http://127.0.0.1\\@example.com/",
                                       "http://",
                                       "http://127.0.0.1:99999/"};

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct http_client_request request = make("GET", urls[i]);
        memset(&outcome, 0, sizeof(outcome));
        run(&request);
        if (outcome.error != HTTP_CLIENT_BAD_URL)
            fail_msg("%s: %s", urls[i], http_client_error_name(outcome.error));
    }
}

static void a_header_cannot_carry_a_line_end(void **state) {
    const char *const headers[] = {"X: a\r\nY: b", NULL};
    struct http_client_request request = make_own("GET", "/");

    request.headers = headers;
    run(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_OTHER);
    assert_int_equal(stand_in.accepted, 0);
}

static void an_upload_is_sent_whole_and_without_waiting(void **state) {
    const char *const headers[] = {"x-amz-test: 1", NULL};
    struct http_client_request request = make_own("PUT", "/key");
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
    run(&request);
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
    struct http_client_request request = make_own("PUT", "/key");

    stand_in.body_awaited = 10;
    request.upload_fd = memory_file("abc");
    request.upload_bytes = 10;
    run(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_OTHER);
    close(request.upload_fd);
}

static void empty_uploads_and_texts_have_lengths(void **state) {
    struct http_client_request request = make_own("PUT", "/key");

    stand_in.reply = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
    request.upload_fd = memory_file("");
    run(&request);
    assert_int_equal(outcome.status, 201);
    assert_non_null(strstr(stand_in.seen.data, "Content-Length: 0\r\n"));
    close(request.upload_fd);

    buffer_reset(&stand_in.seen);
    memset(&outcome, 0, sizeof(outcome));
    request = make_own("POST", "/hook");
    request.body = "a\0b";
    request.body_size = 3;
    stand_in.body_awaited = 3;
    run(&request);
    assert_int_equal(outcome.status, 201);
    assert_true(text_starts_with(stand_in.seen.data, "POST /hook HTTP/1.1\r\n"));
    assert_non_null(strstr(stand_in.seen.data, "Content-Length: 3\r\n"));
    assert_memory_equal(stand_in.seen.data + stand_in.seen.size - 3, "a\0b", 3);
}

static void a_head_request_learns_the_length(void **state) {
    struct http_client_request request = make_own("HEAD", "/key");

    stand_in.reply = "HTTP/1.1 200 OK\r\nContent-Length: 123456789\r\nETag: x\r\n\r\n";
    request.max_bytes = 0;
    run(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_OK);
    assert_int_equal(outcome.content_length, 123456789);
    assert_int_equal(outcome.received_bytes, 0);
}

static void other_methods_are_sent_as_they_are(void **state) {
    struct http_client_request request = make_own("DELETE", "/key");

    stand_in.reply = "HTTP/1.1 200 OK\r\n\r\n";
    run(&request);
    assert_int_equal(outcome.status, 200);
    assert_int_equal(outcome.content_length, UINT64_MAX);
    assert_true(text_starts_with(stand_in.seen.data, "DELETE /key HTTP/1.1\r\n"));
}

static void a_sink_that_refuses_ends_the_transfer(void **state) {
    struct http_client_request request = make_own("GET", "/");

    stand_in.reply = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    request.sink_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    run(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_WRITE);
    close(request.sink_fd);
}

static void connections_are_used_again(void **state) {
    struct http_client_request request = make_own("GET", "/");

    stand_in.reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    stand_in.keep_open = true;
    for (unsigned i = 1; i <= 3; i++) {
        buffer_reset(&stand_in.seen);
        memset(&outcome, 0, sizeof(outcome));
        run(&request);
        assert_int_equal(outcome.error, HTTP_CLIENT_OK);
        assert_int_equal(stand_in.answered, i);
    }
    assert_int_equal(stand_in.accepted, 1);
}

static void proxies_of_the_environment_are_ignored(void **state) {
    struct http_client_request request = make_own("GET", "/");

    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    stand_in.reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    run(&request);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    assert_int_equal(outcome.error, HTTP_CLIENT_OK);
}

static void plain_text_is_not_tls(void **state) {
    char url[64];

    stand_in.reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\r\n\r\n";
    assert_int_equal(text_format(url, sizeof(url), "https://127.0.0.1:%u/", stand_in.port), 0);
    struct http_client_request request = make("GET", url);
    request.timeout_ms = 1000;
    run(&request);
    assert_int_not_equal(outcome.error, HTTP_CLIENT_OK);
    assert_int_equal(outcome.status, 0);
}

/* ---- certificates: `openssl s_server` with one of its own making ---- */

static pid_t spawn(char *const *arguments) {
    char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
    const struct process_plan plan = {
        .path = "/usr/bin/openssl", .arguments = arguments, .environment = environment};
    int pidfd;
    pid_t pid = process_spawn(&plan, &pidfd);

    assert_true(pid > 0);
    close(pidfd);
    return pid;
}

static pid_t start_tls_server(const char *directory, uint16_t port) {
    char key[128], certificate[128], address[32];
    char *make[] = {"openssl",  "req",       "-x509",   "-newkey",
                    "rsa:2048", "-nodes",    "-keyout", key,
                    "-out",     certificate, "-days",   "2",
                    "-subj",    "/CN=x",     "-addext", "subjectAltName=IP:127.0.0.1",
                    "-batch",   NULL};
    char *serve[] = {"openssl", "s_server", "-accept",   address, "-key",
                     key,       "-cert",    certificate, "-www",  NULL};
    int status;

    assert_int_equal(text_format(key, sizeof(key), "%s/key.pem", directory), 0);
    assert_int_equal(text_format(certificate, sizeof(certificate), "%s/certificate.pem", directory), 0);
    assert_int_equal(text_format(address, sizeof(address), "127.0.0.1:%u", port), 0);
    assert_int_equal(waitpid(spawn(make), &status, 0) > 0 ? status : -1, 0);
    return spawn(serve);
}

/* Asks until the server listens. */
static void run_until_connected(const char *url) {
    struct http_client_request request = make("GET", url);

    for (int i = 0; i < 100; i++) {
        memset(&outcome, 0, sizeof(outcome));
        run(&request);
        if (outcome.error != HTTP_CLIENT_CONNECT)
            return;
        (void)usleep(50000);
    }
}

static void certificates_are_checked(void **state) {
    char directory[] = "/tmp/http_client_test.XXXXXX", file[64], url[64];

    if (access("/usr/bin/openssl", X_OK) != 0)
        skip();
    assert_non_null(mkdtemp(directory));
    loop_watch_free(stand_in.watch);
    close(stand_in.listen_fd); /* frees a port for it */
    stand_in.listen_fd = dup(0);
    pid_t server = start_tls_server(directory, stand_in.port);
    assert_int_equal(text_format(url, sizeof(url), "https://127.0.0.1:%u/", stand_in.port), 0);
    run_until_connected(url);
    assert_int_equal(outcome.error, HTTP_CLIENT_TLS);
    assert_int_equal(outcome.status, 0);

    assert_int_equal(text_format(file, sizeof(file), "%s/certificate.pem", directory), 0);
    setenv("SSL_CERT_FILE", file, 1);
    run_until_connected(url);
    assert_int_equal(outcome.error, HTTP_CLIENT_OK);
    assert_int_equal(outcome.status, 200);
    assert_int_equal(text_format(url, sizeof(url), "https://localhost:%u/", stand_in.port), 0);
    run_until_connected(url); /* right authority, wrong name */
    assert_int_equal(outcome.error, HTTP_CLIENT_TLS);
    unsetenv("SSL_CERT_FILE");

    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    (void)unlink(file);
    assert_int_equal(text_format(file, sizeof(file), "%s/key.pem", directory), 0);
    (void)unlink(file);
    (void)rmdir(directory);
}

static struct http_transfer *other;
static unsigned other_calls;

static void on_other(void *context, const struct http_client_reply *reply) {
    other_calls++;
}

static void cancel_other(void *context, const struct http_client_reply *reply) {
    http_client_cancel(other);
    on_done(context, reply);
}

static void a_cancelled_transfer_is_never_done(void **state) {
    struct http_client_request request = make_own("GET", "/");

    other_calls = 0;
    request.timeout_ms = 200;
    other = http_client_start(client, &request, on_other, NULL);
    request.timeout_ms = 100;
    http_client_start(client, &request, cancel_other, NULL);
    assert_int_equal(loop_run(loop), 0);
    memset(&outcome, 0, sizeof(outcome));
    request.timeout_ms = 400;
    run(&request); /* past the other's deadline */
    assert_int_equal(other_calls, 0);
}

static void on_self(void *context, const struct http_client_reply *reply) {
    http_client_cancel(*(struct http_transfer **)context); /* too late, and harmless */
    on_done(context, reply);
}

static void a_transfer_may_be_cancelled_in_its_own_end(void **state) {
    struct http_client_request request = make("GET", "file:///");
    struct http_transfer *self;

    self = http_client_start(client, &request, on_self, &self);
    assert_int_equal(loop_run(loop), 0);
    assert_int_equal(outcome.calls, 1);
}

static void freeing_the_client_ends_all_without_a_word(void **state) {
    struct http_client_request request = make_own("GET", "/");

    other_calls = 0;
    for (int i = 0; i < 3; i++)
        http_client_start(client, &request, on_other, NULL);
    http_client_free(client);
    client = http_client_new(loop, 8);
    request.timeout_ms = 100;
    run(&request);
    assert_int_equal(other_calls, 0);
}

static unsigned progress_calls;

static void on_progress(void *context, uint64_t received, uint64_t sent) {
    assert_true(received <= 100);
    progress_calls++;
}

static void progress_is_told(void **state) {
    struct http_client_request request = make_own("GET", "/");

    progress_calls = 0;
    stand_in.reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab";
    stand_in.trickle = true;
    request.progress = on_progress;
    run(&request);
    assert_int_equal(outcome.error, HTTP_CLIENT_OK);
    assert_in_range(progress_calls, 2, 30);
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(void) {
    const struct CMUnitTest tests[] = {
        ROW(a_download_is_written_and_hashed),
        ROW(an_error_answer_stays_out_of_the_sink),
        ROW(misbehaving_servers_by_table),
        ROW(endless_heads_are_cut),
        ROW(silence_ends_at_the_deadline),
        ROW(a_trickle_is_too_slow),
        ROW(nobody_there),
        ROW(unknown_names_do_not_resolve),
        ROW(addresses_inside_are_blocked),
        ROW(a_warm_connection_inside_is_not_borrowed),
        ROW(bad_urls_are_refused),
        ROW(a_header_cannot_carry_a_line_end),
        ROW(an_upload_is_sent_whole_and_without_waiting),
        ROW(an_upload_that_is_shorter_than_said_fails),
        ROW(empty_uploads_and_texts_have_lengths),
        ROW(a_head_request_learns_the_length),
        ROW(other_methods_are_sent_as_they_are),
        ROW(a_sink_that_refuses_ends_the_transfer),
        ROW(connections_are_used_again),
        ROW(proxies_of_the_environment_are_ignored),
        ROW(plain_text_is_not_tls),
        ROW(certificates_are_checked),
        ROW(a_cancelled_transfer_is_never_done),
        ROW(a_transfer_may_be_cancelled_in_its_own_end),
        ROW(freeing_the_client_ends_all_without_a_word),
        ROW(progress_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
