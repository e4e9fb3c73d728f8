/* SPDX-License-Identifier: MIT
 * Tenants and their members. Who may make, change and remove whom is decided in the database
 * (0020_gateway.sql); here its refusals get their names. A tenant that the caller is no member of does not
 * exist. */
#include "gateway/call.h"
#include "gateway/json.h"
#include "gateway/module.h"
#include "gateway/replies.h"
#include "gateway/statements.h"
#include "lib/memory.h"
#include <stdlib.h>

struct member {
    char user[UUID_TEXT_SIZE];
    char role[16];
    char *answer;
};

static void clear_member(void *state) {
    struct member *member = state;
    free(member->answer);
}

/* --- tenants --- */

static void bootstrapped(struct call *call, const struct database_answer *answer) {
    const struct member *state = call->state;
    call_respond(call, 201, state->answer);
}

static void handle_tenant_bootstrap(struct call *call) {
    const char *name = json_text_member(call->body, "name");
    char tenant[UUID_TEXT_SIZE];
    struct member *state = call_state(call, sizeof *state, clear_member);
    text_uuid4(tenant);
    json_t *body = json_pack("{s:s,s:s,s:s}", "tenant_id", tenant, "name", name, "role", "owner");
    state->answer = json_encode(body);
    json_decref(body);
    const struct query query = {.statement = &statements[STATEMENT_TENANT_BOOTSTRAP],
                                .values = {tenant, name}};
    call_write(call, &(struct call_effect){
                         .queries = &query,
                         .count = 1,
                         .on_answer = bootstrapped,
                         .known_status = 201,
                         .known_body = state->answer,
                     });
}

static void handle_tenants(struct call *call) {
    const struct query query = {.statement = &statements[STATEMENT_TENANTS]};
    call_read(call, &query, 1, reply_answer);
}

/* --- members --- */

static void members_listed(struct call *call, const struct database_answer *answer) {
    if (caller_belongs(call, answer->results[0])) {
        reply_answer(call, answer);
    }
}

static void handle_members(struct call *call) {
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {call->parameters[0]}},
        {.statement = &statements[STATEMENT_MEMBERS], .values = {call->parameters[0]}},
    };
    call_read(call, queries, 2, members_listed);
}

/* FM001 and FM002 come from the guard on the table. */
static const struct call_refusal refusals[] = {
    {.sqlstate = "FM002", .problem = PROBLEM_LAST_OWNER},
    {.sqlstate = "FM001", .problem = PROBLEM_INSUFFICIENT_ROLE},
    {.sqlstate = "42501", .problem = PROBLEM_INSUFFICIENT_ROLE},
    {.sqlstate = NULL},
};

static void answer_member(struct call *call) {
    const struct member *member = call->state;
    call_respond_take(call, call->route->success,
                      memory_format("{\"tenant_id\":\"%s\",\"user_id\":\"%s\",\"role\":\"%s\"}",
                                    call->parameters[0], member->user, member->role));
}

static struct member *member_new(struct call *call, const char *user, const char *role) {
    struct member *member = call_state(call, sizeof *member, clear_member);
    (void)text_copy(member->user, sizeof member->user, user);
    (void)text_copy(member->role, sizeof member->role, role);
    fields_lower(member->user);
    return member;
}

static void added(struct call *call, const struct database_answer *answer) {
    if (!caller_manages(call, answer->results[0])) {
        return;
    }
    if (result_affected(answer->results[1]) == 0) {
        call_problem(call, PROBLEM_ALREADY_MEMBER, NULL);
        return;
    }
    answer_member(call);
}

static void handle_member_add(struct call *call) {
    const char *role = json_text_member(call->body, "role");
    const struct member *member =
        member_new(call, json_text_member(call->body, "user_id"), role != NULL ? role : "member");
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {call->parameters[0]}},
        {.statement = &statements[STATEMENT_MEMBER_ADD],
         .values = {call->parameters[0], member->user, member->role}},
    };
    call_write(call, &(struct call_effect){
                         .queries = queries, .count = 2, .on_answer = added, .refusals = refusals});
}

static void changed(struct call *call, const struct database_answer *answer) {
    if (!caller_manages(call, answer->results[0])) {
        return;
    }
    if (result_affected(answer->results[2]) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    answer_member(call);
}

static void handle_member_change(struct call *call) {
    const struct member *member = member_new(call, call->parameters[1], json_text_member(call->body, "role"));
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {call->parameters[0]}},
        {.statement = &statements[STATEMENT_OWNERS_LOCK], .values = {call->parameters[0]}},
        {.statement = &statements[STATEMENT_MEMBER_CHANGE],
         .values = {call->parameters[0], member->user, member->role}},
    };
    call_write(call, &(struct call_effect){
                         .queries = queries, .count = 3, .on_answer = changed, .refusals = refusals});
}

static void removed(struct call *call, const struct database_answer *answer) {
    if (caller_manages(call, answer->results[0])) {
        reply_ok_if_found(call, answer);
    }
}

static void handle_member_remove(struct call *call) {
    const struct member *member = member_new(call, call->parameters[1], "");
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {call->parameters[0]}},
        {.statement = &statements[STATEMENT_OWNERS_LOCK], .values = {call->parameters[0]}},
        {.statement = &statements[STATEMENT_MEMBER_REMOVE], .values = {call->parameters[0], member->user}},
    };
    call_write(call, &(struct call_effect){
                         .queries = queries, .count = 3, .on_answer = removed, .refusals = refusals});
}

/* ---- what it serves ---- */

static const struct field bootstrap_fields[] = {
    {"name", FIELD_TEXT, true, 1, 200, NULL, "Name of the new tenant."},
};
static const struct field member_add_fields[] = {
    {"user_id", FIELD_UUID, true, 0, 0, NULL, "The user, as tokens name them (sub)."},
    {"role", FIELD_CHOICE, false, 0, 0, "owner|admin|member|internal", "Role; member if absent."},
};
static const struct field member_change_fields[] = {
    {"role", FIELD_CHOICE, true, 0, 0, "owner|admin|member|internal", "The new role."},
};

static const struct route routes[] = {
    {.method = "POST",
     .pattern = "/v1/tenants/bootstrap",
     .operation = "bootstrapTenant",
     .flags = ROUTE_MAKES | ROUTE_BODY,
     .handler = handle_tenant_bootstrap,
     ROUTE_FIELDS(bootstrap_fields),
     .summary = "Make a tenant with the caller as owner.",
     .success = 201,
     .response = "Tenant"},
    {.method = "GET",
     .pattern = "/v1/tenants",
     .operation = "listTenants",
     .flags = ROUTE_READS,
     .handler = handle_tenants,
     .summary = "The caller's tenants, with the caller's role in each.",
     .success = 200,
     .response = "Tenants"},
    {.method = "GET",
     .pattern = "/v1/tenants/:id/members",
     .operation = "listMembers",
     .flags = ROUTE_READS,
     .handler = handle_members,
     .summary = "The members of a tenant.",
     .success = 200,
     .response = "Members",
     .problems = {PROBLEM_NOT_FOUND}},
    {.method = "POST",
     .pattern = "/v1/tenants/:id/members",
     .operation = "addMember",
     .flags = ROUTE_POSTS | ROUTE_BODY,
     .handler = handle_member_add,
     ROUTE_FIELDS(member_add_fields),
     .summary = "Add a member (owners and admins; owners only by owners).",
     .success = 201,
     .response = "Member",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_INSUFFICIENT_ROLE, PROBLEM_ALREADY_MEMBER}},
    {.method = "PATCH",
     .pattern = "/v1/tenants/:id/members/:user_id",
     .operation = "changeMember",
     .flags = ROUTE_CHANGES | ROUTE_BODY,
     .handler = handle_member_change,
     ROUTE_FIELDS(member_change_fields),
     .summary = "Change a member's role. Admins can't touch owners; the last owner stays.",
     .success = 200,
     .response = "Member",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_INSUFFICIENT_ROLE, PROBLEM_LAST_OWNER}},
    {.method = "DELETE",
     .pattern = "/v1/tenants/:id/members/:user_id",
     .operation = "removeMember",
     .flags = ROUTE_CHANGES,
     .handler = handle_member_remove,
     .summary = "Remove a member. Admins can't touch owners; the last owner stays.",
     .success = 200,
     .response = "Ok",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_INSUFFICIENT_ROLE, PROBLEM_LAST_OWNER}},
};

static const struct answer_row answers[] = {
    {.name = "Tenant", .members = "tenant_id:Uuid name:text role:Role"},
    {.name = "TenantRow", .members = "id:Uuid name:text role:Role created_at:Time"},
    {.name = "Tenants", .members = "tenants:[TenantRow]"},
    {.name = "Member", .members = "tenant_id:Uuid user_id:Uuid role:Role"},
    {.name = "MemberRow", .members = "user_id:Uuid role:Role created_at:Time"},
    {.name = "Members", .members = "members:[MemberRow]"},
};

const struct gateway_module tenants_module = {
    .name = "tenants", MODULE_ROUTES(routes), MODULE_ANSWERS(answers)};
