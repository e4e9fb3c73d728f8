/* SPDX-License-Identifier: MIT
 * What a service's reply means for the task that asked: take it, ask again after a while, or end with a
 * reason. Pure. */
#ifndef WORKERS_VERDICT_H
#define WORKERS_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "http/client.h"

struct verdict_limits {
    uint64_t attempts;
    int64_t retry_after_ms; /* the longest that a task waits for */
};

struct verdict {
    const char *code;    /* a reason of workers/deaths.c; NULL: the answer is here */
    bool again;          /* ask once more after wait_ms; else the task ends with `code` */
    bool service_failed; /* what the breaker counts: the service is not there, or not well */
    int64_t wait_ms;     /* also of a task that ends: how long it should be left alone; 0: not said */
};

/* `attempt` counts from 1; `now_s` is Unix time, for dates in Retry-After. */
struct verdict verdict_of(const struct http_client_reply *reply, uint64_t attempt,
                          const struct verdict_limits *limits, int64_t now_s);

/* Seconds or an HTTP date (RFC 9110 §10.2.3) as ms from now, at most a day; -1: neither. */
int64_t verdict_retry_after(const char *text, int64_t now_s);

#endif
