/* SPDX-License-Identifier: MIT
 * What admins of the service change about portals: everybody's schemas and which of their versions are
 * offered
 * (/v1/admin/portal-schemas), and the services outside that do portals' jobs (/v1/admin/compute-backends).
 * The functions of 0060_portal_schema_admin.sql and 0061_compute_polling.sql check who asks. */
#include "gateway/json.h"
#include "gateway/module.h"
#include "gateway/portal.h"
#include "gateway/replies.h"
#include "http/outbound.h"
#include "lib/memory.h"
#include <stdlib.h>

static const struct statement list_schemas = {
    "admin_portal_schemas", "select jsonb_build_object('schemas', admin_portal_schemas($1))::text as answer",
    1};
static const struct statement add_schema = {
    "admin_portal_schema_add", "select admin_portal_schema_add($1, $2::jsonb, $3::boolean)::text as answer",
    3};
static const struct statement offer_schema = {
    "admin_portal_schema_offer", "select admin_portal_schema_offer($1::uuid, $2::boolean)::text as answer",
    2};

static const struct statement list_backends = {
    "admin_compute_backends",
    "select jsonb_build_object('backends', admin_compute_backends())::text as answer", 0};
static const struct statement set_backend = {"admin_compute_backend_set",
                                             "select admin_compute_backend_set($1, $2::jsonb)", 2};

static const struct call_refusal refusals[] = {
    {.sqlstate = "42501", .problem = PROBLEM_FORBIDDEN},
    {.sqlstate = "23514",
     .problem = PROBLEM_PAYLOAD_INVALID,
     .detail = "The table's own rules refuse this name or value."},
    {.sqlstate = NULL},
};

static void handle_schemas(struct call *call) {
    const struct query query = {.statement = &list_schemas, .values = {call_query_value(call, "name")}};
    call_read(call, &query, 1, reply_answer);
}

static void handle_schema_add(struct call *call) {
    const json_t *definition = json_object_get(call->body, "schema_definition");
    bool offered = !json_is_false(json_object_get(call->body, "active"));

    if (!portal_definition_check(call, definition)) {
        return;
    }
    char *text = json_encode(definition);
    const struct query query = {
        .statement = &add_schema,
        .values = {json_text_member(call->body, "name"), text, offered ? "true" : "false"}};
    call_write_one(call, &query, reply_answer, refusals);
    free(text);
}

static void handle_schema_offer(struct call *call) {
    bool offered = json_is_true(json_object_get(call->body, "active"));
    const struct query query = {.statement = &offer_schema,
                                .values = {call->parameters[0], offered ? "true" : "false"}};
    call_write_one(call, &query, reply_answer, refusals);
}

/* ---- services outside ---- */

static void handle_backends(struct call *call) {
    const struct query query = {.statement = &list_backends};
    call_read(call, &query, 1, reply_answer);
}

/* False when the call is answered: nobody is sent where webhooks may not go. */
static bool check_url(struct call *call, const char *url) {
    const char *refusal =
        url != NULL && url[0] != '\0' ? outbound_refuses_url(call->gateway->outbound, url) : NULL;

    if (refusal != NULL) {
        char *words = memory_format("The URL is refused: %s.", refusal);
        call_problem(call, PROBLEM_WEBHOOK_URL, words);
        free(words);
    }
    return refusal == NULL;
}

/* As the function takes it: of a secret its digest; empty texts are null. */
static char *backend_wish(const json_t *body) {
    json_t *wish = json_copy((json_t *)(uintptr_t)body);
    const char *url = json_text_member(body, "url"), *secret = json_text_member(body, "webhook_secret");
    char digest[PORTAL_DIGEST_SIZE];
    char *text = NULL;

    if (url != NULL && url[0] == '\0') {
        json_object_set_new(wish, "url", json_null());
    }
    json_object_del(wish, "webhook_secret");
    if (secret == NULL || secret[0] == '\0' || portal_secret_digest(secret, digest) == 0) {
        if (secret != NULL) {
            json_object_set_new(wish, "secret_sha256", secret[0] == '\0' ? json_null() : json_string(digest));
        }
        text = json_encode(wish);
    }
    json_decref(wish);
    return text;
}

static void handle_backend_set(struct call *call) {
    if (!check_url(call, json_text_member(call->body, "url"))) {
        return;
    }
    char *wish = backend_wish(call->body);
    if (wish == NULL) {
        call_problem(call, PROBLEM_INTERNAL, NULL);
        return;
    }
    const struct query query = {.statement = &set_backend, .values = {call->parameters[0], wish}};
    call_write_one(call, &query, reply_ok, refusals);
    free(wish);
}

/* ---- what it serves ---- */

#define DAY_MS 86400000

static const struct field backend_fields[] = {
    {"enabled", FIELD_BOOLEAN, false, 0, 0, NULL, "Whether it gets new jobs; those that are out go on."},
    {"url", FIELD_TEXT, false, 0, 1000, NULL,
     "Its base URL; empty: the setting compute-url. Its key is in the setting compute-keys."},
    {"share", FIELD_INTEGER, false, 1, 1000, NULL, "Of the jobs, against the other services' shares."},
    {"webhook_secret", FIELD_TEXT, false, 0, 200, NULL,
     "Of its calls; only its digest is kept. Empty: the setting webhook-secret."},
    {"deadline_ms", FIELD_INTEGER, false, 1, 7 * (int64_t)DAY_MS, NULL, "How long it has for a job."},
    {"poll_ms", FIELD_INTEGER, false, 0, DAY_MS, NULL, "When it is first asked for a job; 0: never."},
    {"poll_max_ms", FIELD_INTEGER, false, 1, DAY_MS, NULL, "Longest time between two questions."},
};

static const struct field schemas_query[] = {
    {"name", FIELD_TEXT, false, 1, PORTAL_SCHEMA_NAME_MAX, NULL, "Versions of this schema only."},
};
static const struct field schema_fields[] = {
    {"name", FIELD_TEXT, true, 1, PORTAL_SCHEMA_NAME_MAX, NULL,
     "Name; case and punctuation don't matter when it is asked for."},
    {"schema_definition", FIELD_OBJECT, true, 0, 0, NULL, "What the portal asks for; see docs/portal.md."},
    {"active", FIELD_BOOLEAN, false, 0, 0, NULL, "Offered at once; so it is if absent."},
};
static const struct field offer_fields[] = {
    {"active", FIELD_BOOLEAN, true, 0, 0, NULL,
     "Of the active versions the newest is taken; others only where they are named."},
};

static const struct route routes[] = {
    {.method = "GET",
     .pattern = "/v1/admin/portal-schemas",
     .operation = "adminPortalSchemas",
     .flags = ROUTE_READS,
     .handler = handle_schemas,
     ROUTE_QUERY(schemas_query),
     .summary = "Everybody's portal schemas with all their versions (admins).",
     .success = 200,
     .response = "PortalSchemas",
     .problems = {PROBLEM_FORBIDDEN}},
    {.method = "POST",
     .pattern = "/v1/admin/portal-schemas",
     .operation = "adminPortalSchemaAdd",
     .flags = ROUTE_MAKES | ROUTE_BODY,
     .handler = handle_schema_add,
     ROUTE_FIELDS(schema_fields),
     .summary = "Add a version of a schema for everybody (admins). A version never changes.",
     .success = 201,
     .response = "PortalSchema",
     .problems = {PROBLEM_FORBIDDEN, PROBLEM_PAYLOAD_INVALID}},
    {.method = "PUT",
     .pattern = "/v1/admin/portal-schemas/:id",
     .operation = "adminPortalSchemaOffer",
     .flags = ROUTE_CHANGES | ROUTE_BODY,
     .handler = handle_schema_offer,
     ROUTE_FIELDS(offer_fields),
     .summary = "Offer a version of everybody's schemas, or no more (admins).",
     .success = 200,
     .response = "PortalSchema",
     .problems = {PROBLEM_FORBIDDEN, PROBLEM_NOT_FOUND}},
    {.method = "GET",
     .pattern = "/v1/admin/compute-backends",
     .operation = "adminComputeBackends",
     .flags = ROUTE_READS,
     .handler = handle_backends,
     .summary = "Services outside that do portals' jobs (admins).",
     .success = 200,
     .response = "ComputeBackends",
     .problems = {PROBLEM_FORBIDDEN}},
    {.method = "PUT",
     .pattern = "/v1/admin/compute-backends/:name",
     .operation = "adminComputeBackendSet",
     .flags = ROUTE_CHANGES | ROUTE_BODY,
     .handler = handle_backend_set,
     ROUTE_FIELDS(backend_fields),
     .summary = "Add or change a service outside (admins). What is absent stays as it is.",
     .success = 200,
     .response = "Ok",
     .problems = {PROBLEM_FORBIDDEN, PROBLEM_WEBHOOK_URL, PROBLEM_PAYLOAD_INVALID}},
};

static const struct answer_row answers[] = {
    {.name = "ComputeBackend",
     .members = "name:text type:text enabled:boolean url?:text share:integer own_secret:boolean "
                "deadline_ms:integer poll_ms:integer poll_max_ms:integer jobs_out:integer"},
    {.name = "ComputeBackends", .members = "backends:[ComputeBackend]"},
};

const struct gateway_module portal_admin_module = {
    .name = "portal_admin", MODULE_ROUTES(routes), MODULE_ANSWERS(answers)};
