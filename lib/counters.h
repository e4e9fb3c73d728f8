/* SPDX-License-Identifier: MIT
 * Counters in shared memory: the supervisor makes one segment per child, passes its descriptor as
 * FILEMILL_COUNTERS_FD, and reads it whenever it is asked. One writer (the child), so no locks: 64-bit
 * relaxed atomics. The names and help texts are in one table, counters.def, rows
 * COUNTER(symbol, "prometheus_name", COUNTER_TOTAL or COUNTER_GAUGE, "help"). A name may carry labels:
 * "filemill_jobs_ended_total{outcome=\"done\"}"; rows of one family stand together. */
#ifndef LIB_COUNTERS_H
#define LIB_COUNTERS_H

#include <stdint.h>

enum counter_kind { COUNTER_TOTAL, COUNTER_GAUGE };

enum counter {
#define COUNTER(symbol, name, kind, help) COUNT_##symbol,
#include "counters.def"
#undef COUNTER
    COUNT_LAST
};

struct counter_row {
    const char *name;
    enum counter_kind kind;
    const char *help;
};
extern const struct counter_row counter_rows[COUNT_LAST];

struct counters; /* a mapped segment */

/* Makes an anonymous segment (memfd); *fd is the caller's to pass on and close. NULL with errno on failure. */
struct counters *counters_create(int *fd);
/* Maps the segment named by FILEMILL_COUNTERS_FD as this process' own; private memory when absent. */
void counters_attach(void);
/* Maps another process' segment for reading only: the supervisor's own, whose COUNT_SUPERVISOR_FAILED tells a
 * gateway whether some service has been given up, comes as FILEMILL_HEALTH_FD. Takes that descriptor; NULL when the
 * variable is absent or is no such segment. */
const struct counters *counters_open_health(void);
void counters_free(struct counters *counters);
uint64_t counters_read(const struct counters *counters, enum counter counter);

/* On this process' own segment; before counters_attach they do nothing. */
void counter_add(enum counter counter, uint64_t amount);
void counter_set(enum counter counter, uint64_t value);

/* One line of free text that the child publishes beside its numbers (sandbox layers, last error); at most
 * 255 bytes. counters_note returns static storage. */
void counter_note(const char *text);
const char *counters_note(const struct counters *counters);

#endif
