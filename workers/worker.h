/* SPDX-License-Identifier: MIT
 * The worker: the scheduler's messages on one side, tasks and deletions on the other. It holds no database, no
 * storage key and no document's bytes but in sealed memory files that it never parses. */
#ifndef WORKERS_WORKER_H
#define WORKERS_WORKER_H

#include "config/settings.h"
#include "lib/loop.h"
#include "workers/nursery_client.h"

struct worker;

/* Starts the nursery, then opens the channel: ZeroMQ has threads. NULL with a log line on failure. `name` is
 * unique with the node and the same after a restart, so that a new life frees the old one's leases. */
struct worker *worker_new(struct loop *loop, const struct settings *settings, const char *name);
void worker_free(struct worker *worker);

/* Takes nothing new, gives back what has not begun, lets the rest run for at most `deadline_ms`; the loop then
 * stops with 0. A second call with a shorter time wins. */
void worker_drain(struct worker *worker, int64_t deadline_ms);

#endif
