/* SPDX-License-Identifier: MIT
 * Counters in shared memory: the supervisor makes one segment per child, passes its descriptor as
 * FILEMILL_COUNTERS_FD, and reads it whenever it is asked. One writer (the child), so no locks: 64-bit
 * relaxed atomics. The names and help texts are in one table, counters.def, rows
 * COUNTER(symbol, "prometheus_name", COUNTER_TOTAL or COUNTER_GAUGE, "help"). A name may carry labels:
 * "filemill_jobs_ended_total{outcome=\"done\"}"; rows of one family stand together. HISTOGRAM(symbol, "name",
 * "label=\"value\"", "help") is a run of such rows: buckets, sum, count. */
#ifndef LIB_COUNTERS_H
#define LIB_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

enum counter_kind {
    COUNTER_TOTAL,
    COUNTER_GAUGE,
    COUNTER_BUCKET,  /* of a histogram, or its count */
    COUNTER_SUM,     /* of a histogram: kept in microseconds, shown in seconds */
    COUNTER_SECONDS, /* a total that is kept in microseconds and shown in seconds */
};

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

/* How much of the row's name is its family's: it ends before labels, and before what a histogram's rows add. */
size_t counter_family_size(const struct counter_row *row);

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
/* Sets it if it is less. */
void counter_raise(enum counter counter, uint64_t value);
/* Notes a duration in the histogram that begins with this row: COUNT_ and the symbol of a HISTOGRAM. */
void counter_observe(enum counter histogram, uint64_t microseconds);

/* One line of free text that the child publishes beside its numbers (sandbox layers, last error); at most
 * 255 bytes. counters_note returns static storage. */
void counter_note(const char *text);
const char *counters_note(const struct counters *counters);

#endif
