/* SPDX-License-Identifier: MIT
 * Input from the source outside that the operator named: its URL comes with a prefix (MESSAGE_SOURCE) instead
 * of a signature, and goes out with the bearer that only workers hold. Nobody else is ever shown it: an URL
 * of any other origin than source-endpoint is refused here, whatever the scheduler says. */
#ifndef WORKERS_SOURCE_H
#define WORKERS_SOURCE_H

#include "workers/transfer.h"

bool source_is(const struct message_task *task);

/* As transfer_fetch; the task's input_bytes is the most that it may be. NULL also when it may not be asked.
 */
struct http_transfer *source_fetch(struct http_client *client, const struct settings *settings,
                                   const struct message_task *task, const struct transfer_target *target,
                                   http_client_done_fn *done, void *context);
/* Why it failed, or NULL. */
const struct reason_row *source_reason(const struct http_client_reply *reply);

#endif
