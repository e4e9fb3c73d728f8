/* SPDX-License-Identifier: MIT
 * Waking other nodes' schedulers: NOTIFY filemill_jobs at most every 50 ms, on a connection of its own and
 * outside of any inserting transaction (a NOTIFY there takes a lock over all commits); and listening to
 * theirs. */
#ifndef SCHEDULER_NOTIFY_H
#define SCHEDULER_NOTIFY_H

#include "scheduler/scheduler.h"

struct notifier *notifier_new(struct scheduler *scheduler, const char *url);
void notifier_free(struct notifier *notifier);
void notifier_poke(struct notifier *notifier);

#endif
