/* SPDX-License-Identifier: MIT
 * Requests by route: how many of each class of status, and how long they took. Kept in this process, and told
 * to the supervisor over the control socket as Prometheus samples, lines ended by '|'. */
#ifndef GATEWAY_MEASURE_H
#define GATEWAY_MEASURE_H

#include "gateway/routes.h"
#include "lib/buffer.h"
#include "lib/loop.h"
#include <stdint.h>

struct measures;

/* Answers the supervisor's questions where there is one. */
struct measures *measures_new(struct loop *loop);
void measures_free(struct measures *measures);

/* `route` NULL: no such path. A stream's time is not a request's: elapsed_us < 0. */
void measures_note(struct measures *measures, const struct route *route, int status, int64_t elapsed_us);

/* All samples of routes that have been asked for. */
void measures_append(const struct measures *measures, struct buffer *text);

#endif
