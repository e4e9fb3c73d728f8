/* SPDX-License-Identifier: MIT
 * The rate of requests. */
#include "workers/limiter.h"

#define MINUTE_US INT64_C(60000000)
#define BURST_SHARE 10 /* of a minute's requests */

int64_t limiter_ask(struct limiter *limiter, uint64_t per_minute, int64_t now_ms) {
    int64_t now_us = now_ms * 1000, step_us, burst_us;

    if (per_minute == 0)
        return 0;
    step_us = MINUTE_US / (int64_t)per_minute;
    burst_us = step_us * ((int64_t)per_minute / BURST_SHARE);
    if (limiter->due_us < now_us)
        limiter->due_us = now_us;
    if (limiter->due_us - now_us > burst_us)
        return (limiter->due_us - now_us - burst_us + 999) / 1000;
    limiter->due_us += step_us;
    return 0;
}
