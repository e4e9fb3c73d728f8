/* SPDX-License-Identifier: MIT
 * Objects that nothing points to any more. Their keys stand in object_deletions; workers delete them with
 * presigned URLs, since the scheduler opens no connection to the store. A key that a row still points to is
 * never deleted. */
#ifndef SCHEDULER_GARBAGE_H
#define SCHEDULER_GARBAGE_H

#include "proto/message.h"
#include "scheduler/scheduler.h"

struct garbage *garbage_new(struct scheduler *scheduler);
void garbage_free(struct garbage *garbage);
/* Takes JSON elements for STATEMENT_GARBAGE, and keeps them until they are written. */
void garbage_add(struct garbage *garbage, char *elements);
void garbage_on_deleted(struct garbage *garbage, const struct message_deleted *deleted);
/* Nothing is left to be written. */
bool garbage_is_settled(const struct garbage *garbage);

#endif
