/* SPDX-License-Identifier: MIT
 * Services outside that tasks ask, as the settings name them. Each has so many places for open requests, a
 * rate, timeouts, retries and a circuit breaker of its own; calls wait in a line in between. Keys go into a
 * request's head and nowhere else. */
#ifndef WORKERS_SERVICE_H
#define WORKERS_SERVICE_H

#include "config/settings.h"
#include "http/client.h"
#include "http/outbound.h"
#include "lib/loop.h"
#include <stdint.h>

enum service_name { SERVICE_TRANSCRIBE, SERVICE_CHAT, SERVICE_COMPUTE, SERVICE_COUNT };

#define SERVICE_DETAIL_SIZE 200

struct services;
struct service_call;

#define SERVICE_BASE_SIZE 1024

struct service_order {
    enum service_name service;
    /* One of several such services, by its URL: it has a line, places, a rate and a breaker of its own, may be
     * only where http/outbound.h allows, and gets the key that the settings have for its origin. NULL or "": the
     * one that the settings name. */
    const char *base;
    const char *method; /* NULL: POST */
    const char *path;   /* lives as long as the call */
    const char *content_type;
    int body; /* borrowed until the end; of a GET -1 */
    uint64_t body_bytes;
    const char *trace; /* lives as long as the call; passed on where it is an id of lib/trace.h */
    int64_t wall_ms; /* from now to the end, waiting in line and between retries included */
};

struct service_end {
    const char *code;   /* a reason of workers/deaths.c; NULL: the reply is an answer with 2xx */
    const char *detail; /* for the log and the user; holds nothing that the service said */
    const struct http_client_reply *reply; /* NULL when there was none */
    uint64_t requests;   /* sent, all told; 0: it never got so far */
    uint64_t latency_ms; /* that the last of them took */
};

typedef void service_done_fn(void *context, const struct service_end *end);

/* `outbound` is borrowed. */
struct services *services_new(struct loop *loop, const struct settings *settings, struct http_client *http,
                              const struct outbound *outbound);
void services_free(struct services *services); /* cancels what waits */

/* `done` is called exactly once, from the loop, unless the call is cancelled. The order is copied. */
struct service_call *services_ask(struct services *services, const struct service_order *order,
                                  service_done_fn *done, void *context);
void service_call_cancel(struct service_call *call);

/* In a list "https://a.example=key,https://b.example=key": the key of this URL's origin, up to the next comma or
 * the end. NULL: none. Pure. */
const char *service_key_for(const char *keys, const char *url);

/* How many network tasks a worker holds at a time: twice the places of all services, so that the next input
 * is here when a place gets free. */
uint64_t services_room(const struct settings *settings);

#endif
