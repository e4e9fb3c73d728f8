/* SPDX-License-Identifier: MIT
 * Stopping without losing anything: nothing new is leased, what no worker has is given back, workers are
 * told, and results are committed until none is owed or the deadline comes; then what is left is given back
 * too. */
#ifndef SCHEDULER_DRAIN_H
#define SCHEDULER_DRAIN_H

#include "scheduler/scheduler.h"

struct drain *drain_new(struct scheduler *scheduler);
void drain_free(struct drain *drain);
/* The first call begins, the second jumps to the deadline, the third ends at once. */
void drain_begin(struct drain *drain);
/* Something has ended: stops the loop when that was the last. Cheap when nothing is drained. */
void drain_check(struct drain *drain);

#endif
