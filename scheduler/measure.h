/* SPDX-License-Identifier: MIT
 * What only the database knows, for those who watch: the queue by type and state, dead rows, the oldest snapshot. */
#ifndef SCHEDULER_MEASURE_H
#define SCHEDULER_MEASURE_H

#include "lib/buffer.h"
#include "scheduler/scheduler.h"

/* Once: `text` holds samples in Prometheus' text format, each ended by '|' instead of a newline; NULL when the
 * database does not answer. */
typedef void measure_fn(void *context, const char *text);

void measure(struct scheduler *scheduler, measure_fn *done, void *context);

#endif
