/* SPDX-License-Identifier: MIT
 * The three states of a circuit: closed, open, and open with a probe under way. */
#include "workers/breaker.h"

#define PROBE_WAIT_MS 1000

int64_t breaker_ask(struct breaker *breaker, int64_t now_ms) {
    if (!breaker->open)
        return 0;
    if (now_ms < breaker->until_ms)
        return breaker->until_ms - now_ms;
    if (breaker->probing)
        return PROBE_WAIT_MS;
    breaker->probing = true;
    return 0;
}

bool breaker_note(struct breaker *breaker, const struct breaker_limits *limits, bool worked, int64_t now_ms) {
    bool was_open = breaker->open;

    breaker->probing = false;
    if (worked) {
        *breaker = (struct breaker){0};
        return was_open;
    }
    breaker->failures += breaker->failures < UINT64_MAX;
    if (!was_open && breaker->failures < limits->failures)
        return false;
    breaker->open = true;
    breaker->until_ms = now_ms + limits->open_ms;
    return !was_open;
}

void breaker_forget(struct breaker *breaker) {
    breaker->probing = false;
}
