/* SPDX-License-Identifier: MIT
 * Posting webhooks: signed bodies that the scheduler hands over, to addresses that the rules of
 * http/outbound.h allow. They hold no slot and no connection that documents use. */
#ifndef WORKERS_DELIVERY_H
#define WORKERS_DELIVERY_H

#include "config/settings.h"
#include "http/outbound.h"
#include "lib/loop.h"
#include "proto/message.h"

struct deliveries;

typedef void deliveries_answer_fn(void *context, const struct message *message);

/* `outbound` is borrowed. */
struct deliveries *deliveries_new(struct loop *loop, const struct settings *settings,
                                  const struct outbound *outbound, deliveries_answer_fn *answer,
                                  void *context);
/* Answers what is still under way as not sent ("drain"): the receiver may get it again. */
void deliveries_free(struct deliveries *deliveries);
/* Copies and starts; each delivery is answered by a DELIVERED of its own. Those beyond
 * webhook-concurrency are answered at once, as not sent ("overload"). */
void deliveries_start(struct deliveries *deliveries, const struct message_deliveries *batch);
/* What comes from now on is answered as not sent. */
void deliveries_drain(struct deliveries *deliveries);

#endif
