/* SPDX-License-Identifier: MIT
 * Backoff: min(2^attempts, cap) units, as the queue that Filemill replaces had it. */
#include "scheduler/retry.h"

#define SOON_MS 1000

static int64_t backoff_ms(const struct retry_limits *limits, int64_t attempts, uint32_t random) {
    int64_t units = attempts >= 0 && attempts < 62 ? INT64_C(1) << attempts : limits->cap;
    int64_t spread;

    if (units > limits->cap)
        units = limits->cap;
    if (units > INT64_MAX / 200 / limits->unit_ms)
        units = INT64_MAX / 200 / limits->unit_ms;
    spread = units * limits->unit_ms / 100 * limits->jitter_percent +
             units * limits->unit_ms % 100 * limits->jitter_percent / 100;
    /* From -spread to +spread. */
    return units * limits->unit_ms - spread + (int64_t)((double)spread * 2 * random / UINT32_MAX);
}

struct retry_verdict retry_next(const struct retry_limits *limits, const struct retry_failure *failure,
                                uint32_t random) {
    struct retry_verdict verdict = {.again = true};

    if (failure->attempts + 1 >= limits->max_attempts)
        verdict.again = false;
    switch (failure->cause) {
    case RETRY_CRASH:
        verdict.quarantine = failure->crashes + 1 >= limits->crash_budget;
        verdict.again = verdict.again && !verdict.quarantine;
        break;
    case RETRY_LOST:
        break;
    default:
        verdict.again = verdict.again && failure->retryable;
        verdict.delay_ms = backoff_ms(limits, failure->attempts, random);
        return verdict;
    }
    verdict.delay_ms = limits->unit_ms < SOON_MS ? limits->unit_ms : SOON_MS;
    return verdict;
}
