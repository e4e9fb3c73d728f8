/* SPDX-License-Identifier: MIT
 * One visitor is answered at a time, as soon as the end of a head and the awaited body were seen. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/text.h"
#include "tests/unit/http_stand_in.h"

#define GIVE_UP_MS 60000 /* past all that a test waits for */

struct loop *loop;
struct http_client *client;
struct stand_in stand_in;
struct outcome outcome;

static struct loop_timer *deadline, *trickle_timer;

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

int stand_in_start(void **state) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    loop = loop_new();
    deadline = loop_timer_new(loop, give_up, NULL);
    loop_timer_set(deadline, GIVE_UP_MS);
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
    outcome_forget();
    trickle_timer = NULL;
    return 0;
}

/* Bound all the same, so that nobody else gets the port: a server that sets SO_REUSEADDR may have it. */
void stand_in_stop_listening(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    loop_watch_free(stand_in.watch);
    close(stand_in.listen_fd);
    stand_in.listen_fd = fd;
    stand_in.port = ntohs(address.sin_port);
}

int stand_in_finish(void **state) {
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

void outcome_forget(void) {
    memset(&outcome, 0, sizeof(outcome));
}

void outcome_note(void *context, const struct http_client_reply *reply) {
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

struct http_client_request make_request(const char *method, const char *url) {
    return (struct http_client_request){.method = method,
                                        .url = url,
                                        .upload_fd = -1,
                                        .sink_fd = -1,
                                        .max_bytes = 1 << 20,
                                        .max_body = 200,
                                        .timeout_ms = 5000};
}

void run_request(const struct http_client_request *request) {
    assert_non_null(http_client_start(client, request, outcome_note, NULL));
    assert_int_equal(outcome.calls, 0); /* never from inside */
    assert_int_equal(loop_run(loop), 0);
    assert_int_equal(outcome.calls, 1);
}

static const char *own_url(const char *path) {
    static char url[512];

    assert_int_equal(text_format(url, sizeof(url), "http://127.0.0.1:%u%s", stand_in.port, path), 0);
    return url;
}

struct http_client_request make_own_request(const char *method, const char *path) {
    return make_request(method, own_url(path));
}

int memory_file(const char *content) {
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    return fd;
}
