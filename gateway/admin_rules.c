/* SPDX-License-Identifier: MIT
 * /v1/admin/limits, pauses and priorities of tenants: how much may run at once or start in a minute, by type,
 * tenant and user; and what models cost. The functions of 0053_admin_rules.sql, 0065_orders.sql and
 * 0086_model_prices.sql check who asks. */
#include "gateway/call.h"
#include "gateway/json.h"
#include "gateway/module.h"
#include "gateway/replies.h"
#include "gateway/scheduler_link.h"
#include <stdlib.h>

static const struct statement limits_statement = {
    "admin_limits",
    "select jsonb_build_object('limits', admin_limits(), 'priorities', admin_priorities())::text as answer",
    0};
static const struct statement set_statement = {"admin_limit_set", "select admin_limit_set($1, $2::jsonb)", 2};
static const struct statement drop_statement = {"admin_limit_drop", "select 1 where admin_limit_drop($1)", 1};
static const struct statement pause_statement = {"admin_pause_tenant",
                                                 "select admin_pause_tenant($1::uuid, $2::boolean)", 2};
static const struct statement priority_statement = {
    "admin_priority_set", "select admin_priority_set($1::uuid, ($2::jsonb->>'first_priority')::int)", 2};
static const struct statement prices_statement = {
    "admin_prices", "select jsonb_build_object('prices', admin_prices())::text as answer", 0};
static const struct statement price_set_statement = {"admin_price_set", "select admin_price_set($1::jsonb)",
                                                     1};
static const struct statement price_drop_statement = {
    "admin_price_drop", "select 1 where admin_price_drop($1, $2::timestamptz)", 2};

static const struct call_refusal refusals[] = {
    {.sqlstate = "42501", .problem = PROBLEM_FORBIDDEN},
    /* neither bound, or a name that is none; no such tenant */
    {.sqlstate = "23", .problem = PROBLEM_BAD_REQUEST, .detail = "The table's own rules refuse this."},
    {.sqlstate = NULL},
};

static void done(struct call *call, const struct database_answer *answer) {
    scheduler_link_poke(call->gateway->scheduler, 1);
    reply_ok(call, answer);
}

static void handle_limits(struct call *call) {
    const struct query query = {.statement = &limits_statement};
    call_read(call, &query, 1, reply_answer);
}

static void put(struct call *call, const struct statement *statement) {
    char *wanted = json_encode(call->body);
    const struct query query = {.statement = statement, .values = {call->parameters[0], wanted}};
    call_write_one(call, &query, done, refusals);
    free(wanted);
}

static void handle_limit_set(struct call *call) {
    put(call, &set_statement);
}

static void handle_limit_drop(struct call *call) {
    const struct query query = {.statement = &drop_statement, .values = {call->parameters[0]}};
    call_write_one(call, &query, reply_ok_if_found, refusals);
}

static void handle_priority(struct call *call) {
    put(call, &priority_statement);
}

/* And resume: the path says which. */
static void handle_pause(struct call *call) {
    const char *pause = text_ends_with(call->route->pattern, "/pause") ? "true" : "false";
    const struct query query = {.statement = &pause_statement, .values = {call->parameters[0], pause}};
    call_write_one(call, &query, done, refusals);
}

static void handle_prices(struct call *call) {
    const struct query query = {.statement = &prices_statement};
    call_read(call, &query, 1, reply_answer);
}

static void handle_price_set(struct call *call) {
    char *wanted = json_encode(call->body);
    const struct query query = {.statement = &price_set_statement, .values = {wanted}};
    call_write_one(call, &query, reply_ok, refusals);
    free(wanted);
}

static void handle_price_drop(struct call *call) {
    const struct query query = {
        .statement = &price_drop_statement,
        .values = {call_query_value(call, "model"), call_query_value(call, "valid_from")}};
    call_write_one(call, &query, reply_ok_if_found, refusals);
}

/* ---- what it serves ---- */

#define MOST 1000000

static const struct field limit_fields[] = {
    {"max_running", FIELD_INTEGER, false, 0, MOST, NULL, "At most so many at once."},
    {"max_per_minute", FIELD_INTEGER, false, 0, MOST, NULL, "At most so many begun in a minute."},
    {"type", FIELD_TEXT, false, 1, 64, NULL, "Only jobs of this type; any if absent."},
    {"tenant_id", FIELD_UUID, false, 0, 0, NULL, "Only this tenant's; any if absent."},
    {"user_id", FIELD_UUID, false, 0, 0, NULL, "Only this user's; any if absent."},
    {"per_type", FIELD_BOOLEAN, false, 0, 0, NULL, "Each type has the room for itself."},
    {"per_tenant", FIELD_BOOLEAN, false, 0, 0, NULL, "Each tenant has the room for itself."},
    {"per_user", FIELD_BOOLEAN, false, 0, 0, NULL, "Each user has the room for himself."},
};

static const struct field priority_fields[] = {
    {"first_priority", FIELD_INTEGER, false, 0, 3, NULL,
     "The first band; the service's own bound if absent."},
};

#define PRICE_ROW                                                                                            \
    {"model", FIELD_TEXT, true, 1, 200, NULL, "Its name, as chat-model has it."}, {                          \
        "valid_from", FIELD_TIME, false, 0, 0, NULL,                                                         \
            "The price that is good from then; from ever if absent."                                         \
    }
static const struct field price_fields[] = {
    PRICE_ROW,
    {"prompt_per_million", FIELD_NUMBER, true, 0, MOST, NULL, "Of a million tokens that it is told."},
    {"completion_per_million", FIELD_NUMBER, true, 0, MOST, NULL, "Of a million tokens that it answers."},
};
static const struct field price_query[] = {PRICE_ROW};

static const struct route routes[] = {
    {.method = "GET",
     .pattern = "/v1/admin/limits",
     .operation = "adminLimits",
     .flags = ROUTE_READS,
     .handler = handle_limits,
     .summary = "Limits on what runs at once or starts in a minute (admins).",
     .success = 200,
     .response = "Limits",
     .problems = {PROBLEM_FORBIDDEN}},
    {.method = "PUT",
     .pattern = "/v1/admin/limits/:name",
     .operation = "adminLimitSet",
     .flags = ROUTE_CHANGES | ROUTE_BODY,
     .handler = handle_limit_set,
     ROUTE_FIELDS(limit_fields),
     .summary = "Make or change a limit (admins).",
     .success = 200,
     .response = "Ok",
     .problems = {PROBLEM_FORBIDDEN}},
    {.method = "DELETE",
     .pattern = "/v1/admin/limits/:name",
     .operation = "adminLimitDrop",
     .flags = ROUTE_CHANGES,
     .handler = handle_limit_drop,
     .summary = "Drop a limit (admins).",
     .success = 200,
     .response = "Ok",
     .problems = {PROBLEM_FORBIDDEN, PROBLEM_NOT_FOUND}},
    {.method = "PUT",
     .pattern = "/v1/admin/tenants/:id/priority",
     .operation = "adminPriority",
     .flags = ROUTE_CHANGES | ROUTE_BODY,
     .handler = handle_priority,
     ROUTE_FIELDS(priority_fields),
     .summary = "The first band of the queue that a tenant's jobs may be in (admins).",
     .success = 200,
     .response = "Ok",
     .problems = {PROBLEM_FORBIDDEN}},
    {.method = "POST",
     .pattern = "/v1/admin/tenants/:id/pause",
     .operation = "adminPauseTenant",
     .flags = ROUTE_POSTS | ROUTE_BODY | ROUTE_BODY_OPTIONAL,
     .handler = handle_pause,
     .summary = "Start nothing more of a tenant; what runs goes on (admins).",
     .success = 200,
     .response = "Ok",
     .problems = {PROBLEM_FORBIDDEN}},
    {.method = "POST",
     .pattern = "/v1/admin/tenants/:id/resume",
     .operation = "adminResumeTenant",
     .flags = ROUTE_POSTS | ROUTE_BODY | ROUTE_BODY_OPTIONAL,
     .handler = handle_pause,
     .summary = "Start a tenant's jobs again (admins).",
     .success = 200,
     .response = "Ok",
     .problems = {PROBLEM_FORBIDDEN}},
    {.method = "GET",
     .pattern = "/v1/admin/model-prices",
     .operation = "adminPrices",
     .flags = ROUTE_READS,
     .handler = handle_prices,
     .summary = "What models cost (admins).",
     .success = 200,
     .response = "Prices",
     .problems = {PROBLEM_FORBIDDEN}},
    {.method = "PUT",
     .pattern = "/v1/admin/model-prices",
     .operation = "adminPriceSet",
     .flags = ROUTE_CHANGES | ROUTE_BODY,
     .handler = handle_price_set,
     ROUTE_FIELDS(price_fields),
     .summary = "Make or change a model's price (admins).",
     .success = 200,
     .response = "Ok",
     .problems = {PROBLEM_FORBIDDEN}},
    {.method = "DELETE",
     .pattern = "/v1/admin/model-prices",
     .operation = "adminPriceDrop",
     .flags = ROUTE_CHANGES,
     .handler = handle_price_drop,
     ROUTE_QUERY(price_query),
     .summary = "Drop a model's price (admins).",
     .success = 200,
     .response = "Ok",
     .problems = {PROBLEM_FORBIDDEN, PROBLEM_NOT_FOUND}},
};

static const struct answer_row answers[] = {
    {.name = "LimitRow",
     .members =
         "name:text max_running?:integer max_per_minute?:integer type?:text tenant_id?:Uuid user_id?:Uuid "
         "per_type:boolean per_tenant:boolean per_user:boolean"},
    {.name = "PriorityRow", .members = "tenant_id?:Uuid first_priority:integer"},
    {.name = "PriceRow",
     .members = "model:text prompt_per_million:number completion_per_million:number valid_from?:text "
                "in_force:boolean"},
    {.name = "Prices", .members = "prices:[PriceRow]"},
    {.name = "Limits", .members = "limits:[LimitRow] priorities:[PriorityRow]"},
};

const struct gateway_module admin_rules_module = {
    .name = "admin_rules", MODULE_ROUTES(routes), MODULE_ANSWERS(answers)};
