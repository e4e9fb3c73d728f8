/* SPDX-License-Identifier: MIT
 * HTTP client on the event loop, on one curl multi handle. Fixed rules: http and https only, no redirects, no
 * proxies from the environment, no cookies, certificates checked, an own byte counter on what comes in, a
 * low-speed abort, and a total deadline. Optionally refuses to connect to addresses that are not global unicast
 * (checked on the resolved address at connect). The only user of curl. */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include "lib/loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_client;
struct http_transfer;
struct outbound; /* http/outbound.h */

enum http_client_error {
    HTTP_CLIENT_OK,
    HTTP_CLIENT_BAD_URL,
    HTTP_CLIENT_RESOLVE,
    HTTP_CLIENT_CONNECT,
    HTTP_CLIENT_TLS,
    HTTP_CLIENT_TIMEOUT,
    HTTP_CLIENT_TOO_SLOW,
    HTTP_CLIENT_TOO_LARGE, /* more bytes than max_bytes */
    HTTP_CLIENT_TRUNCATED, /* fewer bytes than announced */
    HTTP_CLIENT_BLOCKED,   /* address not allowed */
    HTTP_CLIENT_WRITE,     /* the sink refused */
    HTTP_CLIENT_OTHER,
};

struct http_client_reply {
    enum http_client_error error; /* HTTP_CLIENT_OK means that an answer came, whatever its status */
    int status;
    uint64_t received_bytes;
    const char *sha256;       /* hex of the received body (of status 2xx when hash was asked), else NULL */
    const char *etag;         /* "" when absent */
    const char *content_type; /* "" when absent */
    uint64_t content_length;  /* of the answer; UINT64_MAX when not announced */
    const char *retry_after;  /* "" when absent */
    const char *date;         /* the server's clock; "" when absent */
    const char *body;         /* first max_body bytes kept in memory (also of error answers), NUL-terminated */
    size_t body_size;
    const char *detail; /* curl's words for the log; never holds the URL's query */
};

typedef void http_client_done_fn(void *context, const struct http_client_reply *reply);

struct http_client_request {
    const char *method; /* "GET", "HEAD", "PUT", "POST", "DELETE" */
    const char *url;
    const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
    const void *body;           /* POST and small PUT: copied */
    size_t body_size;
    int upload_fd; /* >= 0: the body is this descriptor from offset 0, upload_bytes long (borrowed until done) */
    /* Instead of a descriptor: gives bytes from any offset, as many as it likes and at least one; <= 0: failed. */
    int64_t (*upload_read)(void *stream, uint64_t offset, void *target, size_t max);
    uint64_t upload_bytes;
    int sink_fd;        /* >= 0: a 2xx body is written there with pwrite (borrowed until done) */
    uint64_t sink_offset; /* from here on */
    /* Instead of a descriptor: takes a 2xx body as it comes; -1 ends the transfer with HTTP_CLIENT_WRITE. */
    int (*sink)(void *stream, const void *bytes, size_t size);
    void *stream;       /* for these two */
    uint64_t max_bytes; /* most that is received, 2xx or not */
    size_t max_body;    /* how much to keep in memory when there is no sink, or of an error answer */
    bool hash;
    int64_t timeout_ms;
    int64_t connect_timeout_ms; /* 0: 10 s */
    int64_t low_speed_ms; /* abort below 1 kB/s for so long; 0: never */
    bool global_only;     /* refuse private, loopback, link-local, mapped … addresses */
    const struct outbound *outbound; /* not NULL: dial what these rules allow (borrowed until done) */
    void (*progress)(void *context, uint64_t received, uint64_t sent); /* may be NULL; at most a few times a second */
};

struct http_client *http_client_new(struct loop *loop, unsigned max_connections);
void http_client_free(struct http_client *client); /* cancels what runs; no callbacks */

/* Starts; `done` is called exactly once from the loop (never from inside this call) unless cancelled. */
struct http_transfer *http_client_start(struct http_client *client, const struct http_client_request *request,
                                        http_client_done_fn *done, void *context);
/* Aborts; `done` is not called. */
void http_client_cancel(struct http_transfer *transfer);

const char *http_client_error_name(enum http_client_error error); /* "timeout" */

/* Global unicast as by the IANA special-purpose registries; v4-mapped, NAT64 and 6to4 forms are unwrapped. */
struct sockaddr;
bool http_address_is_global(const struct sockaddr *address);

#endif
