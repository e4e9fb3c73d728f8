/* SPDX-License-Identifier: MIT
 * A circuit breaker (Nygard, Release It!): a service that failed so many times in a row is left alone for a
 * while; then one request goes out as a probe, and its end closes or opens the circuit again. Pure. */
#ifndef WORKERS_BREAKER_H
#define WORKERS_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

struct breaker_limits {
    uint64_t failures; /* in a row, until it opens */
    int64_t open_ms;
};

struct breaker {
    uint64_t failures; /* in a row */
    bool open, probing;
    int64_t until_ms; /* open: when a probe may go out */
};

/* How long a request must be refused; 0: it may go out, and when the circuit is open it is the probe. Each 0
 * is followed by one breaker_note or breaker_forget. While a probe is out others are refused for a second. */
int64_t breaker_ask(struct breaker *breaker, int64_t now_ms);
/* A request ended. True when the circuit opened or closed by it. */
bool breaker_note(struct breaker *breaker, const struct breaker_limits *limits, bool worked, int64_t now_ms);
/* A request was given up by us: nothing is known. */
void breaker_forget(struct breaker *breaker);

#endif
