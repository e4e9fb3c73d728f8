/* SPDX-License-Identifier: MIT
 * The scheduler's pulse: in one transaction it extends every lease held here (it, not the worker, so that a
 * busy processor never looks dead), takes over leases of whoever did not, and looks when the next job becomes
 * due. */
#ifndef SCHEDULER_TICK_H
#define SCHEDULER_TICK_H

#include "scheduler/scheduler.h"

struct tick *tick_new(struct scheduler *scheduler);
void tick_free(struct tick *tick);

#endif
