/* SPDX-License-Identifier: MIT
 * The restart policy: back off, and give up on a child that dies quickly again and again, so that it costs
 * neither processor time nor a flood of log lines. */
#include "supervisor/restart.h"

#include <string.h>

void restart_clear(struct restart *restart) {
    memset(restart, 0, sizeof *restart);
}

/* Notes a death; true when the ring holds RESTART_DEATHS_MAX of them within the window. */
static bool too_many(struct restart *restart, int64_t now_ms) {
    unsigned oldest = restart->death_count % RESTART_DEATHS_MAX;

    restart->deaths_ms[oldest] = now_ms;
    restart->death_count++;
    oldest = restart->death_count % RESTART_DEATHS_MAX;
    return restart->death_count >= RESTART_DEATHS_MAX &&
           now_ms - restart->deaths_ms[oldest] <= RESTART_WINDOW_MS;
}

struct restart_decision restart_after_death(struct restart *restart, int64_t now_ms, int64_t ready_ms,
                                            uint32_t random) {
    struct restart_decision decision = {.give_up = false};

    if (ready_ms >= RESTART_STEADY_MS)
        restart_clear(restart);
    else if (ready_ms < RESTART_QUICK_MS)
        decision.give_up = too_many(restart, now_ms);
    restart->backoff_ms = restart->backoff_ms == 0 ? RESTART_FIRST_MS : restart->backoff_ms * 2;
    if (restart->backoff_ms > RESTART_LONGEST_MS)
        restart->backoff_ms = RESTART_LONGEST_MS;
    decision.delay_ms = restart->backoff_ms + (int64_t)(random % (uint32_t)(restart->backoff_ms / 4 + 1));
    return decision;
}
