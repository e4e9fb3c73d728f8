/* SPDX-License-Identifier: MIT
 * The gateway's end of the scheduler's socket: hello until welcomed, pings, pokes and cancels out, events in.
 * On a node without a scheduler a poke wakes those of the other nodes through Postgres (waker.h).
 * Nothing here is needed for correctness: the database tells the scheduler all the same, a second later. */
#ifndef GATEWAY_SCHEDULER_LINK_H
#define GATEWAY_SCHEDULER_LINK_H

#include "lib/loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scheduler_link;

typedef void scheduler_link_event_fn(void *context, const char *file);

/* Endpoint NULL: no scheduler on this node; pokes then go to `database_url`, and every other call below is
 * harmless. */
struct scheduler_link *scheduler_link_new(struct loop *loop, const char *endpoint, const char *database_url,
                                          const char *node, scheduler_link_event_fn *on_event, void *context);
void scheduler_link_free(struct scheduler_link *link);
/* Heard of within the last few seconds; true where there is none to hear of. */
bool scheduler_link_is_up(const struct scheduler_link *link);
void scheduler_link_poke(struct scheduler_link *link, uint64_t jobs);
void scheduler_link_cancel(struct scheduler_link *link, const char *job);

#endif
