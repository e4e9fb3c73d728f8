/* SPDX-License-Identifier: MIT
 * What an attempt to deliver a webhook means: delivered, again later, or given up. Pure: no clock, no
 * database. Only 2xx is delivered (Standard Webhooks 1.0); 410 ends the endpoint; 429 and 503 may ask for a
 * rest. */
#ifndef SCHEDULER_OUTBOX_RETRY_H
#define SCHEDULER_OUTBOX_RETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTBOX_REST_MAX_S 21600 /* longest Retry-After that is kept */

struct outbox_attempt {
    uint64_t before; /* attempts made before this one */
    uint64_t status; /* of the answer; 0: none came */
    uint64_t retry_after_s;
    const char *error; /* "overload", "drain": it was never sent */
};

struct outbox_verdict {
    bool counted; /* it was an attempt */
    bool delivered, again;
    bool gone;        /* the endpoint wants no more */
    int64_t delay_ms; /* when again */
    int64_t rest_ms;  /* how long nothing goes to the endpoint; 0: no rest */
};

/* `random` spreads the wait by ± 10 %. */
struct outbox_verdict outbox_judge(const struct outbox_attempt *attempt, int64_t unit_ms, uint32_t random);

/* How many attempts there are before it is given up. */
extern const size_t outbox_attempts_max;

#endif
