/* SPDX-License-Identifier: MIT
 * What those who run the service see and change (/v1/admin/…, of all tenants), and what owners and admins of
 * a tenant do with its jobs. Who is an admin is data (the option admins); the functions of 0046_admin.sql
 * check it, so that no forgotten check here can undo it. */
#include "gateway/call.h"
#include "gateway/events.h"
#include "gateway/json.h"
#include "gateway/module.h"
#include "gateway/portal.h"
#include "gateway/replies.h"
#include "gateway/scheduler_link.h"
#include "gateway/statements.h"
#include "lib/memory.h"
#include <stdlib.h>

#define SEARCH(function, column)                                                                             \
    "select jsonb_build_object('jobs', coalesce(jsonb_agg(s." column                                         \
    "), '[]'))::text as answer from " function                                                               \
    "($1::uuid, $2, $3, $4, $5::timestamptz, $6::uuid, coalesce($7::int, 50)) s"

/* The console asks this of everybody who signs in, to know who is an admin: a no is nothing to log. */
static const struct statement queue_statement = {
    "admin_queue", "select case when filemill_admin() then admin_queue()::text end as answer", 0};
static const struct statement schedules_statement = {
    "admin_schedules", "select jsonb_build_object('schedules', admin_schedules())::text as answer", 0};
static const struct statement search_all_statement = {
    "admin_jobs",
    "select jsonb_build_object('jobs', coalesce(jsonb_agg(s), '[]'))::text as answer from "
    "admin_jobs($1::uuid, $2, $3, $4, $5::timestamptz, $6::uuid, coalesce($7::int, 50)) s",
    7};
static const struct statement search_statement = {"tenant_jobs", SEARCH("jobs_search", "job"), 7};
static const struct statement retry_all_statement = {
    "admin_retry", "select json_build_object('ok', true, 'retried', "
    "admin_retry($1::uuid, $2::uuid, $3, $4, $5::timestamptz))::text as answer", 5};
static const struct statement retry_statement = {
    "tenant_retry", "select json_build_object('ok', true, 'retried', "
    "jobs_retry($1::uuid, $2::uuid, $3, $4, $5::timestamptz))::text as answer", 5};
static const struct statement cancel_statement = {
    "admin_cancel", "select job::text, file::text from admin_cancel(array[$1::uuid])", 1};
static const struct statement pause_statement = {"admin_pause", "select admin_pause($1, $2::boolean)", 2};
static const struct statement schedule_time_statement = {
    "admin_schedule_time",
    "select case when $2::jsonb ?| array['cron', 'time_zone', 'every_seconds'] then "
    "admin_schedule_time($1, $2::jsonb) end",
    2};
static const struct statement schedule_drop_statement = {"admin_schedule_drop",
                                                         "select 1 where admin_schedule_drop($1)", 1};
static const struct statement schedule_next_statement = {
    "admin_schedule_next",
    "select s->>'next_run' as next from jsonb_array_elements(admin_schedules()) s where s->>'name' = $1", 1};
static const struct statement schedule_statement = {
    "admin_schedule", "select admin_schedule($1, $2::boolean, $3::boolean) as found", 3};

static const char *member(const struct call *call, const char *name) {
    return call->body == NULL ? NULL : json_text_member(call->body, name);
}

/* The functions' "no": whoever is no admin is told nothing more than that. FM066: what is wrong with a time
 * (0066_cron.sql). */
static const struct call_refusal refusals[] = {
    {.sqlstate = "42501", .problem = PROBLEM_FORBIDDEN},
    {.sqlstate = "FM066", .problem = PROBLEM_BAD_SCHEDULE, .says = true},
    {.sqlstate = NULL},
};

/* --- seeing --- */

static void shown(struct call *call, const struct database_answer *answer) {
    const char *text = result_text(answer->results[0], 0, "answer");
    if (text == NULL) {
        call_problem(call, PROBLEM_FORBIDDEN, NULL);
    } else {
        call_respond(call, 200, text);
    }
}

static void handle_queue(struct call *call) {
    const struct query query = {.statement = &queue_statement};
    call_read(call, &query, 1, shown);
}

static void handle_schedules(struct call *call) {
    const struct query query = {.statement = &schedules_statement};
    call_read(call, &query, 1, reply_answer);
}

static struct query search(const struct call *call, const struct statement *statement, const char *tenant) {
    static const char *const names[] = {"type", "status", "error", "since", "before", "limit"};
    struct query query = {.statement = statement, .values = {tenant}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        query.values[i + 1] = call_query_value(call, names[i]);
    }
    return query;
}

static void handle_jobs(struct call *call) {
    const struct query query = search(call, &search_all_statement, call_query_value(call, "tenant_id"));
    call_read(call, &query, 1, reply_answer);
}

static void found_of_tenant(struct call *call, const struct database_answer *answer) {
    if (caller_is_elevated(call, answer->results[0])) {
        reply_answer(call, answer);
    }
}

static void handle_tenant_jobs(struct call *call) {
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_ROLE], .values = {call->parameters[0]}},
        search(call, &search_statement, call->parameters[0]),
    };
    call_read(call, queries, 2, found_of_tenant);
}

/* --- changing --- */

static void retried(struct call *call, const struct database_answer *answer) {
    scheduler_link_poke(call->gateway->scheduler, 1);
    reply_answer(call, answer);
}

static struct query retry(const struct call *call, const struct statement *statement, const char *tenant) {
    return (struct query){.statement = statement,
                          .values = {tenant, member(call, "job_id"), member(call, "type"),
                                     member(call, "error"), member(call, "since")}};
}

static void handle_retry(struct call *call) {
    const struct query query = retry(call, &retry_all_statement, member(call, "tenant_id"));
    portal_retry(call, &query, retried, refusals);
}

static void retry_of_tenant(struct call *call, const struct database_answer *answer) {
    if (caller_is_elevated(call, answer->results[0])) {
        const struct query query = retry(call, &retry_statement, call->parameters[0]);
        portal_retry(call, &query, retried, refusals);
    }
}

static void handle_tenant_retry(struct call *call) {
    const struct query query = {.statement = &statements[STATEMENT_ROLE], .values = {call->parameters[0]}};
    call_read(call, &query, 1, retry_of_tenant);
}

static void cancelled(struct call *call, const struct database_answer *answer) {
    const struct database_result *result = answer->results[0];
    for (size_t row = 0; row < result_rows(result); row++) {
        scheduler_link_cancel(call->gateway->scheduler, result_text(result, row, "job"));
        events_notify(call->gateway->events, result_text(result, row, "file"));
    }
    if (result_rows(result) == 0) {
        call_problem(call, PROBLEM_JOB_FINISHED, "There is no such job, or it has ended.");
    } else {
        call_respond_take(
            call, 200,
            memory_format("{\"ok\":true,\"id\":\"%s\",\"status\":\"cancelled\"}", call->parameters[0]));
    }
}

static void handle_cancel(struct call *call) {
    const struct query query = {.statement = &cancel_statement, .values = {call->parameters[0]}};
    call_write_one(call, &query, cancelled, refusals);
}

static void done(struct call *call, const struct database_answer *answer) {
    scheduler_link_poke(call->gateway->scheduler, 1);
    reply_ok(call, answer);
}

/* And resume: the path says which. */
static void handle_pause(struct call *call) {
    const char *pause = text_ends_with(call->route->pattern, "/pause") ? "true" : "false";
    const struct query query = {.statement = &pause_statement, .values = {member(call, "type"), pause}};
    call_write_one(call, &query, done, refusals);
}

static void scheduled(struct call *call, const struct database_answer *answer) {
    if (result_rows(answer->results[2]) > 0) {
        const char *next = result_text(answer->results[2], 0, "next");
        call_respond_take(call, 200, memory_format("{\"ok\":true,\"next_run\":\"%s\"}", next));
    } else {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
    }
}

static void handle_schedule_drop(struct call *call) {
    const struct query query = {.statement = &schedule_drop_statement, .values = {call->parameters[0]}};
    call_write_one(call, &query, reply_ok_if_found, refusals);
}

static void handle_schedule(struct call *call) {
    const json_t *enabled = json_object_get(call->body, "enabled");
    char *change = json_encode(call->body);
    const struct query queries[] = {
        {.statement = &schedule_time_statement, .values = {call->parameters[0], change}},
        {.statement = &schedule_statement,
         .values = {call->parameters[0],
                    json_is_true(json_object_get(call->body, "run_now")) ? "true" : "false",
                    enabled == NULL         ? NULL
                    : json_is_true(enabled) ? "true"
                                            : "false"}},
        {.statement = &schedule_next_statement, .values = {call->parameters[0]}},
    };
    call_write(call, &(struct call_effect){
                         .queries = queries, .count = 3, .on_answer = scheduled, .refusals = refusals});
    free(change);
}

/* ---- what it serves ---- */

#define JOB_STATES "queued|running|done|failed|retry|waiting|cancelled"
#define SEARCH_FIELDS                                                                                        \
    {"type", FIELD_TEXT, false, 1, 64, NULL, "Only jobs of this type."},                                     \
        {"status", FIELD_CHOICE, false, 0, 0, JOB_STATES, "Only jobs of this status."},                      \
        {"error", FIELD_TEXT, false, 1, 200, NULL, "Only jobs with this error code."},                       \
        {"since", FIELD_TIME, false, 0, 0, NULL, "Only jobs made since then."},                              \
        {"before", FIELD_UUID, false, 0, 0, NULL, "The last job of the page before."}, {                     \
        "limit", FIELD_INTEGER, false, 1, 500, NULL, "Jobs in a page; 50 if absent."                         \
    }
#define RETRY_FIELDS                                                                                         \
    {"job_id", FIELD_UUID, false, 0, 0, NULL, "Only this job."},                                             \
        {"type", FIELD_TEXT, false, 1, 64, NULL, "Only jobs of this type."},                                 \
        {"error", FIELD_TEXT, false, 1, 200, NULL, "Only jobs that failed with this code."}, {               \
        "since", FIELD_TIME, false, 0, 0, NULL, "Only jobs that failed since then."                          \
    }

static const struct field all_query[] = {
    {"tenant_id", FIELD_UUID, false, 0, 0, NULL, "Only jobs of this tenant."}, SEARCH_FIELDS};
static const struct field tenant_query[] = {SEARCH_FIELDS};
static const struct field retry_all_fields[] = {
    {"tenant_id", FIELD_UUID, false, 0, 0, NULL, "Only jobs of this tenant."}, RETRY_FIELDS};
static const struct field retry_fields[] = {RETRY_FIELDS};
static const struct field type_fields[] = {{"type", FIELD_TEXT, true, 1, 64, NULL, "The type of job."}};
static const struct field schedule_fields[] = {
    {"run_now", FIELD_BOOLEAN, false, 0, 0, NULL, "Run it as soon as a scheduler looks."},
    {"enabled", FIELD_BOOLEAN, false, 0, 0, NULL, "Switch it on or off."},
    {"cron", FIELD_TEXT, false, 1, 200, NULL, "When it runs: five fields as in cron(5), or @daily and the like."},
    {"time_zone", FIELD_TEXT, false, 1, 64, NULL, "Whose clock that is, as Europe/Berlin; UTC at first."},
    {"every_seconds", FIELD_INTEGER, false, 1, 315360000, NULL, "How often it runs, instead of cron."},
};

static const struct route routes[] = {
    {.method = "GET",
     .pattern = "/v1/admin/queue",
     .operation = "adminQueue",
     .flags = ROUTE_READS,
     .handler = handle_queue,
     .summary = "The queue by type and state, failures of a day, workers, pauses (admins).",
     .success = 200,
     .response = "AdminQueue",
     .problems = {PROBLEM_FORBIDDEN}},
    {.method = "GET",
     .pattern = "/v1/admin/jobs",
     .operation = "adminJobs",
     .flags = ROUTE_READS,
     .handler = handle_jobs,
     ROUTE_QUERY(all_query),
     .summary = "Jobs of all tenants, newest first (admins).",
     .success = 200,
     .response = "FoundJobs",
     .problems = {PROBLEM_FORBIDDEN}},
    {.method = "POST",
     .pattern = "/v1/admin/jobs/retry",
     .operation = "adminRetry",
     .flags = ROUTE_POSTS | ROUTE_BODY | ROUTE_BODY_OPTIONAL,
     .handler = handle_retry,
     ROUTE_FIELDS(retry_all_fields),
     .summary = "Queue failed jobs again, up to 1000 at a time (admins).",
     .success = 200,
     .response = "Retried",
     .problems = {PROBLEM_FORBIDDEN}},
    {.method = "POST",
     .pattern = "/v1/admin/jobs/:id/cancel",
     .operation = "adminCancel",
     .flags = ROUTE_POSTS | ROUTE_BODY | ROUTE_BODY_OPTIONAL,
     .handler = handle_cancel,
     .summary = "Cancel any job, and those that it waits for (admins).",
     .success = 200,
     .response = "Cancelled",
     .problems = {PROBLEM_FORBIDDEN, PROBLEM_JOB_FINISHED}},
    {.method = "POST",
     .pattern = "/v1/admin/pause",
     .operation = "adminPause",
     .flags = ROUTE_POSTS | ROUTE_BODY,
     .handler = handle_pause,
     ROUTE_FIELDS(type_fields),
     .summary = "Start no more jobs of a type (admins).",
     .success = 200,
     .response = "Ok",
     .problems = {PROBLEM_FORBIDDEN}},
    {.method = "POST",
     .pattern = "/v1/admin/resume",
     .operation = "adminResume",
     .flags = ROUTE_POSTS | ROUTE_BODY,
     .handler = handle_pause,
     ROUTE_FIELDS(type_fields),
     .summary = "Start them again (admins).",
     .success = 200,
     .response = "Ok",
     .problems = {PROBLEM_FORBIDDEN}},
    {.method = "GET",
     .pattern = "/v1/admin/schedules",
     .operation = "adminSchedules",
     .flags = ROUTE_READS,
     .handler = handle_schedules,
     .summary = "Work that comes round, and how it went (admins).",
     .success = 200,
     .response = "Schedules",
     .problems = {PROBLEM_FORBIDDEN}},
    {.method = "POST",
     .pattern = "/v1/admin/schedules/:name",
     .operation = "adminSchedule",
     .flags = ROUTE_POSTS | ROUTE_BODY,
     .handler = handle_schedule,
     ROUTE_FIELDS(schedule_fields),
     .summary = "Run a schedule now, switch it, or give it another time (admins).",
     .success = 200,
     .response = "Scheduled",
     .problems = {PROBLEM_FORBIDDEN, PROBLEM_NOT_FOUND, PROBLEM_BAD_SCHEDULE}},
    {.method = "DELETE",
     .pattern = "/v1/admin/schedules/:name",
     .operation = "adminScheduleDrop",
     .flags = ROUTE_CHANGES,
     .handler = handle_schedule_drop,
     .summary = "Drop a schedule that queues jobs (admins).",
     .success = 200,
     .response = "Ok",
     .problems = {PROBLEM_FORBIDDEN, PROBLEM_NOT_FOUND, PROBLEM_BAD_SCHEDULE}},
    {.method = "GET",
     .pattern = "/v1/tenants/:id/jobs",
     .operation = "tenantJobs",
     .flags = ROUTE_READS,
     .handler = handle_tenant_jobs,
     ROUTE_QUERY(tenant_query),
     .summary = "A tenant's jobs, newest first (owner, admin, internal).",
     .success = 200,
     .response = "FoundJobs",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_INSUFFICIENT_ROLE}},
    {.method = "POST",
     .pattern = "/v1/tenants/:id/jobs/retry",
     .operation = "tenantRetry",
     .flags = ROUTE_POSTS | ROUTE_BODY | ROUTE_BODY_OPTIONAL,
     .handler = handle_tenant_retry,
     ROUTE_FIELDS(retry_fields),
     .summary = "Queue a tenant's failed jobs again (owner, admin, internal).",
     .success = 200,
     .response = "Retried",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_INSUFFICIENT_ROLE}},
};

static const struct answer_row answers[] = {
    {.name = "AdminQueue",
     .members = "queue:[QueueRow] failures:[FailureRow] workers:[LeaseRow] paused:[text]"},
    {.name = "QueueRow", .members = "type:text status:JobStatus jobs:integer oldest_seconds?:integer"},
    {.name = "FailureRow", .members = "type:text error_code?:text jobs:integer last:Time"},
    {.name = "LeaseRow", .members = "locked_by?:text running:integer since?:Time"},
    {.name = "FoundJob",
     .members =
         "id:Uuid type:text status:JobStatus attempts:integer priority:integer error_code?:text "
         "error_detail?:text tenant_id:Uuid tenant:text file_id:Uuid filename?:text locked_by?:text "
         "progress_done:integer progress_total:integer run_after:Time created_at:Time started_at?:Time "
         "finished_at?:Time"},
    {.name = "FoundJobs", .members = "jobs:[FoundJob]"},
    {.name = "Retried", .members = "ok:true retried:integer"},
    {.name = "ScheduleRow",
     .members = "name:text every_seconds?:integer cron?:text time_zone:text function?:text "
                "job?:object enabled:boolean next_run:Time last_run?:Time last_ms?:integer last_result?:text "
                "failures:integer"},
    {.name = "Scheduled", .members = "ok:true next_run:Time"},
    {.name = "Schedules", .members = "schedules:[ScheduleRow]"},
};

const struct gateway_module admin_module = {.name = "admin", MODULE_ROUTES(routes), MODULE_ANSWERS(answers)};
