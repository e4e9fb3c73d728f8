/* SPDX-License-Identifier: MIT
 * Everything that this node can say of itself to Prometheus: the counters of its processes, and what its scheduler
 * reads in the database. */
#ifndef SUPERVISOR_METRICS_H
#define SUPERVISOR_METRICS_H

#include "supervisor/supervisor.h"

typedef void metrics_fn(void *context, const char *text);

/* Calls `done` once, now or within some seconds; without a scheduler, or when it is silent, with the rest. */
void metrics_collect(struct supervisor *supervisor, metrics_fn *done, void *context);

#endif
