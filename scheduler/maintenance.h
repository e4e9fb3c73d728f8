/* SPDX-License-Identifier: MIT
 * Housekeeping in the database, a bounded piece at a time: uploads never finished, deleted files past their
 * retention, old jobs, old events. Every node does it; rows that another has locked are skipped. */
#ifndef SCHEDULER_MAINTENANCE_H
#define SCHEDULER_MAINTENANCE_H

#include "scheduler/scheduler.h"

struct maintenance *maintenance_new(struct scheduler *scheduler);
void maintenance_free(struct maintenance *maintenance);

#endif
