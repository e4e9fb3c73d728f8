/* SPDX-License-Identifier: MIT
 * The three ways to stop: SIGTERM drains (writes are refused, reads answered; a supervisor says a second time
 * when to end, and without one it ends by itself), SIGUSR2 retires (a newer gateway serves the socket
 * already). Either ends the loop with status 0 when nothing is in flight, or at the drain's deadline. */
#ifndef GATEWAY_DRAIN_H
#define GATEWAY_DRAIN_H

#include "gateway/gateway.h"

struct drain;

/* Takes SIGTERM, SIGINT and SIGUSR2. */
struct drain *drain_new(struct gateway *gateway, bool supervised);
void drain_free(struct drain *drain);

#endif
