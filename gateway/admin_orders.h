/* SPDX-License-Identifier: MIT
 * Orders of jobs for filemill-admin: a JSON object per line, read in pieces of what one request takes, and
 * what the gateway says of a piece told by its lines. */
#ifndef GATEWAY_ADMIN_ORDERS_H
#define GATEWAY_ADMIN_ORDERS_H

#include <jansson.h>
#include <stdio.h>

#define ADMIN_ORDERS_MOST 1000

struct admin_orders {
    size_t line;                     /* of the input, the last one read */
    size_t lines[ADMIN_ORDERS_MOST]; /* of each order of the piece */
};

/* The next orders, at most ADMIN_ORDERS_MOST, as a new list; empty at the end. Blank lines count as lines
 * only. NULL: a line is no JSON object, or longer than 64 KiB; that was said on standard error. */
json_t *admin_orders_read(struct admin_orders *orders, FILE *input);

/* Prints what was queued, or, where `status` is no success, each fault with its line. */
void admin_orders_tell(const struct admin_orders *orders, const json_t *answer, int status);

#endif
