/* SPDX-License-Identifier: MIT
 * Orders of one list that wait for each other: `waits_for` of an order names places in the list, from 0. A job is
 * waited for by one other at most, as jobs.parent has it (sql/migrations/0030_flows.sql). */
#ifndef GATEWAY_ORDER_FLOW_H
#define GATEWAY_ORDER_FLOW_H

#include <jansson.h>

/* Told of each fault: the place of the order, the member, what is wrong with it. */
typedef void order_flow_fault(void *context, size_t place, const char *member, const char *words);

/* Checks all `waits_for` of a list of orders, of which other members need not be right yet. */
void order_flow_check(const json_t *list, order_flow_fault *fault, void *context);

/* Gives ids, states and parents to what jobs_order takes: `made`, in the order of a `list` without faults. */
void order_flow_link(const json_t *list, json_t *made);

#endif
