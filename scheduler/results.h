/* SPDX-License-Identifier: MIT
 * Committing the ends of leases, in batches: one transaction locks the files in order of id, moves the jobs
 * whose epoch still holds, and writes their derivatives, crash counts, garbage, events and the files' new
 * status. What the database did not take because it was away is kept and sent again; nothing is dropped but a
 * stale end. */
#ifndef SCHEDULER_RESULTS_H
#define SCHEDULER_RESULTS_H

#include "scheduler/finish.h"
#include "scheduler/scheduler.h"

struct results *results_new(struct scheduler *scheduler);
void results_free(struct results *results);
/* Takes `finish`. */
void results_add(struct results *results, struct finish *finish);
/* Waiting and under way. */
size_t results_backlog(const struct results *results);

#endif
