/* SPDX-License-Identifier: MIT
 * At most so many requests in a minute, evenly: the generic cell rate algorithm (ITU-T I.371) with a burst of
 * a tenth of the rate. Pure. */
#ifndef WORKERS_LIMITER_H
#define WORKERS_LIMITER_H

#include <stdint.h>

struct limiter {
    int64_t due_us; /* when the next request would come in an even stream */
};

/* 0: the request may go out, and is counted; else how many ms to wait before asking again. per_minute 0: no
 * limit. */
int64_t limiter_ask(struct limiter *limiter, uint64_t per_minute, int64_t now_ms);

#endif
