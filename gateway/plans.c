/* SPDX-License-Identifier: MIT
 * GET and PUT /v1/tenants/:id/plan: which jobs a tenant's files get. A plan is put whole; row security lets
 * owners and admins only write it. It holds for files that are finalized or reprocessed from then on. */
#include "gateway/call.h"
#include "gateway/json.h"
#include "gateway/module.h"
#include "gateway/plan.h"
#include "gateway/replies.h"
#include "gateway/statements.h"
#include "lib/memory.h"
#include <stdlib.h>

struct state {
    char *plan; /* what was put, spelled out */
};

static void clear_state(void *state) {
    free(((struct state *)state)->plan);
}

static void respond(struct call *call, const char *plan) {
    json_t *own = plan_own(&call->gateway->settings);
    char *text = json_encode(own);
    json_decref(own);
    call_respond_take(
        call, 200,
        memory_format("{\"tenant_id\":\"%s\",\"plan\":%s,\"defaults\":%s}", call->parameters[0], plan, text));
    free(text);
}

static void looked(struct call *call, const struct database_answer *answer) {
    if (caller_belongs(call, answer->results[0])) {
        respond(call, result_text(answer->results[1], 0, "plan"));
    }
}

static void handle_plan(struct call *call) {
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {call->parameters[0]}},
        {.statement = &statements[STATEMENT_PLAN], .values = {call->parameters[0]}},
    };
    call_read(call, queries, 2, looked);
}

static void put(struct call *call, const struct database_answer *answer) {
    if (caller_manages(call, answer->results[0])) { /* of others its statements found no row */
        respond(call, ((const struct state *)call->state)->plan);
    }
}

static void handle_plan_put(struct call *call) {
    const json_t *rows = json_object_get(call->body, "plan");
    json_t *errors = plan_check(rows);
    if (errors != NULL) {
        call_problem_with(call, PROBLEM_BAD_PLAN, NULL,
                          json_pack("{s:{s:[],s:o}}", "details", "formErrors", "fieldErrors", errors));
        return;
    }
    struct state *state = call_state(call, sizeof *state, clear_state);
    json_t *normal = plan_normal(rows);
    state->plan = json_encode(normal);
    json_decref(normal);
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {call->parameters[0]}},
        {.statement = &statements[STATEMENT_PLAN_LOCK], .values = {call->parameters[0]}},
        {.statement = &statements[STATEMENT_PLAN_DROP], .values = {call->parameters[0]}},
        {.statement = &statements[STATEMENT_PLAN_INSERT], .values = {call->parameters[0], state->plan}},
    };
    call_write(call, &(struct call_effect){.queries = queries, .count = 4, .on_answer = put});
}

/* ---- what it serves ---- */

static const struct field plan_fields[] = {
    {"plan", FIELD_LIST, true, 0, TENANT_PLAN_MAX_ROWS, NULL,
     "Rows of media_type (image/png, image/*) and jobs (type, parameters, priority). Types without a row get "
     "the defaults; an empty list of jobs gets none."},
};

static const struct route routes[] = {
    {.method = "GET",
     .pattern = "/v1/tenants/:id/plan",
     .operation = "getPlan",
     .flags = ROUTE_READS,
     .handler = handle_plan,
     .summary = "Which jobs the tenant's files get.",
     .success = 200,
     .response = "Plan",
     .problems = {PROBLEM_NOT_FOUND}},
    {.method = "PUT",
     .pattern = "/v1/tenants/:id/plan",
     .operation = "putPlan",
     .flags = ROUTE_CHANGES | ROUTE_BODY,
     .handler = handle_plan_put,
     ROUTE_FIELDS(plan_fields),
     .summary = "Put the tenant's plan (owners and admins).",
     .success = 200,
     .response = "Plan",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_INSUFFICIENT_ROLE, PROBLEM_BAD_PLAN}},
};

static const struct answer_row answers[] = {
    {.name = "PlanJob", .members = "type:text parameters:object priority:integer"},
    {.name = "PlanRow", .members = "media_type:text jobs:[PlanJob]"},
    {.name = "Plan", .members = "tenant_id:Uuid plan:[PlanRow] defaults:[PlanRow]"},
};

const struct gateway_module plans_module = {.name = "plans", MODULE_ROUTES(routes), MODULE_ANSWERS(answers)};
