/* SPDX-License-Identifier: MIT
 * Webhook endpoints of a tenant. A secret is made here, shown once, and never read again by this process: the
 * database lets it write that column and not read it. Only an answer to a request
 * with an Idempotency-Key keeps it, for a day and for the same caller. */
#include "gateway/webhooks.h"

#include "gateway/json.h"
#include "gateway/module.h"
#include "gateway/replies.h"
#include "gateway/statements.h"
#include "http/outbound.h"
#include "lib/memory.h"
#include <stdlib.h>
#include <string.h>

#define TYPES_MAX 16
#define TYPES_TEXT_MAX 512
#define SECRET_BYTES 33 /* no padding in base64 */
#define SECRET_TEXT_MAX 64

#define ENDPOINT_JSON                                                                                        \
    "json_build_object('id', e.id, 'tenant_id', e.tenant_id, 'url', e.url, 'description', e.description, "   \
    "'event_types', to_json(e.event_types), 'concurrency', e.concurrency, 'enabled', e.enabled, "            \
    "'disabled_reason', e.disabled_reason, 'failures', e.failures, 'failing_since', "                        \
    "filemill_time(e.failing_since), 'resume_at', filemill_time(e.resume_at), 'last_success_at', "           \
    "filemill_time(e.last_success_at), 'last_failure_at', filemill_time(e.last_failure_at), "                \
    "'old_secret_until', filemill_time(case when e.previous_secret_until > now() then "                      \
    "e.previous_secret_until end), 'created_at', filemill_time(e.created_at), 'updated_at', "                \
    "filemill_time(e.updated_at))"

/* What may be told; webhook.test goes to whoever asks for it. */
static const char *const event_types[] = {"file.ready", "file.failed", "file.deleted",
                                          "job.done",   "job.failed",  "job.cancelled"};

/* Of two that race for a tenant's last place one waits for the other. */
static const struct statement lock_statement = {
    "webhook_lock", "select pg_advisory_xact_lock(hashtextextended('webhooks ' || $1, 0))", 1};
static const struct statement insert_statement = {
    "webhook_insert",
    "insert into webhook_endpoints as e (id, tenant_id, url, description, event_types, concurrency, secret) "
    "select $1::uuid, $2::uuid, $3, coalesce($4, ''), coalesce($5::text[], '{}'), coalesce($6::smallint, 4), "
    "$7 where filemill_elevated(filemill_role($2::uuid)) and (select count(*) from webhook_endpoints where "
    "tenant_id = $2::uuid) < $8::bigint returning " ENDPOINT_JSON "::text as answer",
    8};
static const struct statement list_statement = {
    "webhook_list",
    "select json_build_object('webhooks', coalesce(json_agg(" ENDPOINT_JSON
    " order by e.created_at, e.id), '[]'))::text as answer from (select * from (select id, tenant_id, url, "
    "description, event_types, concurrency, enabled, disabled_reason, previous_secret_until, failures, "
    "failing_since, resume_at, last_success_at, last_failure_at, created_at, updated_at from "
    "webhook_endpoints where tenant_id = $1::uuid) a order by created_at, id limit 1000) e",
    1};
static const struct statement find_statement = {
    "webhook_find",
    "select " ENDPOINT_JSON
    "::text as answer from webhook_endpoints e where e.tenant_id = $1::uuid and e.id = $2::uuid",
    2};
/* Enabling starts with a clean slate. */
static const struct statement change_statement = {
    "webhook_change",
    "update webhook_endpoints e set url = coalesce($3, e.url), description = coalesce($4, e.description), "
    "event_types = coalesce($5::text[], e.event_types), concurrency = coalesce($6::smallint, e.concurrency), "
    "enabled = coalesce($7::boolean, e.enabled), disabled_reason = case when $7::boolean is null then "
    "e.disabled_reason when $7::boolean then null else 'user' end, failures = case when $7::boolean then 0 "
    "else e.failures end, failing_since = case when $7::boolean then null else e.failing_since end, "
    "resume_at = case when $7::boolean then null else e.resume_at end, updated_at = now() where e.tenant_id "
    "= $1::uuid and e.id = "
    "$2::uuid returning " ENDPOINT_JSON "::text as answer",
    7};
static const struct statement rotate_statement = {
    "webhook_rotate",
    "update webhook_endpoints e set secret = $3, updated_at = now() where e.tenant_id = $1::uuid and e.id = "
    "$2::uuid returning " ENDPOINT_JSON "::text as answer",
    3};
static const struct statement delete_statement = {
    "webhook_delete",
    "delete from webhook_endpoints where tenant_id = $1::uuid and id = $2::uuid returning id", 2};

/* --- input --- */

/* "whsec_" and 33 random bytes in base64. */
static void make_secret(char secret[SECRET_TEXT_MAX]) {
    unsigned char bytes[SECRET_BYTES];
    char base64[SECRET_TEXT_MAX];
    text_random(bytes, sizeof bytes);
    (void)text_base64url_encode(base64, sizeof base64, bytes, sizeof bytes);
    for (char *at = base64; *at != '\0'; at++) {
        *at = *at == '-' ? '+' : *at == '_' ? '/' : *at;
    }
    (void)text_format(secret, SECRET_TEXT_MAX, "whsec_%s", base64);
}

static bool is_event_type(const char *text) {
    for (size_t i = 0; text != NULL && i < sizeof event_types / sizeof event_types[0]; i++) {
        if (strcmp(event_types[i], text) == 0) {
            return true;
        }
    }
    return false;
}

/* The list as an SQL array: "{file.ready,job.done}". False and an answer where one is not known. */
static bool take_types(struct call *call, const json_t *list, char types[TYPES_TEXT_MAX]) {
    size_t used = 1;
    (void)text_copy(types, TYPES_TEXT_MAX, "{");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *type = json_string_value(json_array_get(list, i));
        if (!is_event_type(type)) {
            call_refuse_field(call, "event_types", "There is no such event type");
            return false;
        }
        (void)text_format(types + used, TYPES_TEXT_MAX - used, "%s%s", i > 0 ? "," : "", type);
        used += strlen(types + used);
    }
    return text_format(types + used, TYPES_TEXT_MAX - used, "}") == 0;
}

struct input {
    char types[TYPES_TEXT_MAX];
    char concurrency[8];
    const char *url, *description, *type_list, *concurrent, *enabled;
};

/* What create and change have in common; false when the call is answered. */
static bool take_input(struct call *call, struct input *input) {
    const json_t *types = json_object_get(call->body, "event_types");
    const json_t *concurrency = json_object_get(call->body, "concurrency");
    const json_t *enabled = json_object_get(call->body, "enabled");
    input->url = json_text_member(call->body, "url");
    input->description = json_text_member(call->body, "description");
    const char *refusal =
        input->url != NULL ? outbound_refuses_url(call->gateway->outbound, input->url) : NULL;
    if (refusal != NULL) {
        char *words = memory_format("The URL is refused: %s.", refusal);
        call_problem(call, PROBLEM_WEBHOOK_URL, words);
        free(words);
        return false;
    }
    if (types != NULL && !take_types(call, types, input->types)) {
        return false;
    }
    input->type_list = types != NULL ? input->types : NULL;
    if (concurrency != NULL) {
        (void)text_format(input->concurrency, sizeof input->concurrency, "%d",
                          (int)json_integer_value(concurrency));
        input->concurrent = input->concurrency;
    }
    input->enabled = enabled == NULL ? NULL : json_is_true(enabled) ? "true" : "false";
    return true;
}

/* --- endpoints --- */

struct fresh {
    char secret[SECRET_TEXT_MAX];
};

/* {"id":…} becomes {"id":…,"secret":"whsec_…"}. */
static void answer_with_secret(struct call *call, const struct database_answer *answer) {
    const struct fresh *fresh = call->state;
    const char *endpoint = result_text(reply_result(call, answer), 0, "answer");
    size_t length = strlen(endpoint);
    call_respond_take(call, call->route->success,
                      memory_format("%.*s,\"secret\":\"%s\"}", (int)(length - 1), endpoint, fresh->secret));
}

static void created(struct call *call, const struct database_answer *answer) {
    if (!caller_is_elevated(call, answer->results[0])) {
        return;
    }
    if (result_rows(answer->results[2]) == 0) {
        call_problem(call, PROBLEM_WEBHOOK_LIMIT, NULL);
        return;
    }
    answer_with_secret(call, answer);
}

static void handle_create(struct call *call) {
    struct input input = {0};
    char id[UUID_TEXT_SIZE], most[24];
    if (!take_input(call, &input)) {
        return;
    }
    struct fresh *fresh = call_state(call, sizeof *fresh, NULL);
    make_secret(fresh->secret);
    text_uuid4(id);
    (void)text_format(most, sizeof most, "%lld", (long long)call->gateway->settings.webhook_endpoints);
    const char *tenant = call->parameters[0];
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {tenant}},
        {.statement = &lock_statement, .values = {tenant}},
        {.statement = &insert_statement,
         .values = {id, tenant, input.url, input.description, input.type_list, input.concurrent,
                    fresh->secret, most}},
    };
    call_write(call, &(struct call_effect){.queries = queries, .count = 3, .on_answer = created});
}

static void shown(struct call *call, const struct database_answer *answer) {
    if (caller_is_elevated(call, answer->results[0])) {
        reply_answer(call, answer);
    }
}

static void handle_list(struct call *call) {
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {call->parameters[0]}},
        {.statement = &list_statement, .values = {call->parameters[0]}},
    };
    call_read(call, queries, 2, shown);
}

static void handle_find(struct call *call) {
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {call->parameters[0]}},
        {.statement = &find_statement, .values = {call->parameters[0], call->parameters[1]}},
    };
    call_read(call, queries, 2, shown);
}

static void handle_change(struct call *call) {
    struct input input = {0};
    if (!take_input(call, &input)) {
        return;
    }
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {call->parameters[0]}},
        {.statement = &change_statement,
         .values = {call->parameters[0], call->parameters[1], input.url, input.description, input.type_list,
                    input.concurrent, input.enabled}},
    };
    call_write(call, &(struct call_effect){.queries = queries, .count = 2, .on_answer = shown});
}

static void rotated(struct call *call, const struct database_answer *answer) {
    if (!caller_is_elevated(call, answer->results[0])) {
        return;
    }
    if (result_rows(answer->results[1]) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    answer_with_secret(call, answer);
}

static void handle_rotate(struct call *call) {
    struct fresh *fresh = call_state(call, sizeof *fresh, NULL);
    make_secret(fresh->secret);
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {call->parameters[0]}},
        {.statement = &rotate_statement, .values = {call->parameters[0], call->parameters[1], fresh->secret}},
    };
    call_write(call, &(struct call_effect){.queries = queries, .count = 2, .on_answer = rotated});
}

static void deleted(struct call *call, const struct database_answer *answer) {
    if (caller_is_elevated(call, answer->results[0])) {
        reply_ok_if_found(call, answer);
    }
}

static void handle_delete(struct call *call) {
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {call->parameters[0]}},
        {.statement = &delete_statement, .values = {call->parameters[0], call->parameters[1]}},
    };
    call_write(call, &(struct call_effect){.queries = queries, .count = 2, .on_answer = deleted});
}

/* ---- what it serves ---- */

#define DESCRIPTION_FIELD                                                                                    \
    { "description", FIELD_TEXT, false, 0, 200, NULL, "What it is for, in words." }
#define TYPES_FIELD                                                                                          \
    { "event_types", FIELD_LIST, false, 0, TYPES_MAX, NULL, "Event types to send; none of them: all." }
#define CONCURRENCY_FIELD                                                                                    \
    { "concurrency", FIELD_INTEGER, false, 1, 32, NULL, "Requests to it at a time; 4 if absent." }

static const struct field create_fields[] = {
    {"url", FIELD_TEXT, true, 1, OUTBOUND_URL_MAX, NULL, "Where to POST events: an https URL."},
    DESCRIPTION_FIELD,
    TYPES_FIELD,
    CONCURRENCY_FIELD,
};
static const struct field change_fields[] = {
    {"url", FIELD_TEXT, false, 1, OUTBOUND_URL_MAX, NULL, "Where to POST events: an https URL."},
    DESCRIPTION_FIELD,
    TYPES_FIELD,
    CONCURRENCY_FIELD,
    {"enabled", FIELD_BOOLEAN, false, 0, 0, NULL, "Whether events are sent; true forgets past failures."},
};
static const struct field replay_fields[] = {
    {"delivery_id", FIELD_UUID, false, 0, 0, NULL, "Send this one again, whatever became of it."},
    {"since", FIELD_TIME, false, 0, 0, NULL,
     "Send all again that were made since and failed; 10 000 at most."},
};
static const struct field deliveries_query[] = {
    {"status", FIELD_CHOICE, false, 0, 0, "pending|sending|delivered|failed", "Only of this state."},
    {"type", FIELD_TEXT, false, 1, 64, NULL, "Only of this event type."},
    {"since", FIELD_TIME, false, 0, 0, NULL, "Only those made since."},
    {"before", FIELD_UUID, false, 0, 0, NULL, "Those older than this delivery: the next page."},
    {"limit", FIELD_INTEGER, false, 1, 100, NULL, "Most per page; 50 if absent."},
};

#define PROBLEMS_OF_ALL PROBLEM_NOT_FOUND, PROBLEM_INSUFFICIENT_ROLE

static const struct route routes[] = {
    {.method = "POST",
     .pattern = "/v1/tenants/:id/webhooks",
     .operation = "createWebhook",
     .flags = ROUTE_MAKES | ROUTE_BODY,
     .handler = handle_create,
     ROUTE_FIELDS(create_fields),
     .summary = "Make a webhook endpoint (owner, admin, internal). Its secret is shown this once.",
     .success = 201,
     .response = "WebhookWithSecret",
     .problems = {PROBLEMS_OF_ALL, PROBLEM_WEBHOOK_URL, PROBLEM_WEBHOOK_LIMIT}},
    {.method = "GET",
     .pattern = "/v1/tenants/:id/webhooks",
     .operation = "listWebhooks",
     .flags = ROUTE_READS,
     .handler = handle_list,
     .summary = "The tenant's webhook endpoints, with how they fare.",
     .success = 200,
     .response = "Webhooks",
     .problems = {PROBLEMS_OF_ALL}},
    {.method = "GET",
     .pattern = "/v1/tenants/:id/webhooks/:webhook_id",
     .operation = "getWebhook",
     .flags = ROUTE_READS,
     .handler = handle_find,
     .summary = "A webhook endpoint.",
     .success = 200,
     .response = "Webhook",
     .problems = {PROBLEMS_OF_ALL}},
    {.method = "PATCH",
     .pattern = "/v1/tenants/:id/webhooks/:webhook_id",
     .operation = "changeWebhook",
     .flags = ROUTE_CHANGES | ROUTE_BODY,
     .handler = handle_change,
     ROUTE_FIELDS(change_fields),
     .summary = "Change, disable or enable an endpoint.",
     .success = 200,
     .response = "Webhook",
     .problems = {PROBLEMS_OF_ALL, PROBLEM_WEBHOOK_URL}},
    {.method = "DELETE",
     .pattern = "/v1/tenants/:id/webhooks/:webhook_id",
     .operation = "deleteWebhook",
     .flags = ROUTE_CHANGES,
     .handler = handle_delete,
     .summary = "Delete an endpoint, its deliveries and its log.",
     .success = 200,
     .response = "Ok",
     .problems = {PROBLEMS_OF_ALL}},
    {.method = "POST",
     .pattern = "/v1/tenants/:id/webhooks/:webhook_id/rotate",
     .operation = "rotateWebhookSecret",
     .flags = ROUTE_POSTS | ROUTE_BODY | ROUTE_BODY_OPTIONAL,
     .handler = handle_rotate,
     .summary = "A new secret. The old one signs beside it for 24 hours.",
     .success = 200,
     .response = "WebhookWithSecret",
     .problems = {PROBLEMS_OF_ALL}},
    {.method = "POST",
     .pattern = "/v1/tenants/:id/webhooks/:webhook_id/test",
     .operation = "testWebhook",
     .flags = ROUTE_MAKES | ROUTE_BODY | ROUTE_BODY_OPTIONAL,
     .handler = handle_webhook_test,
     .summary = "Send a webhook.test event.",
     .success = 202,
     .response = "WebhookSent",
     .problems = {PROBLEMS_OF_ALL, PROBLEM_WEBHOOK_DISABLED}},
    {.method = "GET",
     .pattern = "/v1/tenants/:id/webhooks/:webhook_id/deliveries",
     .operation = "listWebhookDeliveries",
     .flags = ROUTE_READS,
     .handler = handle_webhook_deliveries,
     ROUTE_QUERY(deliveries_query),
     .summary = "The log of an endpoint's deliveries, newest first.",
     .success = 200,
     .response = "WebhookDeliveries",
     .problems = {PROBLEMS_OF_ALL}},
    {.method = "POST",
     .pattern = "/v1/tenants/:id/webhooks/:webhook_id/replay",
     .operation = "replayWebhook",
     .flags = ROUTE_MAKES | ROUTE_BODY,
     .handler = handle_webhook_replay,
     ROUTE_FIELDS(replay_fields),
     .summary = "Send one delivery again, or all that failed since a time, under their old ids.",
     .success = 202,
     .response = "WebhookReplayed",
     .problems = {PROBLEMS_OF_ALL, PROBLEM_WEBHOOK_DISABLED, PROBLEM_WEBHOOK_SENDING}},
};

#define WEBHOOK_MEMBERS                                                                                      \
    "id:Uuid tenant_id:Uuid url:uri description:text event_types:[text] concurrency:integer "                \
    "enabled:boolean "                                                                                       \
    "disabled_reason?:text failures:integer failing_since?:Time resume_at?:Time last_success_at?:Time "      \
    "last_failure_at?:Time old_secret_until?:Time created_at:Time updated_at:Time"

static const struct answer_row answers[] = {
    {.name = "Webhook", .members = WEBHOOK_MEMBERS},
    {.name = "WebhookWithSecret", .members = WEBHOOK_MEMBERS " secret:text"},
    {.name = "Webhooks", .members = "webhooks:[Webhook]"},
    {.name = "WebhookSent", .members = "ok:true delivery_id:Uuid message_id:text"},
    {.name = "WebhookReplayed", .members = "ok:true replayed:integer"},
    {.name = "WebhookState", .choices = "pending|sending|delivered|failed"},
    {.name = "WebhookDelivery",
     .members = "id:Uuid message_id:text type:text sequence:integer status:WebhookState attempts:integer "
                "response_status?:integer error?:text latency_ms?:integer response_excerpt?:text "
                "history:[object] payload:object next_attempt_at?:Time created_at:Time finished_at?:Time"},
    {.name = "WebhookDeliveries", .members = "deliveries:[WebhookDelivery] next_before?:Uuid"},
};

const struct gateway_module webhooks_module = {
    .name = "webhooks", MODULE_ROUTES(routes), MODULE_ANSWERS(answers)};
