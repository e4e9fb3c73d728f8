/* SPDX-License-Identifier: MIT
 * The service manager's protocol (sd_notify(3)) by hand: datagrams to NOTIFY_SOCKET, and the watchdog. All of
 * it does nothing when no service manager asks for it. */
#ifndef SUPERVISOR_NOTIFY_H
#define SUPERVISOR_NOTIFY_H

#include "lib/loop.h"

/* Sends "NAME=value" lines. Never waits: a message that does not fit now is dropped. */
void notify_send(const char *lines);
/* "RELOADING=1" with the time stamp that it must carry. */
void notify_reloading(void);
/* Sends WATCHDOG=1 at half of WATCHDOG_USEC from this loop, for as long as the loop turns. */
void notify_watchdog_start(struct loop *loop);

#endif
