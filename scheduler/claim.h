/* SPDX-License-Identifier: MIT
 * Leasing from the queue: as many jobs as the workers have room for, in batches, never more than the literal
 * LIMIT of the statement. Watermarks (one per priority band) let a claim start where the last one ended
 * instead of walking over the dead entries of finished jobs; they are thrown away every second, and whenever
 * a job went back to the queue. */
#ifndef SCHEDULER_CLAIM_H
#define SCHEDULER_CLAIM_H

#include "scheduler/scheduler.h"

struct claims *claims_new(struct scheduler *scheduler);
void claims_free(struct claims *claims);
/* There may be something to do: jobs were inserted, or a worker has room. Several calls within 2 ms are one.
 */
void claims_wake(struct claims *claims);
/* A job becomes due in so many ms: it goes back into the queue before the watermark. */
void claims_due_in(struct claims *claims, int64_t delay_ms);
/* Jobs that were passed over for want of room may be claimed now: the next claim starts from the beginning.
 */
void claims_reach_back(struct claims *claims);
/* What held claims up is over: more may be asked for. */
void claims_go_on(struct claims *claims);
/* Nothing is being claimed, and every row that carries our name is known here. */
bool claims_are_settled(const struct claims *claims);

#endif
