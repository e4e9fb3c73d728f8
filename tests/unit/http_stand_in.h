/* SPDX-License-Identifier: MIT
 * What the tests of the client share: a raw server in the same loop that answers byte for byte what a test
 * says and misbehaves (cuts, floods, trickles, keeps silent), and what became of the one request. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/client.h"
#include "lib/buffer.h"
#include "lib/loop.h"

#define VISITORS 8

extern struct loop *loop;
extern struct http_client *client;

extern struct stand_in {
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

extern struct outcome {
    unsigned calls;
    enum http_client_error error;
    int status;
    uint64_t received_bytes, content_length;
    bool hashed;
    char sha256[65], etag[64], content_type[64], retry_after[64], body[256], detail[256];
    size_t body_size;
} outcome;

/* Before and after each test. */
int stand_in_start(void **state);
int stand_in_finish(void **state);

/* From now on its port refuses. It is another port. */
void stand_in_stop_listening(void);

/* A request that nothing is special about; "own": of the stand-in's. */
struct http_client_request make_request(const char *method, const char *url);
struct http_client_request make_own_request(const char *method, const char *path);

/* Runs it to its end, and notes the outcome. */
void run_request(const struct http_client_request *request);

/* What run_request gives the client: copies the reply and stops the loop. */
void outcome_note(void *context, const struct http_client_reply *reply);
void outcome_forget(void);

/* A file with this content; the caller closes it. */
int memory_file(const char *content);
