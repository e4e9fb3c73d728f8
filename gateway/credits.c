/* SPDX-License-Identifier: MIT
 * GET /v1/credits and POST /v1/credits/grants. What jobs cost is settled in the database (0039_credits.sql);
 * so is who may grant, by the list that the option credit-admins has put there. */
#include "gateway/call.h"
#include "gateway/json.h"
#include "gateway/module.h"
#include "gateway/replies.h"

#define AMOUNT_MAX INT64_C(1000000000000)

static const struct statement account_statement = {
    "credit_account",
    "select json_build_object('enabled', $1::boolean, 'balance', coalesce(c.balance, 0), 'reserved', "
    "coalesce(c.reserved, 0), 'used', coalesce(c.used, 0), 'granted', coalesce(c.granted, 0), 'prices', "
    "(select json_agg(json_build_object('type', p.type, 'base', p.base, 'per_cpu_second', p.per_cpu_second, "
    "'reserve', p.reserve) order by p.type) from job_prices p))::text as answer from (select 1) one left "
    "join user_credits c on c.user_id = filemill_user()",
    1};
static const struct statement grant_statement = {"credit_grant",
                                                 "select credit_grant($1::uuid, $2::bigint, $3)", 3};

static void handle_credits(struct call *call) {
    const struct query query = {.statement = &account_statement,
                                .values = {call->gateway->settings.credits ? "on" : "off"}};
    call_read(call, &query, 1, reply_answer);
}

/* Taking back more than there is breaks the account's own rule. */
static const struct call_refusal refusals[] = {{.sqlstate = "23514", .problem = PROBLEM_CREDIT_BALANCE},
                                               {.sqlstate = NULL}};

static void handle_grant(struct call *call) {
    char amount[24];
    (void)text_format(amount, sizeof amount, "%lld",
                      (long long)json_integer_value(json_object_get(call->body, "amount")));
    const struct query query = {
        .statement = &grant_statement,
        .values = {json_text_member(call->body, "user_id"), amount, json_text_member(call->body, "note")}};
    call_write(call, &(struct call_effect){.queries = &query,
                                           .count = 1,
                                           .on_answer = reply_ok,
                                           .refusals = refusals,
                                           .known_status = 201,
                                           .known_body = "{\"ok\":true}"});
}

/* ---- what it serves ---- */

static const struct field grant_fields[] = {
    {"user_id", FIELD_UUID, true, 0, 0, NULL, "Whose account."},
    {"amount", FIELD_INTEGER, true, -AMOUNT_MAX, AMOUNT_MAX, NULL, "Credits; below 0 takes them back."},
    {"note", FIELD_TEXT, false, 0, 200, NULL, "For the ledger."},
};

static const struct route routes[] = {
    {.method = "GET",
     .pattern = "/v1/credits",
     .operation = "getCredits",
     .flags = ROUTE_READS,
     .handler = handle_credits,
     .summary = "The caller's credits, and what jobs cost.",
     .success = 200,
     .response = "Credits"},
    {.method = "POST",
     .pattern = "/v1/credits/grants",
     .operation = "grantCredits",
     .flags = ROUTE_MAKES | ROUTE_BODY,
     .handler = handle_grant,
     ROUTE_FIELDS(grant_fields),
     .summary = "Give a user credits, or take unused ones back (credit admins).",
     .success = 201,
     .response = "Ok",
     .problems = {PROBLEM_FORBIDDEN, PROBLEM_CREDIT_BALANCE}},
};

static const struct answer_row answers[] = {
    {.name = "Price", .members = "type:text base:integer per_cpu_second:integer reserve:integer"},
    {.name = "Credits",
     .members =
         "enabled:boolean balance:integer reserved:integer used:integer granted:integer prices:[Price]"},
};

const struct gateway_module credits_module = {
    .name = "credits", MODULE_ROUTES(routes), MODULE_ANSWERS(answers)};
