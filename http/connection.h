/* SPDX-License-Identifier: MIT
 * The server's own structures, shared by server.c (connections, the guard, time) and exchange.c (requests and
 * answers). Internal to http/. */
#ifndef HTTP_CONNECTION_H
#define HTTP_CONNECTION_H

#include <netinet/in.h>

#include "http/linger.h"
#include "http/request.h"
#include "http/wire.h"

struct MHD_Daemon;

struct http_connection {
    struct http_server *server;
    struct http_connection *next, **place;
    int fd; /* libmicrohttpd's */
    struct guard guard;
    bool half_closed; /* the client sends no more but waits for its answers */
    bool refused;     /* a plain answer was sent: nothing that comes is shown to libmicrohttpd */
    uint64_t begun;   /* requests that libmicrohttpd has presented */
    char *target;     /* of the request whose head libmicrohttpd is parsing */
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

/* Answers what libmicrohttpd is not shown. Silent when another answer is on its way. */
void connection_refuse(struct http_connection *connection, int status, const char *code, const char *reason);
/* An answer in the middle of a request; ends the connection. */
void connection_send_plain(struct http_connection *connection, const struct http_response *response);

#define ERROR_BODY_MAX 1024u
/* An error answer of the server's own; `body` and `headers` must outlive its use. */
void server_make_error(const struct http_server *server, int status, const char *code,
                       char body[ERROR_BODY_MAX], struct http_header headers[2],
                       struct http_response *response);

/* Makes libmicrohttpd give the request's connection up on its next turn, without another byte of its own. */
void exchange_break(struct http_request *request);
/* Ends a stream whose client has gone or does not keep up. */
void exchange_drop_stream(struct http_stream *stream);
bool exchange_is_streaming(const struct http_request *request);

#endif
