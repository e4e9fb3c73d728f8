/* SPDX-License-Identifier: MIT
 * What the server keeps of a request. Internal to http/: server.c drives the states, request.c answers
 * questions about the texts. */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include "http/guard.h"
#include "http/server.h"
#include "lib/buffer.h"

struct MHD_Connection;
struct MHD_Response;
struct http_connection;

enum request_state {
    REQUEST_BEGINNING, /* the handler chooses limits */
    REQUEST_READING,   /* the body is still to come */
    REQUEST_WAITING,   /* the handler has all and owes an answer */
    REQUEST_ANSWERED,  /* `response` waits to be queued */
    REQUEST_SENDING,   /* libmicrohttpd has the response */
    REQUEST_BROKEN,    /* the connection ends without another byte from libmicrohttpd */
};

/* Bytes of an answer of unknown length; part of its request. */
struct http_stream {
    struct http_request *request;
    struct buffer queue;
    bool ended;
    bool dropped;
    bool sized;                 /* of known length: a client that closes its sending half still wants it */
    void (*wanted)(void *place); /* the client has taken what was written; NULL: nobody asks */
    void *place;
};

struct http_request {
    struct http_connection *connection;
    struct MHD_Connection *mhd;
    enum request_state state;
    bool suspended; /* in libmicrohttpd */
    bool paused;    /* by the handler */
    bool in_handler;
    bool streamed;
    bool drain_rest; /* answered before the body was read */
    struct guard_head frame;
    uint64_t max_body_bytes;
    uint64_t body_bytes; /* received so far */
    struct buffer body;

    char *texts; /* raw path, path and raw query in one block */
    const char *method, *raw_path, *path, *raw_query;
    struct http_header *headers; /* texts are libmicrohttpd's, but for trimmed values */
    size_t header_count;
    char **trimmed; /* values that came with blanks after them */
    size_t trimmed_count;
    struct http_header *queries;
    size_t query_count;

    struct MHD_Response *response;
    int status;
    struct http_stream stream;
    void *context;
};

/* Splits and decodes the target, which the guard has passed. -1 if it cannot be decoded after all. */
int request_set_target(struct http_request *request, const char *target);
void request_add_header(struct http_request *request, const char *name, const char *value);
/* Frees the texts and the body, not the request. */
void request_clear(struct http_request *request);

#endif
