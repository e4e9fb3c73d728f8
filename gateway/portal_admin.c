/* SPDX-License-Identifier: MIT
 * What admins of the service change about portals (/v1/admin/portal-schemas): everybody's schemas, and which
 * of their versions are offered. The functions of 0060_portal_schema_admin.sql check who asks. */
#include "gateway/json.h"
#include "gateway/module.h"
#include "gateway/portal.h"
#include <stdlib.h>
#include <string.h>

static const struct statement list_schemas = {
    "admin_portal_schemas", "select jsonb_build_object('schemas', admin_portal_schemas($1))::text as answer",
    1};
static const struct statement add_schema = {
    "admin_portal_schema_add", "select admin_portal_schema_add($1, $2::jsonb, $3::boolean)::text as answer",
    3};
static const struct statement offer_schema = {
    "admin_portal_schema_offer", "select admin_portal_schema_offer($1::uuid, $2::boolean)::text as answer",
    2};

static bool refused(struct call *call, const struct database_answer *answer) {
    if (strcmp(answer->sqlstate, "42501") == 0) {
        call_problem(call, PROBLEM_FORBIDDEN, NULL);
    } else if (strcmp(answer->sqlstate, "23514") == 0) {
        call_problem(call, PROBLEM_PAYLOAD_INVALID, "A schema's name needs a letter or a digit.");
    } else {
        return false;
    }
    return true;
}

static void write_one(struct call *call, const struct query *query, call_query_fn *done) {
    call_write(call,
               &(struct call_effect){.queries = query, .count = 1, .on_answer = done, .on_refusal = refused});
}

static void shown(struct call *call, const struct database_answer *answer) {
    const char *text = result_text(answer->results[0], 0, "answer");

    if (text != NULL) {
        call_respond(call, 200, text);
    } else {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
    }
}

static void added(struct call *call, const struct database_answer *answer) {
    call_respond(call, 201, result_text(answer->results[0], 0, "answer"));
}

static void handle_schemas(struct call *call) {
    const struct query query = {.statement = &list_schemas, .values = {call_query_value(call, "name")}};
    call_read(call, &query, 1, shown);
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
    write_one(call, &query, added);
    free(text);
}

static void handle_schema_offer(struct call *call) {
    bool offered = json_is_true(json_object_get(call->body, "active"));
    const struct query query = {.statement = &offer_schema,
                                .values = {call->parameters[0], offered ? "true" : "false"}};
    write_one(call, &query, shown);
}

/* ---- what it serves ---- */

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
};

const struct gateway_module portal_admin_module = {.name = "portal_admin", MODULE_ROUTES(routes)};
