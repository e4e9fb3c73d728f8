/* SPDX-License-Identifier: MIT
 * GET /v1/jobs/:id and POST /v1/jobs/:id/cancel. A job is seen as its file is. */
#include "gateway/call.h"
#include "gateway/events.h"
#include "gateway/module.h"
#include "gateway/replies.h"
#include "gateway/scheduler_link.h"
#include "gateway/statements.h"
#include "lib/memory.h"

struct job {
    char file[UUID_TEXT_SIZE];
};

/* True if the caller may; else the call is answered. */
static bool may(struct call *call, const struct database_result *result, const char *right,
                const char *other) {
    if (!caller_belongs(call, result)) {
        return false;
    }
    if (!result_bool(result, 0, right) && !result_bool(result, 0, other)) {
        call_problem(call, PROBLEM_FORBIDDEN, NULL);
        return false;
    }
    return true;
}

static void looked(struct call *call, const struct database_answer *answer) {
    if (may(call, answer->results[0], "readable", "readable")) {
        call_respond(call, 200, result_text(answer->results[0], 0, "job"));
    }
}

static void handle_job(struct call *call) {
    const struct query query = {.statement = &statements[STATEMENT_JOB], .values = {call->parameters[0]}};
    call_read(call, &query, 1, looked);
}

static void cancelled(struct call *call, const struct database_answer *answer) {
    const struct job *job = call->state;
    if (result_rows(answer->results[1]) == 0) {
        call_problem(call, PROBLEM_JOB_FINISHED, NULL);
        return;
    }
    for (size_t i = 0; i < result_rows(answer->results[1]); i++) { /* and those that it waits for */
        scheduler_link_cancel(call->gateway->scheduler, result_text(answer->results[1], i, "id"));
    }
    events_notify(call->gateway->events, job->file);
    call_respond_take(
        call, 200,
        memory_format("{\"ok\":true,\"id\":\"%s\",\"status\":\"cancelled\"}", call->parameters[0]));
}

static void looked_for_cancel(struct call *call, const struct database_answer *answer) {
    if (!may(call, answer->results[0], "own", "elevated")) {
        return;
    }
    struct job *job = call_state(call, sizeof *job, NULL);
    result_copy(job->file, sizeof job->file, answer->results[0], 0, "file");
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_JOB_LOCK_FLOW], .values = {call->parameters[0]}},
        {.statement = &statements[STATEMENT_JOB_CANCEL], .values = {call->parameters[0]}},
        {.statement = &statements[STATEMENT_FILES_REFRESH], .values = {call->parameters[0]}},
    };
    call_write(call, &(struct call_effect){.queries = queries, .count = 3, .on_answer = cancelled});
}

static void handle_job_cancel(struct call *call) {
    const struct query query = {.statement = &statements[STATEMENT_JOB], .values = {call->parameters[0]}};
    call_read(call, &query, 1, looked_for_cancel);
}

/* ---- what it serves ---- */

static const struct route routes[] = {
    {.method = "GET",
     .pattern = "/v1/jobs/:id",
     .operation = "getJob",
     .flags = ROUTE_READS,
     .handler = handle_job,
     .summary = "A job.",
     .success = 200,
     .response = "Job",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN}},
    {.method = "POST",
     .pattern = "/v1/jobs/:id/cancel",
     .operation = "cancelJob",
     .flags = ROUTE_POSTS | ROUTE_BODY | ROUTE_BODY_OPTIONAL,
     .handler = handle_job_cancel,
     .summary = "Cancel a job.",
     .success = 200,
     .response = "Cancelled",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN, PROBLEM_JOB_FINISHED}},
};

static const struct answer_row answers[] = {
    {.name = "Job",
     .members =
         "id:Uuid file_id~:Uuid tenant_id~:Uuid type:text parameters:object priority:integer "
         "provenance?:object status:JobStatus attempts:integer error_code?:text error_detail?:text "
         "stage?:text progress_done:integer progress_total:integer parent?:Uuid generation:integer ordered:boolean "
         "run_after:Time created_at:Time started_at?:Time finished_at?:Time"},
    {.name = "Cancelled", .members = "ok:true id:Uuid status:text"},
};

const struct gateway_module jobs_module = {.name = "jobs", MODULE_ROUTES(routes), MODULE_ANSWERS(answers)};
