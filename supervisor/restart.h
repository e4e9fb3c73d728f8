/* SPDX-License-Identifier: MIT
 * When a dead child starts again. Pure: the caller brings clock and randomness. */
#ifndef SUPERVISOR_RESTART_H
#define SUPERVISOR_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#define RESTART_FIRST_MS 100
#define RESTART_LONGEST_MS 30000
#define RESTART_FAILED_MS 60000 /* a failed child is tried again after so long */
#define RESTART_QUICK_MS 1000   /* never ready, or ready for less: a quick death */
#define RESTART_STEADY_MS 10000 /* ready for so long: earlier deaths are forgotten */
#define RESTART_DEATHS_MAX 5    /* that many quick deaths … */
#define RESTART_WINDOW_MS 60000 /* … within this time are too many */

struct restart {
    int64_t backoff_ms;                    /* last wait without its jitter; 0: none yet */
    int64_t deaths_ms[RESTART_DEATHS_MAX]; /* when the latest quick deaths were, a ring */
    unsigned death_count;
};

struct restart_decision {
    bool give_up;     /* too many quick deaths */
    int64_t delay_ms; /* wait before the next start (also when giving up: for those that must not) */
};

/* A child has died that had been ready for `ready_ms` (negative: was never ready). The wait doubles from
 * RESTART_FIRST_MS to RESTART_LONGEST_MS and carries up to a quarter more as jitter, taken from `random`. */
struct restart_decision restart_after_death(struct restart *restart, int64_t now_ms, int64_t ready_ms,
                                            uint32_t random);
/* Forgets all deaths. */
void restart_clear(struct restart *restart);

#endif
