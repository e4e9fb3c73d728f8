/* SPDX-License-Identifier: MIT
 * GET /health and GET /ready: whether this process lives, and whether what it needs is there. */
#ifndef GATEWAY_HEALTH_H
#define GATEWAY_HEALTH_H

#include "gateway/gateway.h"

struct health;

struct health *health_new(struct gateway *gateway);
void health_free(struct health *health);

#endif
