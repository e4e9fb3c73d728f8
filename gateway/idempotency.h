/* SPDX-License-Identifier: MIT
 * Idempotency-Key on POST (draft-ietf-httpapi-idempotency-key-header): of all requests of one user with one
 * key, one has its effect and all get its answer, for 24 hours. The key is committed in the transaction of
 * the effect, so that a crash can't part them. */
#ifndef GATEWAY_IDEMPOTENCY_H
#define GATEWAY_IDEMPOTENCY_H

#include "gateway/call.h"

/* Looks the key up if the request has one and the route takes one. False: go on at once; true: answered, or
 * the route's handler is called later. */
bool idempotency_begin(struct call *call);
/* Was the effect undone because another request with this key came first? Then its answer is waited for. */
bool idempotency_lost_race(struct call *call, const struct database_answer *answer);
/* Keeps the answer of a committed effect before it is sent. True: taken, and sent when kept. */
bool idempotency_store(struct call *call, int status, const char *body);

#endif
