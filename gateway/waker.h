/* SPDX-License-Identifier: MIT
 * Wakes other nodes' schedulers: NOTIFY filemill_jobs, at most every 50 ms, on a connection of its own and
 * never in an inserting transaction (a NOTIFY there takes a lock over all commits). A wake that is lost costs
 * at most one of their polls. */
#ifndef GATEWAY_WAKER_H
#define GATEWAY_WAKER_H

#include "lib/loop.h"

struct waker;

struct waker *waker_new(struct loop *loop, const char *database_url);
void waker_free(struct waker *waker); /* NULL is fine */
/* Call it once what they shall see is committed. */
void waker_wake(struct waker *waker);

#endif
