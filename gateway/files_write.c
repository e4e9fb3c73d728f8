/* SPDX-License-Identifier: MIT
 * DELETE /v1/files/:id and POST /v1/internal/files/:id/reprocess. Both lock the file first, so that its
 * events come in the order of the commits. */
#include "gateway/classify.h"
#include "gateway/events.h"
#include "gateway/files.h"
#include "gateway/handlers.h"
#include "gateway/json.h"
#include "gateway/plan.h"
#include "gateway/scheduler_link.h"
#include "gateway/statements.h"
#include "lib/memory.h"
#include <string.h>

/* Jobs that were running elsewhere end now; their results would be refused anyway. */
static void cancel_everywhere(struct call *call, const struct database_result *cancelled) {
    for (size_t i = 0; i < result_rows(cancelled); i++) {
        scheduler_link_cancel(call->gateway->scheduler, result_text(cancelled, i, "id"));
    }
}

static void deleted(struct call *call, const struct database_answer *answer) {
    struct file_view *file = call->state;
    if (result_rows(answer->results[2]) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    cancel_everywhere(call, answer->results[1]);
    events_notify(call->gateway->events, file->id);
    call_respond_take(call, 200,
                      memory_format("{\"ok\":true,\"file_id\":\"%s\",\"status\":\"deleted\"}", file->id));
}

static void delete_file(struct call *call, struct file_view *file) {
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_FILE_LOCK_FLOW], .values = {file->id}},
        {.statement = &statements[STATEMENT_JOBS_CANCEL], .values = {file->id}},
        {.statement = &statements[STATEMENT_FILE_DELETE], .values = {file->id}},
        {.statement = &statements[STATEMENT_FLOW_REFRESH], .values = {file->id}},
    };
    call_write(call, &(struct call_effect){.queries = queries, .count = 4, .on_answer = deleted});
}

void handle_file_delete(struct call *call) {
    file_look(call, call->parameters[0], FILE_ACCESS_CHANGE, delete_file);
}

static void reprocessed(struct call *call, const struct database_answer *answer) {
    struct file_view *file = call->state;
    const struct database_result *result = answer->results[2];
    if (result_rows(result) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    cancel_everywhere(call, answer->results[1]);
    scheduler_link_poke(call->gateway->scheduler, PLAN_MAX_JOBS);
    events_notify(call->gateway->events, file->id);
    call_respond_take(call, 200, memory_format("{\"ok\":true,\"jobs\":%s}", result_text(result, 0, "jobs")));
}

static const struct statement classified_statement = {
    "reprocess_classified",
    "select (exists (select from file_derivatives where file_id = f.id and kind = 'classification') or "
    "exists "
    "(select from jobs where file_id = f.id and type = 'classify')) as classified, (select labels::text from "
    "tenant_labels l where l.tenant_id = f.tenant_id) as labels from files f where f.id = $1::uuid",
    1};
/* What was answered stays so; what was not is answered by the new job. */
static const struct statement reclassify_statement = {
    "reprocess_classify",
    "update classify_files c set job_id = n.id from (select j.id from jobs j join files f on f.id = "
    "j.file_id where f.id = $1::uuid and j.type = 'classify' and j.generation = f.generation limit 1) n "
    "where c.file_id = $1::uuid and not exists (select from jobs o where o.id = c.job_id and o.status = "
    "'done')",
    1};

static bool plan_again(struct call *call, const struct database_answer *answer, struct file_plan *plan) {
    const struct file_view *file = call->state;
    const struct settings *settings = &call->gateway->settings;
    const char *media_type = file->detected_mime[0] != '\0' ? file->detected_mime : file->mime;
    const char *text = result_text(answer->results[1], 0, "labels");
    bool classified = result_bool(answer->results[1], 0, "classified") && classify_takes(media_type);
    json_t *rows = json_loads(result_text(answer->results[0], 0, "plan"), 0, NULL);
    file_plan_make(plan, rows, media_type, settings);
    json_decref(rows);
    if (classified) {
        json_t *labels = classify_read_labels(text);
        classify_plan(plan, media_type, labels, settings);
        json_decref(labels);
    }
    return classified;
}

static void planned(struct call *call, const struct database_answer *answer) {
    struct file_view *file = call->state;
    struct file_plan plan;
    bool classified = plan_again(call, answer, &plan);
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_FILE_LOCK_FLOW], .values = {file->id}},
        {.statement = &statements[STATEMENT_JOBS_CANCEL], .values = {file->id}},
        {.statement = &statements[STATEMENT_FILE_REPROCESS],
         .values = {file->id, plan.jobs, plan.followers, call->trace}},
        {.statement = &statements[STATEMENT_FLOW_REFRESH], .values = {file->id}},
        {.statement = &reclassify_statement, .values = {file->id}},
    };
    call_write(call, &(struct call_effect){
                         .queries = queries, .count = classified ? 5 : 4, .on_answer = reprocessed});
    file_plan_clear(&plan);
}

static void reprocess(struct call *call, struct file_view *file) {
    if (!file->finalized && strcmp(file->status, "uploading") == 0) {
        call_problem(call, PROBLEM_NOT_FINALIZED, NULL);
        return;
    }
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_PLAN_OF_FILE], .values = {file->id}},
        {.statement = &classified_statement, .values = {file->id}},
    };
    call_read(call, queries, 2, planned);
}

void handle_file_reprocess(struct call *call) {
    file_look(call, call->parameters[0], FILE_ACCESS_MANAGE, reprocess);
}
