/* SPDX-License-Identifier: MIT
 * Progress of running jobs: written, with its event, at most once a second for each. */
#ifndef SCHEDULER_PROGRESS_H
#define SCHEDULER_PROGRESS_H

#include "scheduler/lease.h"
#include "scheduler/scheduler.h"

struct progress *progress_new(struct scheduler *scheduler);
void progress_free(struct progress *progress);
void progress_note(struct progress *progress, struct lease *lease, uint64_t done, uint64_t total);

#endif
