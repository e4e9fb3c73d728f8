/* SPDX-License-Identifier: MIT
 * GET and POST /v1/portal-schemas. Everybody's schemas come with the database and from the service's admins
 * (portal_admin.c); a tenant's owners and admins add versions of their own, which begin after those. A
 * version never changes. */
#include "gateway/json.h"
#include "gateway/portal.h"
#include "gateway/replies.h"
#include "gateway/statements.h"
#include <stdlib.h>

static const struct statement list_schemas = {
    "portal_list_schemas",
    "select json_build_object('schemas', coalesce(jsonb_agg(portal_schema_json(x.s) order by (x.s).name, "
    "(x.s).version, (x.s).id), '[]'))::text as answer from (select s from portal_schemas s where ($1::uuid "
    "is null or tenant_id is null or tenant_id = $1::uuid) and ($2::text is null or portal_slug(name) = "
    "portal_slug($2)) order by name, version, id limit 1000) x",
    2};

/* One writer of a tenant's schemas at a time. */
static const struct statement lock_schemas = {
    "portal_lock_schemas", "select pg_advisory_xact_lock(hashtextextended('portal_schemas' || $1, 0))", 1};
static const struct statement add_schema = {
    "portal_add_schema",
    "insert into portal_schemas as s (tenant_id, name, version, schema_definition, created_by) "
    "select $1::uuid, $2, coalesce((select max(version) from portal_schemas where portal_slug(name) = "
    "portal_slug($2) and (tenant_id is null or tenant_id = $1::uuid)), 0) + 1, $3::jsonb, filemill_user() "
    "where filemill_role($1::uuid) in ('owner', 'admin') returning portal_schema_json(s)::text as answer",
    3};

void handle_portal_schemas(struct call *call) {
    const struct query query = {
        .statement = &list_schemas,
        .values = {call_query_value(call, "tenant_id"), call_query_value(call, "name")}};
    call_read(call, &query, 1, reply_answer);
}

static void free_text(void *state) {
    free(*(char **)state);
}

static void added(struct call *call, const struct database_answer *answer) {
    if (caller_manages(call, answer->results[0])) {
        reply_answer(call, answer);
    }
}

static const struct call_refusal refusals[] = {{.sqlstate = "23514",
                                                .problem = PROBLEM_PAYLOAD_INVALID,
                                                .detail = "A schema's name needs a letter or a digit."},
                                               {.sqlstate = NULL}};

void handle_portal_schema_add(struct call *call) {
    const char *tenant = json_text_member(call->body, "tenant_id");
    const json_t *definition = json_object_get(call->body, "schema_definition");
    if (!portal_definition_check(call, definition)) {
        return;
    }
    char **text = call_state(call, sizeof *text, free_text);
    *text = json_encode(definition);
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {tenant}},
        {.statement = &lock_schemas, .values = {tenant}},
        {.statement = &add_schema, .values = {tenant, json_text_member(call->body, "name"), *text}},
    };
    call_write(call, &(struct call_effect){
                         .queries = queries, .count = 3, .on_answer = added, .refusals = refusals});
}
