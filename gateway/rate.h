/* SPDX-License-Identifier: MIT
 * Requests per minute of one user: a token bucket each, in a table of fixed size. Each gateway process counts
 * for itself. */
#ifndef GATEWAY_RATE_H
#define GATEWAY_RATE_H

#include <stdint.h>

struct rate;

/* per_minute 0: no limit. */
struct rate *rate_new(int64_t per_minute);
void rate_free(struct rate *rate);
/* 0: go on, and one token is taken; else the seconds after which it is worth trying again (at least 1). */
int64_t rate_take(struct rate *rate, const char *user, int64_t now_ms);

#endif
