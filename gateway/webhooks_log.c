/* SPDX-License-Identifier: MIT
 * Deliveries of a webhook endpoint: the log, tests and replay. A replay keeps the delivery's id, so a
 * receiver that keeps ids sees it once; its lease epoch moves on, so an answer that is still under way no
 * longer counts. */
#include "gateway/webhooks.h"

#include "gateway/json.h"
#include "gateway/replies.h"
#include "gateway/scheduler_link.h"
#include "gateway/statements.h"
#include "lib/memory.h"
#include <string.h>

#define PAGE_DEFAULT "50"

static const struct statement endpoint_statement = {
    "webhook_state", "select enabled from webhook_endpoints where tenant_id = $1::uuid and id = $2::uuid", 2};

static const struct statement test_statement = {
    "webhook_test",
    "insert into webhook_deliveries (id, tenant_id, endpoint_id, type, payload) select $3::uuid, "
    "e.tenant_id, e.id, 'webhook.test', jsonb_build_object('type', 'webhook.test', 'timestamp', "
    "filemill_time(now()), 'data', jsonb_build_object('tenant_id', e.tenant_id, 'webhook_id', e.id, "
    "'sequence', 0))::text from webhook_endpoints e where e.tenant_id = $1::uuid and e.id = $2::uuid and "
    "e.enabled returning id",
    3};

/* One more than the page. Plan: webhook_deliveries_list_idx. */
static const struct statement list_statement = {
    "webhook_deliveries",
    "with page as (select d.* from webhook_deliveries d where d.tenant_id = $1::uuid and d.endpoint_id = "
    "$2::uuid and ($3::text is null or d.state = $3) and ($4::text is null or d.type = $4) and "
    "($5::timestamptz is null or d.created_at >= $5::timestamptz) and ($6::uuid is null or (d.created_at, "
    "d.id) < (select b.created_at, b.id from webhook_deliveries b where b.id = $6::uuid and b.endpoint_id = "
    "$2::uuid)) order by d.created_at desc, d.id desc limit 101), shown as (select p.*, row_number() over "
    "(order by p.created_at desc, p.id desc) as place from page p) select "
    "coalesce(json_agg(json_build_object('id', id, 'message_id', 'msg_' || id, 'type', type, 'sequence', "
    "sequence, 'status', state, 'attempts', attempts, 'response_status', status, 'error', error, "
    "'latency_ms', latency_ms, 'response_excerpt', excerpt, 'history', history, 'payload', payload::json, "
    "'next_attempt_at', case when state = 'pending' then filemill_time(next_at) end, 'created_at', "
    "filemill_time(created_at), 'finished_at', filemill_time(finished_at)) order by place) filter (where "
    "place <= $7::bigint), '[]')::text as deliveries, case when count(*) > $7::bigint then max(id::text) "
    "filter (where place = $7::bigint) end as next from shown",
    7};

#define OPEN "exists (select from webhook_endpoints e where e.id = $2::uuid and e.enabled)"
#define REPLAYED                                                                                             \
    "update webhook_deliveries d set state = 'pending', attempts = 0, epoch = d.epoch + 1, next_at = "       \
    "now(), "                                                                                                \
    "lease_until = null, locked_by = null, finished_at = null, error = null from p where d.id = p.id and "   \
    "d.state <> 'sending' returning d.id"

static const struct statement replay_one_statement = {
    "webhook_replay_one",
    "with p as (select id, state from webhook_deliveries where tenant_id = $1::uuid and endpoint_id = "
    "$2::uuid and "
    "id = $3::uuid and " OPEN "), u as (" REPLAYED
    ") select (select state from p) as before, (select count(*) from u) as count",
    3};
static const struct statement replay_all_statement = {
    "webhook_replay_all",
    "with p as (select id from webhook_deliveries where tenant_id = $1::uuid and endpoint_id = $2::uuid and "
    "state = "
    "'failed' and created_at >= $3::timestamptz and " OPEN
    " order by created_at limit 10000), u as (" REPLAYED ") select "
    "'failed' as before, (select count(*) from u) as count",
    3};

/* True if the endpoint exists and is enabled; else the call is answered. */
static bool is_open(struct call *call, const struct database_answer *answer) {
    if (!caller_is_elevated(call, answer->results[0])) {
        return false;
    }
    if (result_rows(answer->results[1]) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return false;
    }
    if (!result_bool(answer->results[1], 0, "enabled")) {
        call_problem(call, PROBLEM_WEBHOOK_DISABLED, NULL);
        return false;
    }
    return true;
}

static void tested(struct call *call, const struct database_answer *answer) {
    if (!is_open(call, answer)) {
        return;
    }
    const char *id = result_text(answer->results[2], 0, "id");
    scheduler_link_poke(call->gateway->scheduler, 0);
    call_respond_take(
        call, 202, memory_format("{\"ok\":true,\"delivery_id\":\"%s\",\"message_id\":\"msg_%s\"}", id, id));
}

void handle_webhook_test(struct call *call) {
    char id[UUID_TEXT_SIZE];
    text_uuid4(id);
    const char *tenant = call->parameters[0], *endpoint = call->parameters[1];
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {tenant}},
        {.statement = &endpoint_statement, .values = {tenant, endpoint}},
        {.statement = &test_statement, .values = {tenant, endpoint, id}},
    };
    call_write(call, &(struct call_effect){.queries = queries, .count = 3, .on_answer = tested});
}

static void listed(struct call *call, const struct database_answer *answer) {
    if (!caller_is_elevated(call, answer->results[0])) {
        return;
    }
    if (result_rows(answer->results[1]) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    const char *next = result_text(answer->results[2], 0, "next");
    call_respond_take(call, 200,
                      memory_format("{\"deliveries\":%s,\"next_before\":%s%s%s}",
                                    result_text(answer->results[2], 0, "deliveries"),
                                    next != NULL ? "\"" : "", next != NULL ? next : "null",
                                    next != NULL ? "\"" : ""));
}

void handle_webhook_deliveries(struct call *call) {
    const char *limit = call_query_value(call, "limit");
    const char *tenant = call->parameters[0], *endpoint = call->parameters[1];
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {tenant}},
        {.statement = &endpoint_statement, .values = {tenant, endpoint}},
        {.statement = &list_statement,
         .values = {tenant, endpoint, call_query_value(call, "status"), call_query_value(call, "type"),
                    call_query_value(call, "since"), call_query_value(call, "before"),
                    limit != NULL ? limit : PAGE_DEFAULT}},
    };
    call_read(call, queries, 3, listed);
}

static void replayed(struct call *call, const struct database_answer *answer) {
    if (!is_open(call, answer)) {
        return;
    }
    const struct database_result *result = answer->results[2];
    const char *before = result_text(result, 0, "before");
    if (before == NULL) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
    } else if (strcmp(before, "sending") == 0) {
        call_problem(call, PROBLEM_WEBHOOK_SENDING, NULL);
    } else {
        scheduler_link_poke(call->gateway->scheduler, 0);
        call_respond_take(
            call, 202,
            memory_format("{\"ok\":true,\"replayed\":%lld}", (long long)result_number(result, 0, "count")));
    }
}

/* A disabled endpoint's deliveries are left as they are: enabling comes first. */
void handle_webhook_replay(struct call *call) {
    const char *delivery = json_text_member(call->body, "delivery_id");
    const char *since = json_text_member(call->body, "since");
    const char *tenant = call->parameters[0], *endpoint = call->parameters[1];
    if ((delivery == NULL) == (since == NULL)) {
        call_problem(call, PROBLEM_BAD_REQUEST, "Name either delivery_id or since.");
        return;
    }
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {tenant}},
        {.statement = &endpoint_statement, .values = {tenant, endpoint}},
        {.statement = delivery != NULL ? &replay_one_statement : &replay_all_statement,
         .values = {tenant, endpoint, delivery != NULL ? delivery : since}},
    };
    call_write(call, &(struct call_effect){.queries = queries, .count = 3, .on_answer = replayed});
}
