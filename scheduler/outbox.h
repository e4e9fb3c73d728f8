/* SPDX-License-Identifier: MIT
 * Webhooks on their way out: due deliveries are leased, signed, given to workers, and settled by what the
 * receivers said. The rows are written by whoever changes a file or a job (sql/migrations/0038_webhooks.sql).
 * At least once: a delivery whose answer was lost is sent again under the same webhook-id. */
#ifndef SCHEDULER_OUTBOX_H
#define SCHEDULER_OUTBOX_H

#include "proto/message.h"
#include "scheduler/scheduler.h"

struct outbox *outbox_new(struct scheduler *scheduler);
void outbox_free(struct outbox *outbox);
/* Something may be due: jobs ended, or a gateway says so. Costs nothing while nobody wants webhooks. */
void outbox_wake(struct outbox *outbox);
void outbox_on_delivered(struct outbox *outbox, const struct message_deliveries *delivered);
/* Nothing is left to be written. */
bool outbox_is_settled(const struct outbox *outbox);

#endif
