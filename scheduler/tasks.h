/* SPDX-License-Identifier: MIT
 * From a lease to a TASK: is it fit to run, its presigned URLs, its limits; and to whom it goes. */
#ifndef SCHEDULER_TASKS_H
#define SCHEDULER_TASKS_H

#include "scheduler/lease.h"
#include "scheduler/scheduler.h"

/* A lease fresh from a claim: ready for a worker, or ended at once because it can't run. */
void tasks_accept(struct scheduler *scheduler, struct lease *lease);
/* Sends ready leases while workers have room. */
void tasks_dispatch(struct scheduler *scheduler);

#endif
