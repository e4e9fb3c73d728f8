/* SPDX-License-Identifier: MIT
 * What many handlers do alike with an answer of the database. The answer's status is the route's `success`. */
#ifndef GATEWAY_REPLIES_H
#define GATEWAY_REPLIES_H

#include "gateway/call.h"

/* Of the last of the handler's own queries. */
const struct database_result *reply_result(const struct call *call, const struct database_answer *answer);

/* The text in the column `answer` of its first row; 404 where there is none, or it is null. */
void reply_answer(struct call *call, const struct database_answer *answer);
/* {"ok":true}. */
void reply_ok(struct call *call, const struct database_answer *answer);
/* The same where it has a row; else 404. */
void reply_ok_if_found(struct call *call, const struct database_answer *answer);

/* The caller's role in a tenant, the column `role` of the first row (STATEMENT_ROLE). True for a member, for
 * owners and admins, for these and the role internal; else the call is answered: 404 where there is no role,
 * 403 insufficient_role where it is another one. */
bool caller_belongs(struct call *call, const struct database_result *result);
bool caller_manages(struct call *call, const struct database_result *result);
bool caller_is_elevated(struct call *call, const struct database_result *result);

#endif
