/* SPDX-License-Identifier: MIT
 * From a lease to a TASK: is it fit to run, its presigned URLs, its limits; and to whom it goes. */
#ifndef SCHEDULER_TASKS_H
#define SCHEDULER_TASKS_H

#include "scheduler/lease.h"
#include "scheduler/scheduler.h"
#include "storage/envelope.h"

/* The master key of something that a task needs is not here. */
#define TASK_WITHOUT_KEY (-2)

/* A lease fresh from a claim: ready for a worker, or ended at once because it can't run. */
void tasks_accept(struct scheduler *scheduler, struct lease *lease);
/* The key of an object that has a seal, in hex; `target` is "" when there is none. -1: it can't be had. */
int task_unseal(const struct scheduler *scheduler, const char *object, const char *seal,
                char target[ENVELOPE_KEY_TEXT]);

/* Sends ready leases while workers have room. */
void tasks_dispatch(struct scheduler *scheduler);

#endif
