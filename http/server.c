/* SPDX-License-Identifier: MIT
 * The server: libmicrohttpd without threads of its own, its epoll descriptor in our loop. It parses, frames
 * and sends; the guard has read every byte before it (wire.h). libmicrohttpd runs only in run_daemon;
 * everything else is called from there or leaves a request ready and resumed for it (exchange.c). */
#include "http/server.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/connection.h"
#include "http/exchange.h"
#include "http/plain.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"

/* Holds the largest head the guard lets through, parsed. libmicrohttpd zeroes all of it for every request. */
#define CONNECTION_MEMORY_BYTES ((size_t)64 << 10)
#define SWEEP_MS 500
#define BODY_BYTES_PER_SECOND_MIN 500u
#define DEFAULT_HEAD_TIMEOUT_S 20u
#define DEFAULT_CONNECTIONS 1024u

/* ---- refusing ---- */

void connection_send_plain(struct http_connection *connection, const struct http_response *response) {
    plain_send(connection->fd, response, connection->server->server_name);
    linger_add(connection->server->linger, connection->fd);
    connection->refused = true;
}

void server_make_error(const struct http_server *server, int status, const char *code,
                       char body[ERROR_BODY_MAX], struct http_header headers[2],
                       struct http_response *response) {
    const char *content_type = "text/plain";
    void (*error_body)(int, const char *, char *, size_t, const char **) =
        server->options.error_body != NULL ? server->options.error_body : plain_problem;

    error_body(status, code, body, ERROR_BODY_MAX, &content_type);
    headers[0] = (struct http_header){"Content-Type", content_type};
    headers[1] =
        (struct http_header){"Allow", ""}; /* the guard's only 405 is CONNECT, which has no resource */
    *response = (struct http_response){.status = status,
                                       .headers = headers,
                                       .header_count = status == 405 ? 2 : 1,
                                       .body = body,
                                       .body_size = strlen(body),
                                       .close = true};
}

/* Answers what libmicrohttpd is not shown. Silent when another answer is on its way. */
void connection_refuse(struct http_connection *connection, int status, const char *code, const char *reason) {
    struct http_request *request = connection->request;
    struct http_header headers[2];
    struct http_response response;
    char body[ERROR_BODY_MAX];

    log_info("event=http_refused peer=%s status=%d reason=\"%s\"", connection->peer, status, reason);
    if (request == NULL || request->state == REQUEST_READING) {
        server_make_error(connection->server, status, code, body, headers, &response);
        connection_send_plain(connection, &response);
    }
    connection->refused = true;
    if (request != NULL && request->state == REQUEST_READING)
        request->state = REQUEST_BROKEN;
}

/* ---- the bytes before libmicrohttpd sees them ---- */

static struct http_connection *find_connection(const struct http_server *server, int fd) {
    return fd >= 0 && (size_t)fd < server->by_fd_size ? server->by_fd[fd] : NULL;
}

/* libmicrohttpd sometimes reads when a request is resumed, and takes the end of the client's bytes for the
 * end of its interest. It does so, too, while it still holds the last bytes of a body that its taker let wait. */
static bool awaits_answer(const struct http_connection *connection) {
    const struct http_request *request = connection->request;

    return request != NULL && (request->state == REQUEST_WAITING || request->state == REQUEST_ANSWERED ||
                               request->state == REQUEST_SENDING ||
                               (request->state == REQUEST_READING && guard_is_idle(&connection->guard)));
}

/* libmicrohttpd reads only when it has answered everything before, so a refusal here keeps the order of
 * answers: what came before the refused message is handed on, and the refusal waits for the next read. */
static ssize_t filter_bytes(void *context, int fd, char *bytes, ssize_t got) {
    struct http_connection *connection = find_connection(context, fd);

    if (connection == NULL)
        return got;
    if (connection->refused)
        return 0;
    struct guard *guard = &connection->guard;
    if (guard->refusal == NULL) {
        if (got == 0 && awaits_answer(connection)) {
            connection->half_closed = true;
            errno = EAGAIN;
            return -1;
        }
        if (got <= 0)
            return got;
        connection->received_bytes += (uint64_t)got;
        size_t passed = guard_feed(guard, bytes, (size_t)got);
        if (guard->refusal == NULL) {
            if (connection->half_closed)
                (void)shutdown(fd, SHUT_RD); /* the end was heard before these bytes were read: look again */
            return got;
        }
        if (passed > 0) {
            (void)shutdown(fd, SHUT_RD); /* makes libmicrohttpd read again */
            return (ssize_t)passed;
        }
    }
    connection_refuse(connection, guard->refusal->status, guard->refusal->code, guard->refusal->reason);
    return 0;
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
    const union MHD_ConnectionInfo *address =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct http_connection *connection = memory_new(sizeof(*connection));

    *connection = (struct http_connection){
        .server = server, .next = server->first, .place = &server->first, .fd = socket->connect_fd};
    if (connection->next != NULL)
        connection->next->place = &connection->next;
    server->first = connection;
    guard_init(&connection->guard);
    connection->since_ms = clock_monotonic_ms();
    plain_format_address(connection->peer, sizeof(connection->peer),
                         address != NULL ? address->client_addr : NULL);
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

    /* A lingering duplicate would keep the descriptor in the set after libmicrohttpd closes its own. */
    if (epoll_ctl(server->gone_epoll, EPOLL_CTL_DEL, connection->fd, NULL) != 0)
        log_warn_errno("event=http_unwatch_failed peer=%s", connection->peer);
    if (find_connection(server, connection->fd) == connection)
        server->by_fd[connection->fd] = NULL;
    *connection->place = connection->next;
    if (connection->next != NULL)
        connection->next->place = connection->place;
    if (server->connection_count-- == server->options.max_connections)
        server->run_wanted =
            true; /* at its limit libmicrohttpd forgets the listening socket until it runs again */
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

/* A client that only closed its sending half still waits for its answer; a listener to a stream that does so
 * has gone. libmicrohttpd misses an end that arrives together with the last bytes, so it is made to look
 * again. */
static void hear_end(struct http_connection *connection, bool both_halves) {
    struct http_request *request = connection->request;

    if (request != NULL && exchange_is_streaming(request)) {
        exchange_drop_stream(&request->stream);
    } else if (request != NULL && both_halves && request->suspended) {
        exchange_break(request);
    } else if (!connection->half_closed) {
        connection->half_closed = true;
        if (!awaits_answer(connection))
            (void)shutdown(connection->fd, SHUT_RD);
    }
}

static void on_gone(void *context, uint32_t events) {
    struct http_server *server = context;
    struct epoll_event gone[64];
    int count = epoll_wait(server->gone_epoll, gone, 64, 0);

    for (int i = 0; i < count; i++)
        hear_end(gone[i].data.ptr, (gone[i].events & (EPOLLHUP | EPOLLERR)) != 0);
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
        connection_refuse(connection, 408, "request_timeout", in_body ? "slow body" : "slow head");
    connection->refused = true;
    (void)shutdown(connection->fd, SHUT_RDWR);
}

static void sweep(void *context) {
    struct http_server *server = context;
    int64_t now_ms = clock_monotonic_ms();

    for (struct http_connection *connection = server->first; connection != NULL;
         connection = connection->next)
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

__attribute__((format(printf, 2, 0))) static void on_log(void *context, const char *format,
                                                         va_list arguments) {
    char line[512];

    (void)vsnprintf(line, sizeof(line), format, arguments);
    line[strcspn(line, "\r\n")] = '\0';
    log_debug("event=microhttpd text=\"%s\"", line);
}

static struct MHD_Daemon *start_daemon(struct http_server *server, int listen_fd) {
    const struct http_server_options *options = &server->options;

    /* libmicrohttpd's own timeout is for idleness only; it comes after the sweep and catches slow readers. */
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, exchange_access, server,
        MHD_OPTION_EXTERNAL_LOGGER, on_log, server, MHD_OPTION_LISTEN_SOCKET, listen_fd,
        MHD_OPTION_CONNECTION_LIMIT, options->max_connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        CONNECTION_MEMORY_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, options->head_timeout_s + 2,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_UNESCAPE_CALLBACK,
        exchange_keep_escapes, NULL, MHD_OPTION_URI_LOG_CALLBACK, exchange_target, server,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_NOTIFY_COMPLETED, exchange_completed,
        server, MHD_OPTION_END);
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

static bool is_expected(const struct http_connection *connection) {
    return !connection->refused && !connection->half_closed &&
           (connection->begun == 0 || connection->guard.heads > connection->begun ||
            !guard_is_idle(&connection->guard));
}

void http_server_drain(struct http_server *server) {
    if (server->draining)
        return;
    server->draining = true;
    int listen_fd = MHD_quiesce_daemon(server->daemon);
    if (listen_fd >= 0)
        close(listen_fd);
    for (struct http_connection *connection = server->first; connection != NULL;
         connection = connection->next) {
        if (connection->request == NULL && !is_expected(connection))
            (void)shutdown(connection->fd, SHUT_RD);
    }
}

unsigned http_server_expected(const struct http_server *server) {
    unsigned count = 0;

    for (const struct http_connection *connection = server->first; connection != NULL;
         connection = connection->next)
        count += connection->request == NULL && is_expected(connection);
    return count;
}

void http_server_free(struct http_server *server) {
    if (server == NULL)
        return;
    for (struct http_connection *connection = server->first; connection != NULL;
         connection = connection->next) {
        if (connection->request != NULL)
            exchange_break(connection->request);
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
