/* SPDX-License-Identifier: MIT
 * Jobs that wait for others: cutting a long document into jobs of page ranges, keeping what they make for the
 * job that waits (its parts), handing that to it, and looking after those that nobody woke. The rules of
 * waking are SQL's (migration 0030): the transaction that ends the last child wakes the parent. */
#ifndef SCHEDULER_CHILDREN_H
#define SCHEDULER_CHILDREN_H

#include "scheduler/lease.h"
#include "scheduler/scheduler.h"
#include "storage/envelope.h"

struct children;

struct children *children_new(struct scheduler *scheduler);
void children_free(struct children *children);

/* An element of STATEMENT_SPLIT; NULL when the result's ranges are not what was asked for. Free it. */
char *children_write_split(const struct lease *lease, const struct message_result *result);
/* An element of STATEMENT_PARTS for an output that the processor's row calls a part. 0, or -1. */
int children_append_part(struct buffer *buffer, const struct lease *lease, const struct message_output *output);
/* Elements of STATEMENT_FOLLOW: the jobs that a done one may bring with it; NULL: none. Free it. */
char *children_write_followers(const struct scheduler *scheduler, const struct lease *lease);

/* Fills the task's parts with fresh URLs, which live until the next call, and with `keys` (MESSAGE_MAX_PARTS of them)
 * for those that are sealed. 0; -1 or TASK_WITHOUT_KEY when they can't be. */
int children_sign_parts(const struct scheduler *scheduler, const struct lease *lease,
                        char (*keys)[ENVELOPE_KEY_TEXT], struct message_task *task);

/* Wakes parents that were left waiting, in a transaction of its own; one at a time. */
void children_wake_left(struct children *children);

#endif
