/* SPDX-License-Identifier: MIT
 * Leases that are alive or dead elsewhere: a worker names one that this scheduler does not know (it was
 * leased by the one that ran before), or a running row's owner is gone. The first kind is adopted by job and
 * epoch; the second is taken over under a new epoch and ended. */
#ifndef SCHEDULER_ADOPT_H
#define SCHEDULER_ADOPT_H

#include "proto/message.h"
#include "scheduler/scheduler.h"

struct adoption *adoption_new(struct scheduler *scheduler);
void adoption_free(struct adoption *adoption);

/* A PROGRESS, RESULT or RELEASE for an unknown lease; it is looked at again when the lease is ours. */
void adoption_add(struct adoption *adoption, const struct channel_peer *peer, const struct message *message);
/* A claim's answer was lost: takes back what carries our name but is unknown. */
void adoption_find_own(struct adoption *adoption);
/* Ends the leases of a result of LEASE_ROWS that a RESCUE statement took over; returns how many. */
size_t adoption_end_rescued(struct adoption *adoption, const struct database_result *result,
                            const char *code);
bool adoption_allows_claims(const struct adoption *adoption);

#endif
