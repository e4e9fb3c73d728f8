/* SPDX-License-Identifier: MIT
 * Why a document failed: the table of reason codes, and the pure mapping from how a runner ended to one of
 * them. No clock, no descriptor, no process is touched here. */
#ifndef WORKERS_DEATHS_H
#define WORKERS_DEATHS_H

#include <stdbool.h>
#include <stdint.h>

/* Exit codes of a runner. Everything else, but 0, is a crash. */
enum runner_exit {
    RUNNER_EXIT_RESULT = 0, /* a result was written: read it, and do not trust it */
    RUNNER_EXIT_MEMORY = 41,
    RUNNER_EXIT_SETUP = 42, /* the sandbox could not be entered; the document was not touched */
};

/* Why the nursery itself killed the runner, if it did. */
enum death_order { ORDER_NONE, ORDER_TIMEOUT, ORDER_NO_PROGRESS, ORDER_SPINNING, ORDER_CANCELLED, ORDER_COUNT };

enum reason_source {
    REASON_BY_DEATH = 1u << 0,  /* told from how the runner ended */
    REASON_BY_RUNNER = 1u << 1, /* a runner may say so itself */
    REASON_BY_WORKER = 1u << 2, /* found by the worker: transfers, checks of the result */
};

struct reason_row {
    const char *code;
    bool retryable;
    bool crash;       /* counts against the bytes' crash budget */
    unsigned sources; /* enum reason_source */
};

extern const struct reason_row reason_rows[];
extern const unsigned reason_row_count;

/* NULL if unknown. */
const struct reason_row *reason_find(const char *code);

struct death {
    int wait_status;         /* as wait4 gives it */
    enum death_order order;  /* what we had asked for */
    uint64_t cpu_ms;         /* user and system time of the runner */
    uint64_t cpu_limit_ms;   /* 0: none */
};

/* NULL when the runner ended by itself and left a result to be read. */
const struct reason_row *death_reason(const struct death *death);

#endif
