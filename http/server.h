/* SPDX-License-Identifier: MIT
 * An HTTP/1.1 server on the event loop (RFC 9110, 9112), on libmicrohttpd with a strict guard in front of every
 * handler: what a request may look like is decided here, once, for the gateway and the store alike. The guard
 * refuses with 400 (and closes): more than one Content-Length, Host or Authorization, Content-Length with
 * Transfer-Encoding, malformed lengths, names that are not tokens, control bytes, missing or malformed Host,
 * Transfer-Encoding other than one "chunked"; 501 unknown codings, 431 headers over 16 kB or 100 fields, 414
 * targets over 8 kB, 413 bodies over the route's limit before reading them, 417 unknown Expect, 408 slow heads.
 *
 * A handler is called when the head (and, unless streamed, the whole body) is there. It answers at once or later:
 * the request stays valid until http_respond*, or until `closed` is called because the client went away. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "lib/loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;
struct http_request;
struct http_stream;

struct http_header {
    const char *name;
    const char *value;
};

/* What the router says about a request before its body is read. */
struct http_plan {
    uint64_t max_body_bytes; /* larger: 413 */
    bool streamed;           /* deliver the body by on_body instead of gathering it */
};

struct http_handlers {
    /* Head is complete: choose limits; return 0 to go on, or -1 after http_respond() to refuse at once. */
    int (*begin)(void *context, struct http_request *request, struct http_plan *plan);
    /* Streamed bodies only: a part arrived; return -1 after http_respond() to refuse the rest. To hold the client
     * back, call http_request_pause and later http_request_continue. */
    int (*body)(void *context, struct http_request *request, const char *bytes, size_t size);
    /* Body complete: answer now or keep the pointer and answer later. */
    void (*complete)(void *context, struct http_request *request);
    /* The client went away, or the response was sent: `request` is invalid after this. Always called once per
     * request for which `begin` was called. */
    void (*closed)(void *context, struct http_request *request);
};

struct http_server_options {
    int listen_fd;          /* >= 0: a listening socket made elsewhere (takes it); else address and port */
    const char *address;    /* numeric IPv4 or IPv6 */
    uint16_t port;          /* 0: any free one */
    bool reuse_port;
    unsigned max_connections;
    unsigned head_timeout_s; /* also for idle keep-alive connections and for slow bodies */
    const char *server_name; /* NULL: no Server header */
    /* Body of errors that the guard itself answers; NULL: problem+json {"error":code}. */
    void (*error_body)(int status, const char *code, char *target, size_t size, const char **content_type);
};

/* NULL with a log line on failure. */
struct http_server *http_server_new(struct loop *loop, const struct http_server_options *options,
                                    const struct http_handlers *handlers, void *context);
uint16_t http_server_port(const struct http_server *server);
/* Stops accepting; answers in flight go on (their connections close afterwards). A connection that waits for a
 * further request is closed; one that has never brought any is left to bring its first. */
void http_server_drain(struct http_server *server);
/* How many connections may still bring a request that its client could not safely send again: it has begun to
 * come, or would be the first. */
unsigned http_server_expected(const struct http_server *server);
unsigned http_server_connections(const struct http_server *server);
void http_server_free(struct http_server *server);

/* Borrowed texts, valid as long as the request. Path is percent-decoded once and has no NUL; raw_path is not
 * decoded and has no query. */
const char *http_request_method(const struct http_request *request);
const char *http_request_path(const struct http_request *request);
const char *http_request_raw_path(const struct http_request *request);
const char *http_request_raw_query(const struct http_request *request); /* "" if none */
const char *http_request_header(const struct http_request *request, const char *name); /* NULL if absent */
size_t http_request_headers(const struct http_request *request, struct http_header *headers, size_t max);
/* Decoded query parameter; NULL if absent. */
const char *http_request_query(const struct http_request *request, const char *name);
size_t http_request_queries(const struct http_request *request, struct http_header *parameters, size_t max);
const char *http_request_body(const struct http_request *request, size_t *size);
/* Content-Length, or UINT64_MAX for a chunked body. */
uint64_t http_request_body_length(const struct http_request *request);
const char *http_request_peer(const struct http_request *request); /* numeric address of the other end */
/* A place for the program's own state. */
void http_request_set_context(struct http_request *request, void *context);
void *http_request_context(const struct http_request *request);
void http_request_pause(struct http_request *request);
void http_request_continue(struct http_request *request);

struct http_response {
    int status;
    const struct http_header *headers; /* copied */
    size_t header_count;
    const char *body; /* copied */
    size_t body_size;
    bool close; /* close the connection afterwards */
};

/* Answers; `request` is still valid until `closed`. HEAD sends no body but its length. */
void http_respond(struct http_request *request, const struct http_response *response);
/* Answers with `size` bytes of a file from `offset`; takes fd. */
void http_respond_file(struct http_request *request, const struct http_response *response, int fd, uint64_t offset,
                       uint64_t size);
/* Starts an answer of unknown length (chunked; for events). Bytes written are queued up to `max_queue`; a slow
 * client over it is dropped. The stream dies in `closed`. */
struct http_stream *http_respond_stream(struct http_request *request, const struct http_response *response,
                                        size_t max_queue);
/* The same for an answer of `size` bytes, written in pieces of at most `max_queue`: `wanted` is called when the client
 * has taken what was written, to start getting more; it must not write or end by itself. For HEAD nothing is asked. */
struct http_supply {
    uint64_t size;
    size_t max_queue;
    void (*wanted)(void *place);
    void *place;
};
struct http_stream *http_respond_sized(struct http_request *request, const struct http_response *response,
                                       const struct http_supply *supply);
/* Gives the connection up in the middle: the client sees that the answer is not whole. */
void http_stream_abort(struct http_stream *stream);
int http_stream_write(struct http_stream *stream, const void *bytes, size_t size); /* -1: dropped */
void http_stream_end(struct http_stream *stream);

const char *http_status_text(int status);

#endif
