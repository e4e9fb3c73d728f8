/* SPDX-License-Identifier: MIT
 * What comes in: one row per message type says who may send it and what it does. */
#ifndef SCHEDULER_DISPATCH_H
#define SCHEDULER_DISPATCH_H

#include "scheduler/scheduler.h"

/* A message of a peer; one that its row does not allow is dropped and counted. */
void dispatch_message(struct scheduler *scheduler, const struct channel_peer *peer,
                      const struct message *message);

#endif
