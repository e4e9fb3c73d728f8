/* SPDX-License-Identifier: MIT
 * A program around http/server.h for tests: says what it was asked, and misbehaves on request. Prints its
 * port.
 *
 *   echo_server [head timeout in seconds] [max connections]
 *
 *   /limit       bodies up to 16 bytes            /refuse   401 before the body
 *   /stream      counts a streamed body           /stop     422 after the first part of a streamed body
 *   /pause       the same, holding back 20 ms after every part
 *   /later?ms=N  answers after N ms               /never    does not answer
 *   /file?offset=N&size=N  part of a file of 1 MiB (byte at i is i % 251)
 *   /events?count=N&ms=N   stream of N events     /flood    stream faster than anyone reads
 *   /drain       stops accepting                  /counts   requests begun and closed, connections, bytes
 *   all else     its own request as JSON
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "http/server.h"
#include "lib/buffer.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/memory.h"
#include "lib/text.h"

#define FILE_BYTES (1u << 20)
#define BODY_MAX (1u << 20)

static struct loop *loop;
static struct http_server *server;
static unsigned begun, closed;
static int file_fd;

/* What a request waits for. */
struct visit {
    struct http_request *request;
    struct loop_timer *timer;
    struct http_stream *stream;
    uint64_t bytes, left, interval_ms;
    unsigned parts;
};

static uint64_t number(const struct http_request *request, const char *name, uint64_t fallback) {
    const char *text = http_request_query(request, name);
    uint64_t value = fallback;

    return text != NULL && text_parse_u64(text, 0, UINT64_MAX, &value) == 0 ? value : fallback;
}

static bool is_path(const struct http_request *request, const char *path) {
    return strcmp(http_request_path(request), path) == 0;
}

static void answer(struct http_request *request, int status, const char *body) {
    const struct http_header headers[] = {{"Content-Type", "application/json"}};

    http_respond(request, &(struct http_response){.status = status,
                                                  .headers = headers,
                                                  .header_count = 1,
                                                  .body = body,
                                                  .body_size = strlen(body)});
}

static void append_quoted(struct buffer *text, const char *value) {
    (void)buffer_append_text(text, "\"");
    for (; *value != '\0'; value++) {
        unsigned char byte = (unsigned char)*value;
        if (byte < ' ' || byte >= 0x7f || byte == '"' || byte == '\\')
            (void)buffer_append_format(text, "\\u%04x", byte);
        else
            (void)buffer_append(text, value, 1);
    }
    (void)buffer_append_text(text, "\"");
}

static void append_pairs(struct buffer *text, const char *name, const struct http_header *pairs,
                         size_t count) {
    (void)buffer_append_format(text, ",\"%s\":[", name);
    for (size_t i = 0; i < count; i++) {
        (void)buffer_append_text(text, i > 0 ? ",[" : "[");
        append_quoted(text, pairs[i].name);
        (void)buffer_append_text(text, ",");
        append_quoted(text, pairs[i].value);
        (void)buffer_append_text(text, "]");
    }
    (void)buffer_append_text(text, "]");
}

static void echo(struct http_request *request) {
    const struct {
        const char *name, *value;
    } texts[] = {{"method", http_request_method(request)},
                 {"path", http_request_path(request)},
                 {"raw_path", http_request_raw_path(request)},
                 {"raw_query", http_request_raw_query(request)},
                 {"peer", http_request_peer(request)}};
    struct http_header pairs[200];
    struct buffer text;
    size_t body_size;

    (void)http_request_body(request, &body_size);
    buffer_init(&text, BODY_MAX);
    (void)buffer_append_format(&text, "{\"body_size\":%zu", body_size);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        (void)buffer_append_format(&text, ",\"%s\":", texts[i].name);
        append_quoted(&text, texts[i].value);
    }
    append_pairs(&text, "headers", pairs, http_request_headers(request, pairs, 200));
    append_pairs(&text, "queries", pairs, http_request_queries(request, pairs, 200));
    (void)buffer_append_text(&text, "}");
    answer(request, 200, text.data);
    buffer_clear(&text);
}

static void on_later(void *context) {
    struct visit *visit = context;

    answer(visit->request, 200, "{\"later\":true}");
}

static void on_unpause(void *context) {
    struct visit *visit = context;

    http_request_continue(visit->request);
}

static void on_event(void *context) {
    struct visit *visit = context;
    char line[64];

    if (visit->left-- == 0) {
        http_stream_end(visit->stream);
        return;
    }
    (void)text_format(line, sizeof(line), "data: %u\n\n", visit->parts++);
    if (http_stream_write(visit->stream, line, strlen(line)) == 0)
        loop_timer_set(visit->timer, (int64_t)visit->interval_ms);
}

static void on_flood(void *context) {
    static const char block[4096];
    struct visit *visit = context;

    for (int i = 0; i < 64; i++) {
        if (http_stream_write(visit->stream, block, sizeof(block)) != 0)
            return;
    }
    loop_timer_set(visit->timer, 1);
}

static void arm(struct visit *visit, loop_timer_fn *fn, uint64_t delay_ms) {
    visit->timer = loop_timer_new(loop, fn, visit);
    loop_timer_set(visit->timer, (int64_t)delay_ms);
}

static int begin(void *context, struct http_request *request, struct http_plan *plan) {
    struct visit *visit = memory_new(sizeof(*visit));

    begun++;
    visit->request = request;
    http_request_set_context(request, visit);
    plan->max_body_bytes = is_path(request, "/limit") ? 16 : BODY_MAX;
    if (is_path(request, "/stream") || is_path(request, "/pause") || is_path(request, "/stop")) {
        plan->streamed = true;
        plan->max_body_bytes = UINT64_MAX;
    }
    if (is_path(request, "/refuse")) {
        answer(request, 401, "{\"refused\":true}");
        return -1;
    }
    return 0;
}

static int body(void *context, struct http_request *request, const char *bytes, size_t size) {
    struct visit *visit = http_request_context(request);

    visit->bytes += size;
    visit->parts++;
    if (is_path(request, "/stop")) {
        answer(request, 422, "{\"stopped\":true}");
        return -1;
    }
    if (is_path(request, "/pause")) {
        http_request_pause(request);
        if (visit->timer == NULL)
            arm(visit, on_unpause, 20);
        else
            loop_timer_set(visit->timer, 20);
    }
    return 0;
}

static void answer_counts(struct http_request *request) {
    char text[160];

    (void)text_format(text, sizeof(text), "{\"begun\":%u,\"closed\":%u,\"connections\":%u}", begun, closed,
                      http_server_connections(server));
    answer(request, 200, text);
}

static void answer_bytes(struct http_request *request) {
    struct visit *visit = http_request_context(request);
    char text[80];

    (void)text_format(text, sizeof(text), "{\"bytes\":%llu,\"parts\":%u}", (unsigned long long)visit->bytes,
                      visit->parts);
    answer(request, 200, text);
}

static void answer_file(struct http_request *request) {
    const struct http_header headers[] = {{"Content-Type", "application/octet-stream"}};

    http_respond_file(request, &(struct http_response){.status = 206, .headers = headers, .header_count = 1},
                      dup(file_fd), number(request, "offset", 0), number(request, "size", FILE_BYTES));
}

static void answer_stream(struct http_request *request) {
    const struct http_header headers[] = {{"Content-Type", "text/event-stream"},
                                          {"Cache-Control", "no-store"}};
    struct visit *visit = http_request_context(request);
    bool flood = is_path(request, "/flood");

    visit->stream = http_respond_stream(
        request, &(struct http_response){.status = 200, .headers = headers, .header_count = 2}, 256 << 10);
    visit->left = number(request, "count", 3);
    visit->interval_ms = number(request, "ms", 1);
    arm(visit, flood ? on_flood : on_event, 0);
}

static void answer_later(struct http_request *request) {
    arm(http_request_context(request), on_later, number(request, "ms", 10));
}

static void answer_drain(struct http_request *request) {
    http_server_drain(server);
    answer(request, 200, "{\"draining\":true}");
}

static void answer_never(struct http_request *request) {
}

static const struct route {
    const char *path;
    void (*answer)(struct http_request *request);
} routes[] = {
    {"/stream", answer_bytes}, {"/pause", answer_bytes}, {"/later", answer_later},
    {"/never", answer_never},  {"/file", answer_file},   {"/events", answer_stream},
    {"/flood", answer_stream}, {"/drain", answer_drain}, {"/counts", answer_counts},
};

static void complete(void *context, struct http_request *request) {
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (is_path(request, routes[i].path)) {
            routes[i].answer(request);
            return;
        }
    }
    echo(request);
}

static void on_closed(void *context, struct http_request *request) {
    struct visit *visit = http_request_context(request);

    closed++;
    loop_timer_free(visit->timer);
    free(visit);
}

static void on_signal(void *context, int signal_number) {
    loop_stop(loop, 0);
}

static void make_file(void) {
    char *bytes = memory_new(FILE_BYTES);

    for (size_t i = 0; i < FILE_BYTES; i++)
        bytes[i] = (char)(i % 251);
    file_fd = memfd_create("echo", MFD_CLOEXEC);
    if (file_fd < 0 || write(file_fd, bytes, FILE_BYTES) != (ssize_t)FILE_BYTES)
        fatal_errno("event=echo_file_failed");
    free(bytes);
}

int main(int count, char **arguments) {
    const struct http_handlers handlers = {
        .begin = begin, .body = body, .complete = complete, .closed = on_closed};
    struct http_server_options options = {
        .listen_fd = -1, .address = "127.0.0.1", .max_connections = 1500, .head_timeout_s = 20};
    uint64_t value;

    log_init("echo_server", LOG_WARN);
    if (count > 1 && text_parse_u64(arguments[1], 1, 3600, &value) == 0)
        options.head_timeout_s = (unsigned)value;
    if (count > 2 && text_parse_u64(arguments[2], 1, 100000, &value) == 0)
        options.max_connections = (unsigned)value;
    loop = loop_new();
    make_file();
    server = http_server_new(loop, &options, &handlers, NULL);
    if (server == NULL)
        return 1;
    struct loop_signal *terminate = loop_signal_new(loop, SIGTERM, on_signal, NULL);
    printf("%u\n", (unsigned)http_server_port(server));
    fflush(stdout);
    int status = loop_run(loop);
    http_server_free(server);
    loop_signal_free(terminate);
    loop_free(loop);
    close(file_fd);
    if (begun != closed)
        fatal("event=echo_requests_left begun=%u closed=%u", begun, closed);
    return status;
}
