/* SPDX-License-Identifier: MIT
 * What becomes of a job whose attempt failed. Pure: no clock, no database, no randomness of its own. */
#ifndef SCHEDULER_RETRY_H
#define SCHEDULER_RETRY_H

#include <stdbool.h>
#include <stdint.h>

struct retry_limits {
    int64_t max_attempts;
    int64_t unit_ms;
    int64_t cap; /* units */
    int64_t jitter_percent;
    int64_t crash_budget;
};

enum retry_cause {
    RETRY_ERROR, /* the processor, a transfer or a limit: retryable or not */
    RETRY_CRASH, /* the runner died of these bytes */
    RETRY_LOST,  /* the worker or its node died: not the document's fault, but it counts as an attempt */
    RETRY_CAUSE_COUNT
};

struct retry_failure {
    enum retry_cause cause;
    bool retryable;
    int64_t attempts; /* failed ones before this */
    int64_t crashes;  /* of these bytes under this processor, before this */
};

struct retry_verdict {
    bool again;
    bool quarantine; /* these bytes have used up their crash budget */
    int64_t delay_ms;
};

/* The first failure waits min(2^0, cap) units, the next min(2^1, cap), and so on, plus or minus jitter. A
 * crash or a lost worker is tried again within a second. `random` is any 32 bits. */
struct retry_verdict retry_next(const struct retry_limits *limits, const struct retry_failure *failure,
                                uint32_t random);

#endif
