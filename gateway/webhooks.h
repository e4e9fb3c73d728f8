/* SPDX-License-Identifier: MIT
 * What the two halves of the webhooks module share. */
#ifndef GATEWAY_WEBHOOKS_H
#define GATEWAY_WEBHOOKS_H

#include "gateway/call.h"

/* webhooks_log.c */
void handle_webhook_test(struct call *call);
void handle_webhook_deliveries(struct call *call);
void handle_webhook_replay(struct call *call);

#endif
