/* SPDX-License-Identifier: MIT
 * What the two halves of the webhooks module share. */
#ifndef GATEWAY_WEBHOOKS_H
#define GATEWAY_WEBHOOKS_H

#include "gateway/call.h"

/* The caller's role in the tenant: the first statement of each of the module's transactions. */
extern const struct statement webhooks_role;

/* True if that role manages webhooks (owner, admin, internal); else the call is answered. */
bool webhooks_may(struct call *call, const struct database_result *role);

/* webhooks_log.c */
void handle_webhook_test(struct call *call);
void handle_webhook_deliveries(struct call *call);
void handle_webhook_replay(struct call *call);

#endif
