/* SPDX-License-Identifier: MIT
 * The server: libmicrohttpd without threads of its own, its epoll descriptor in our loop. It parses, frames and
 * sends; the guard has read every byte before it (wire.h). libmicrohttpd runs only in run_daemon; everything else
 * here is called from it or leaves a request ready and resumed for it. The only user of microhttpd.h. */
#include "http/server.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/linger.h"
#include "http/plain.h"
#include "http/request.h"
#include "http/wire.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"

#define CONNECTION_MEMORY_BYTES ((size_t)96 << 10) /* holds the largest head the guard lets through, parsed */
#define STREAM_BLOCK_BYTES 8192u
#define SWEEP_MS 500
#define BODY_BYTES_PER_SECOND_MIN 500u
#define ERROR_BODY_MAX 1024u
#define DEFAULT_HEAD_TIMEOUT_S 20u
#define DEFAULT_CONNECTIONS 1024u

struct http_connection {
    struct http_server *server;
    struct http_connection *next, **place;
    int fd; /* libmicrohttpd's */
    struct guard guard;
    bool refused;   /* a plain answer was sent: nothing that comes is shown to libmicrohttpd */
    uint64_t begun; /* requests that libmicrohttpd has presented */
    char *target;   /* of the request whose head libmicrohttpd is parsing */
    struct http_request *request;
    int64_t since_ms;        /* start of the wait for a head, or of the body's window */
    uint64_t received_bytes; /* since then */
    char peer[INET6_ADDRSTRLEN];
};

struct http_server {
    struct loop *loop;
    struct http_server_options options;
    char *server_name;
    struct http_handlers handlers;
    void *context;
    struct MHD_Daemon *daemon;
    uint16_t port;
    bool draining;
    bool run_wanted;
    struct wire_tap tap;
    struct loop_watch *watch;
    struct loop_prepare *prepare;
    struct loop_timer *timer, *sweep_timer;
    int gone_epoll; /* tells when a client hangs up, also while libmicrohttpd has the connection suspended */
    struct loop_watch *gone_watch;
    struct linger_list *linger;
    struct http_connection *first;
    unsigned connection_count;
    struct http_connection **by_fd;
    size_t by_fd_size;
};

/* ---- suspending and resuming ---- */

static void suspend(struct http_request *request) {
    if (!request->suspended) {
        request->suspended = true;
        MHD_suspend_connection(request->mhd);
    }
}

static void resume(struct http_request *request) {
    if (request->suspended) {
        request->suspended = false;
        request->connection->server->run_wanted = true;
        request->connection->since_ms = clock_monotonic_ms();
        request->connection->received_bytes = 0;
        MHD_resume_connection(request->mhd);
    }
}

/* Makes libmicrohttpd give the connection up on its next turn, without another byte of its own. */
static void break_request(struct http_request *request) {
    if (request->state != REQUEST_SENDING)
        request->state = REQUEST_BROKEN;
    if (request->suspended)
        resume(request);
    else if (!request->in_handler)
        (void)shutdown(request->connection->fd, request->state == REQUEST_SENDING ? SHUT_RDWR : SHUT_RD);
}

/* ---- refusing ---- */

static void send_plain(struct http_connection *connection, const struct http_response *response) {
    plain_send(connection->fd, response, connection->server->server_name);
    linger_add(connection->server->linger, connection->fd);
    connection->refused = true;
}

static void make_error(const struct http_server *server, int status, const char *code, char *body,
                       struct http_header headers[2], struct http_response *response) {
    const char *content_type = "text/plain";
    void (*error_body)(int, const char *, char *, size_t, const char **) =
        server->options.error_body != NULL ? server->options.error_body : plain_problem;

    error_body(status, code, body, ERROR_BODY_MAX, &content_type);
    headers[0] = (struct http_header){"Content-Type", content_type};
    headers[1] = (struct http_header){"Allow", ""}; /* the guard's only 405 is CONNECT, which has no resource */
    *response = (struct http_response){.status = status,
                                       .headers = headers,
                                       .header_count = status == 405 ? 2 : 1,
                                       .body = body,
                                       .body_size = strlen(body),
                                       .close = true};
}

/* Answers what libmicrohttpd is not shown. Silent when another answer is on its way. */
static void refuse(struct http_connection *connection, int status, const char *code, const char *reason) {
    struct http_request *request = connection->request;
    struct http_header headers[2];
    struct http_response response;
    char body[ERROR_BODY_MAX];

    log_info("event=http_refused peer=%s status=%d reason=\"%s\"", connection->peer, status, reason);
    if (request == NULL || request->state == REQUEST_READING) {
        make_error(connection->server, status, code, body, headers, &response);
        send_plain(connection, &response);
    }
    connection->refused = true;
    if (request != NULL && request->state == REQUEST_READING)
        request->state = REQUEST_BROKEN;
}

static void respond_error(struct http_request *request, int status, const char *code) {
    struct http_header headers[2];
    struct http_response response;
    char body[ERROR_BODY_MAX];

    make_error(request->connection->server, status, code, body, headers, &response);
    http_respond(request, &response);
}

/* ---- the bytes before libmicrohttpd sees them ---- */

static struct http_connection *find_connection(const struct http_server *server, int fd) {
    return fd >= 0 && (size_t)fd < server->by_fd_size ? server->by_fd[fd] : NULL;
}

/* libmicrohttpd reads only when it has answered everything before, so a refusal here keeps the order of answers:
 * what came before the refused message is handed on, and the refusal waits for the next read. */
static ssize_t filter_bytes(void *context, int fd, char *bytes, ssize_t got) {
    struct http_connection *connection = find_connection(context, fd);

    if (connection == NULL)
        return got;
    if (connection->refused)
        return 0;
    struct guard *guard = &connection->guard;
    if (guard->refusal == NULL) {
        if (got <= 0)
            return got;
        connection->received_bytes += (uint64_t)got;
        size_t passed = guard_feed(guard, bytes, (size_t)got);
        if (guard->refusal == NULL)
            return got;
        if (passed > 0) {
            (void)shutdown(fd, SHUT_RD); /* makes libmicrohttpd read again */
            return (ssize_t)passed;
        }
    }
    refuse(connection, guard->refusal->status, guard->refusal->code, guard->refusal->reason);
    return 0;
}

/* ---- requests ---- */

static struct http_connection *connection_of(struct MHD_Connection *mhd) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info != NULL ? info->socket_context : NULL;
}

static void *on_target(void *context, const char *target, struct MHD_Connection *mhd) {
    struct http_connection *connection = connection_of(mhd);

    (void)context;
    if (connection != NULL) {
        free(connection->target);
        connection->target = memory_copy_text(target);
    }
    return NULL;
}

/* Decoding is request.c's. */
static size_t keep_escapes(void *context, struct MHD_Connection *mhd, char *text) {
    (void)context;
    (void)mhd;
    return strlen(text);
}

static enum MHD_Result take_header(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
    (void)kind;
    request_add_header(context, name, value != NULL ? value : "");
    return MHD_YES;
}

static void read_frame(struct http_request *request) {
    const char *length = http_request_header(request, "Content-Length");

    request->frame.chunked = http_request_header(request, "Transfer-Encoding") != NULL;
    if (length != NULL)
        request->frame.content_length = strtoull(length, NULL, 10); /* eighteen digits at most */
}

/* NULL when the guard has not seen this request: then it must not be served. */
static struct http_request *request_new(struct MHD_Connection *mhd, const char *method) {
    struct http_connection *connection = connection_of(mhd);

    if (connection == NULL || connection->target == NULL || connection->guard.heads <= connection->begun) {
        log_error("event=http_request_past_guard");
        return NULL;
    }
    connection->begun++;
    connection->since_ms = clock_monotonic_ms();
    connection->received_bytes = 0;
    struct http_request *request = memory_new(sizeof(*request));
    request->connection = connection;
    request->mhd = mhd;
    request->method = method;
    if (request_set_target(request, connection->target) != 0) {
        request_clear(request);
        free(request);
        return NULL;
    }
    (void)MHD_get_connection_values(mhd, MHD_HEADER_KIND, take_header, request);
    read_frame(request);
    connection->request = request;
    return request;
}

static enum MHD_Result queue_response(struct http_request *request) {
    struct MHD_Response *response = request->response;

    request->state = REQUEST_SENDING;
    request->response = NULL;
    enum MHD_Result result = MHD_queue_response(request->mhd, (unsigned)request->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result begin_request(struct http_request *request) {
    struct http_server *server = request->connection->server;
    struct http_plan plan = {.max_body_bytes = 0};
    bool has_body = request->frame.chunked || request->frame.content_length > 0;

    request->in_handler = true;
    if (server->handlers.begin(server->context, request, &plan) == 0) {
        request->max_body_bytes = plan.max_body_bytes;
        request->streamed = plan.streamed;
        buffer_init(&request->body, plan.streamed || plan.max_body_bytes > SIZE_MAX - 1 ? SIZE_MAX - 1
                                                                                       : (size_t)plan.max_body_bytes);
        if (!request->frame.chunked && request->frame.content_length > plan.max_body_bytes)
            respond_error(request, 413, "payload_too_large");
        else
            request->state = REQUEST_READING;
    } else if (request->state == REQUEST_BEGINNING) {
        log_error("event=http_refused_without_answer path_bytes=%zu", strlen(request->path));
        request->state = REQUEST_BROKEN;
    }
    request->in_handler = false;
    if (request->state == REQUEST_BROKEN)
        return MHD_NO;
    if (request->state == REQUEST_ANSWERED && has_body) {
        request->drain_rest = true;
        return queue_response(request);
    }
    return MHD_YES;
}

static enum MHD_Result take_body(struct http_request *request, const char *bytes, size_t *size) {
    struct http_server *server = request->connection->server;

    if (request->paused) {
        suspend(request);
        return MHD_YES;
    }
    request->in_handler = true;
    request->body_bytes += *size;
    if (request->body_bytes > request->max_body_bytes) {
        refuse(request->connection, 413, "payload_too_large", "body over the limit");
    } else if (!request->streamed) {
        if (buffer_append(&request->body, bytes, *size) != 0)
            refuse(request->connection, 503, "out_of_memory", "no memory for a body");
    } else if (server->handlers.body(server->context, request, bytes, *size) != 0) {
        break_request(request);
    }
    request->in_handler = false;
    if (request->state != REQUEST_READING)
        return MHD_NO;
    *size = 0;
    if (request->paused)
        suspend(request);
    return MHD_YES;
}

static void complete_request(struct http_request *request) {
    struct http_server *server = request->connection->server;

    request->state = REQUEST_WAITING;
    request->in_handler = true;
    server->handlers.complete(server->context, request);
    request->in_handler = false;
}

static enum MHD_Result on_access(void *context, struct MHD_Connection *mhd, const char *url, const char *method,
                                 const char *version, const char *bytes, size_t *size, void **place) {
    struct http_request *request = *place;

    (void)context;
    (void)url;
    (void)version;
    if (request == NULL) {
        request = request_new(mhd, method);
        *place = request;
        return request != NULL ? begin_request(request) : MHD_NO;
    }
    if (request->state == REQUEST_BROKEN)
        return MHD_NO;
    if (*size > 0)
        return take_body(request, bytes, size);
    if (request->paused) {
        suspend(request);
        return MHD_YES;
    }
    if (request->state == REQUEST_READING)
        complete_request(request);
    if (request->state == REQUEST_ANSWERED)
        return queue_response(request);
    if (request->state == REQUEST_BROKEN)
        return MHD_NO;
    suspend(request);
    return MHD_YES;
}

static void on_completed(void *context, struct MHD_Connection *mhd, void **place,
                         enum MHD_RequestTerminationCode code) {
    struct http_server *server = context;
    struct http_request *request = *place;

    (void)mhd;
    *place = NULL;
    if (request == NULL)
        return;
    struct http_connection *connection = request->connection;
    if (request->drain_rest && code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        linger_add(server->linger, connection->fd);
    server->handlers.closed(server->context, request);
    connection->request = NULL;
    connection->since_ms = clock_monotonic_ms();
    connection->received_bytes = 0;
    if (server->draining)
        (void)shutdown(connection->fd, SHUT_RD);
    if (request->response != NULL)
        MHD_destroy_response(request->response);
    request_clear(request);
    free(request);
}

/* ---- connections ---- */

static void index_connection(struct http_server *server, int fd, struct http_connection *connection) {
    size_t needed = (size_t)fd + 1;

    if (needed > server->by_fd_size) {
        size_t size = needed * 2;
        server->by_fd = memory_resize_array(server->by_fd, size, sizeof(struct http_connection *));
        memset(server->by_fd + server->by_fd_size, 0,
               (size - server->by_fd_size) * sizeof(struct http_connection *));
        server->by_fd_size = size;
    }
    server->by_fd[fd] = connection;
}

static struct http_connection *connection_new(struct http_server *server, struct MHD_Connection *mhd) {
    const union MHD_ConnectionInfo *socket = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *address = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct http_connection *connection = memory_new(sizeof(*connection));

    *connection = (struct http_connection){
        .server = server, .next = server->first, .place = &server->first, .fd = socket->connect_fd};
    if (connection->next != NULL)
        connection->next->place = &connection->next;
    server->first = connection;
    guard_init(&connection->guard);
    connection->since_ms = clock_monotonic_ms();
    plain_format_address(connection->peer, sizeof(connection->peer), address != NULL ? address->client_addr : NULL);
    index_connection(server, connection->fd, connection);
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = connection};
    if (epoll_ctl(server->gone_epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        log_warn_errno("event=http_watch_failed peer=%s", connection->peer);
    if (server->connection_count++ == 0)
        loop_timer_set(server->sweep_timer, SWEEP_MS);
    return connection;
}

static void connection_free(struct http_connection *connection) {
    struct http_server *server = connection->server;

    (void)epoll_ctl(server->gone_epoll, EPOLL_CTL_DEL, connection->fd, NULL);
    if (find_connection(server, connection->fd) == connection)
        server->by_fd[connection->fd] = NULL;
    *connection->place = connection->next;
    if (connection->next != NULL)
        connection->next->place = connection->place;
    if (server->connection_count-- == server->options.max_connections)
        server->run_wanted = true; /* at its limit libmicrohttpd forgets the listening socket until it runs again */
    guard_clear(&connection->guard);
    free(connection->target);
    free(connection);
}

static void on_connection(void *context, struct MHD_Connection *mhd, void **place,
                          enum MHD_ConnectionNotificationCode code) {
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *place = connection_new(context, mhd);
    } else if (*place != NULL) {
        connection_free(*place);
        *place = NULL;
    }
}

static bool is_streaming(const struct http_request *request) {
    return request->stream.request != NULL && request->state != REQUEST_BROKEN;
}

static void drop_stream(struct http_stream *stream) {
    if (!stream->dropped) {
        stream->dropped = true;
        break_request(stream->request);
    }
}

/* A client that only closed its sending half still waits for its answer; a listener to a stream that does so has
 * gone. */
static void on_gone(void *context, uint32_t events) {
    struct http_server *server = context;
    struct epoll_event gone[64];
    int count = epoll_wait(server->gone_epoll, gone, 64, 0);

    (void)events;
    for (int i = 0; i < count; i++) {
        struct http_connection *connection = gone[i].data.ptr;
        struct http_request *request = connection->request;
        if (request == NULL)
            continue;
        if (is_streaming(request))
            drop_stream(&request->stream);
        else if ((gone[i].events & (EPOLLHUP | EPOLLERR)) != 0 && request->suspended)
            break_request(request);
    }
}

/* ---- slow clients ---- */

static void sweep_connection(struct http_connection *connection, int64_t now_ms, int64_t window_ms) {
    struct http_request *request = connection->request;
    bool in_body = request != NULL && request->state == REQUEST_READING && !request->suspended;

    if (connection->refused || now_ms - connection->since_ms < window_ms || (request != NULL && !in_body))
        return;
    if (in_body && connection->received_bytes * 1000 >= BODY_BYTES_PER_SECOND_MIN * (uint64_t)window_ms) {
        connection->since_ms = now_ms;
        connection->received_bytes = 0;
        return;
    }
    if (in_body || !guard_is_idle(&connection->guard))
        refuse(connection, 408, "request_timeout", in_body ? "slow body" : "slow head");
    connection->refused = true;
    (void)shutdown(connection->fd, SHUT_RDWR);
}

static void sweep(void *context) {
    struct http_server *server = context;
    int64_t now_ms = clock_monotonic_ms();

    for (struct http_connection *connection = server->first; connection != NULL; connection = connection->next)
        sweep_connection(connection, now_ms, (int64_t)server->options.head_timeout_s * 1000);
    if (server->connection_count > 0)
        loop_timer_set(server->sweep_timer, SWEEP_MS);
}

/* ---- driving libmicrohttpd ---- */

static void run_daemon(struct http_server *server) {
    MHD_UNSIGNED_LONG_LONG timeout_ms = 0;

    server->run_wanted = false;
    const struct wire_tap *before = wire_enter(&server->tap);
    (void)MHD_run(server->daemon);
    wire_leave(before);
    if (MHD_get_timeout(server->daemon, &timeout_ms) == MHD_YES)
        loop_timer_set(server->timer, timeout_ms < 3600000 ? (int64_t)timeout_ms : 3600000);
    else
        loop_timer_stop(server->timer);
}

static void on_daemon_event(void *context, uint32_t events) {
    (void)events;
    run_daemon(context);
}

static void on_daemon_time(void *context) {
    run_daemon(context);
}

static void on_prepare(void *context) {
    struct http_server *server = context;

    if (server->run_wanted)
        run_daemon(server);
}

__attribute__((format(printf, 2, 0))) static void on_log(void *context, const char *format, va_list arguments) {
    char line[512];

    (void)context;
    (void)vsnprintf(line, sizeof(line), format, arguments);
    line[strcspn(line, "\r\n")] = '\0';
    log_debug("event=microhttpd text=\"%s\"", line);
}

static struct MHD_Daemon *start_daemon(struct http_server *server, int listen_fd) {
    const struct http_server_options *options = &server->options;

    /* libmicrohttpd's own timeout is for idleness only; it comes after the sweep and catches slow readers. */
    return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_access,
                            server, MHD_OPTION_EXTERNAL_LOGGER, on_log, server, MHD_OPTION_LISTEN_SOCKET, listen_fd,
                            MHD_OPTION_CONNECTION_LIMIT, options->max_connections,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY_BYTES,
                            MHD_OPTION_CONNECTION_TIMEOUT, options->head_timeout_s + 2,
                            MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
                            MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_URI_LOG_CALLBACK, on_target,
                            server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_END);
}

static uint16_t port_of(int fd) {
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return address.ss_family == AF_INET ? ntohs(((struct sockaddr_in *)&address)->sin_port) : 0;
}

static void attach(struct http_server *server) {
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);

    server->tap = (struct wire_tap){.filter = filter_bytes, .context = server};
    server->linger = linger_new(server->loop);
    server->watch = loop_watch_new(server->loop, info->epoll_fd, LOOP_READ, on_daemon_event, server);
    server->gone_watch = loop_watch_new(server->loop, server->gone_epoll, LOOP_READ, on_gone, server);
    server->prepare = loop_prepare_new(server->loop, on_prepare, server);
    server->timer = loop_timer_new(server->loop, on_daemon_time, server);
    server->sweep_timer = loop_timer_new(server->loop, sweep, server);
}

struct http_server *http_server_new(struct loop *loop, const struct http_server_options *options,
                                    const struct http_handlers *handlers, void *context) {
    int listen_fd = options->listen_fd >= 0 ? options->listen_fd : plain_listen(options);

    if (listen_fd < 0)
        return NULL;
    struct http_server *server = memory_new(sizeof(*server));
    server->loop = loop;
    server->options = *options;
    server->handlers = *handlers;
    server->context = context;
    if (server->options.head_timeout_s == 0)
        server->options.head_timeout_s = DEFAULT_HEAD_TIMEOUT_S;
    if (server->options.max_connections == 0)
        server->options.max_connections = DEFAULT_CONNECTIONS;
    server->server_name = options->server_name != NULL ? memory_copy_text(options->server_name) : NULL;
    server->port = port_of(listen_fd);
    server->gone_epoll = epoll_create1(EPOLL_CLOEXEC);
    server->daemon = server->gone_epoll >= 0 ? start_daemon(server, listen_fd) : NULL;
    if (server->daemon == NULL) {
        log_error_errno("event=http_start_failed port=%u", (unsigned)server->port);
        close(listen_fd);
        if (server->gone_epoll >= 0)
            close(server->gone_epoll);
        free(server->server_name);
        free(server);
        return NULL;
    }
    attach(server);
    return server;
}

uint16_t http_server_port(const struct http_server *server) {
    return server->port;
}

unsigned http_server_connections(const struct http_server *server) {
    return server->connection_count;
}

void http_server_drain(struct http_server *server) {
    if (server->draining)
        return;
    server->draining = true;
    int listen_fd = MHD_quiesce_daemon(server->daemon);
    if (listen_fd >= 0)
        close(listen_fd);
    for (struct http_connection *connection = server->first; connection != NULL; connection = connection->next) {
        if (connection->request == NULL && guard_is_idle(&connection->guard))
            (void)shutdown(connection->fd, SHUT_RD);
    }
}

void http_server_free(struct http_server *server) {
    if (server == NULL)
        return;
    for (struct http_connection *connection = server->first; connection != NULL; connection = connection->next) {
        if (connection->request != NULL)
            break_request(connection->request);
    }
    loop_watch_free(server->watch);
    loop_prepare_free(server->prepare);
    loop_timer_free(server->timer);
    MHD_stop_daemon(server->daemon);
    loop_watch_free(server->gone_watch);
    loop_timer_free(server->sweep_timer);
    close(server->gone_epoll);
    linger_free(server->linger);
    free(server->by_fd);
    free(server->server_name);
    free(server);
}

/* ---- what handlers call ---- */

const char *http_request_peer(const struct http_request *request) {
    return request->connection->peer;
}

void http_request_pause(struct http_request *request) {
    request->paused = true;
}

void http_request_continue(struct http_request *request) {
    if (!request->paused)
        return;
    request->paused = false;
    resume(request);
}

static void add_headers(const struct http_request *request, struct MHD_Response *mhd,
                        const struct http_response *response) {
    const struct http_server *server = request->connection->server;

    for (size_t i = 0; i < response->header_count; i++) {
        if (MHD_add_response_header(mhd, response->headers[i].name, response->headers[i].value) != MHD_YES)
            log_debug("event=http_header_refused name=%s", response->headers[i].name);
    }
    if (server->server_name != NULL)
        (void)MHD_add_response_header(mhd, "Server", server->server_name);
    if (response->close || server->draining)
        (void)MHD_add_response_header(mhd, "Connection", "close");
}

/* True when libmicrohttpd can carry an answer now. Otherwise the body is still coming: a text goes out plain, and in
 * every case the connection ends. */
static bool may_queue(struct http_request *request, const struct http_response *response, bool is_text) {
    if (request->state == REQUEST_BEGINNING || request->state == REQUEST_WAITING)
        return true;
    if (request->state == REQUEST_READING) {
        if (is_text)
            send_plain(request->connection, response);
        else
            log_error("event=http_answer_before_body_end status=%d", response->status);
        break_request(request);
    } else if (request->state != REQUEST_BROKEN) {
        log_error("event=http_answered_twice status=%d", response->status);
    }
    return false;
}

static void set_response(struct http_request *request, struct MHD_Response *mhd,
                         const struct http_response *response) {
    if (mhd == NULL) {
        log_error("event=http_response_failed status=%d", response->status);
        break_request(request);
        return;
    }
    add_headers(request, mhd, response);
    request->response = mhd;
    request->status = response->status;
    request->state = REQUEST_ANSWERED;
    resume(request);
}

void http_respond(struct http_request *request, const struct http_response *response) {
    if (!may_queue(request, response, true))
        return;
    set_response(request,
                 MHD_create_response_from_buffer(response->body_size, (void *)(uintptr_t)response->body,
                                                 MHD_RESPMEM_MUST_COPY),
                 response);
}

void http_respond_file(struct http_request *request, const struct http_response *response, int fd, uint64_t offset,
                       uint64_t size) {
    if (!may_queue(request, response, false)) {
        close(fd);
        return;
    }
    if (size == 0) {
        close(fd);
        set_response(request, MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT), response);
        return;
    }
    struct MHD_Response *mhd = MHD_create_response_from_fd_at_offset64(size, fd, offset);
    if (mhd == NULL)
        close(fd);
    set_response(request, mhd, response);
}

static ssize_t read_stream(void *context, uint64_t position, char *target, size_t max) {
    struct http_stream *stream = context;
    size_t size = stream->queue.size < max ? stream->queue.size : max;

    (void)position;
    if (stream->dropped)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (size == 0 && stream->ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (size == 0) {
        suspend(stream->request);
        return 0;
    }
    memcpy(target, stream->queue.data, size);
    buffer_consume(&stream->queue, size);
    return (ssize_t)size;
}

struct http_stream *http_respond_stream(struct http_request *request, const struct http_response *response,
                                        size_t max_queue) {
    struct http_stream *stream = &request->stream;

    if (stream->request != NULL || !may_queue(request, response, false)) {
        stream->dropped = true;
        return stream;
    }
    stream->request = request;
    buffer_init(&stream->queue, max_queue);
    set_response(request,
                 MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, read_stream, stream, NULL),
                 response);
    return stream;
}

int http_stream_write(struct http_stream *stream, const void *bytes, size_t size) {
    if (stream->dropped || stream->ended)
        return -1;
    if (buffer_append(&stream->queue, bytes, size) != 0) {
        log_info("event=http_stream_dropped peer=%s queued_bytes=%zu", stream->request->connection->peer,
                 stream->queue.size);
        drop_stream(stream);
        return -1;
    }
    resume(stream->request);
    return 0;
}

void http_stream_end(struct http_stream *stream) {
    stream->ended = true;
    if (stream->request != NULL)
        resume(stream->request);
}
