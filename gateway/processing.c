/* SPDX-License-Identifier: MIT
 * GET /v1/processors and POST /v1/files/:id/jobs: what can be ordered, and ordering it. An order is checked
 * by the catalog before anything is written. Kinds of derivatives are unique per file, so the newest order of
 * a type counts: one of that type which is still under way is cancelled in the same transaction. */
#include "gateway/events.h"
#include "gateway/files.h"
#include "gateway/json.h"
#include "gateway/module.h"
#include "gateway/parameters.h"
#include "gateway/scheduler_link.h"
#include "gateway/statements.h"
#include "lib/memory.h"
#include "proto/processors.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PRIORITY_DEFAULT 1

/* --- what can be ordered -----------------------------------------------------------------------------------
 */

static json_int_t limit_of(int64_t setting, uint64_t row) {
    return setting > 0 ? (json_int_t)setting : (json_int_t)row;
}

static json_t *limits_of(const struct settings *settings, const struct processor_row *row) {
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "wall_ms",
                     limit_of(settings->limit_wall_ms, row->wall_ms), "no_progress_ms",
                     limit_of(settings->limit_no_progress_ms, row->no_progress_ms), "cpu_seconds",
                     limit_of(settings->limit_cpu_seconds, row->cpu_seconds), "memory_bytes",
                     limit_of(settings->limit_memory_bytes, row->memory_bytes), "output_bytes",
                     limit_of(settings->limit_output_bytes, row->output_bytes), "pages",
                     (json_int_t)settings->limit_pages, "pixels", (json_int_t)settings->limit_pixels);
}

static json_t *describe(const struct settings *settings, const struct catalog_row *row) {
    const struct processor_row *processor = processor_find(row->type);
    json_t *media = json_array();
    json_t *outputs = json_array();
    for (size_t i = 0; i < CATALOG_MAX_MEDIA && row->media[i] != NULL; i++) {
        json_array_append_new(media, json_string(row->media[i]));
    }
    for (size_t i = 0; processor != NULL && i < processor->output_count; i++) {
        json_array_append_new(outputs, json_pack("{s:s,s:s,s:s}", "kind", processor->outputs[i].kind, "mime",
                                                 processor->outputs[i].mime, "extension",
                                                 processor->outputs[i].extension));
    }
    return json_pack("{s:s,s:s,s:i,s:o,s:o,s:o,s:o}", "type", row->type, "summary", row->summary, "version",
                     (int)row->version, "media_types", media, "outputs", outputs, "parameters",
                     parameters_schema(row), "limits",
                     processor != NULL ? limits_of(settings, processor) : json_object());
}

static void handle_processors(struct call *call) {
    json_t *list = json_array();
    for (size_t i = 0; i < catalog_row_count; i++) {
        json_array_append_new(list, describe(&call->gateway->settings, &catalog_rows[i]));
    }
    json_t *body = json_pack("{s:o}", "processors", list);
    call_respond_take(call, 200, json_encode(body));
    json_decref(body);
}

/* --- orders ------------------------------------------------------------------------------------------------
 */

static void ordered(struct call *call, const struct database_answer *answer) {
    const struct file_view *file = call->state;
    const struct database_result *cancelled = answer->results[1];
    const struct database_result *job = answer->results[3];
    if (result_rows(job) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL); /* deleted meanwhile */
        return;
    }
    for (size_t i = 0; i < result_rows(cancelled); i++) {
        scheduler_link_cancel(call->gateway->scheduler, result_text(cancelled, i, "id"));
    }
    scheduler_link_poke(call->gateway->scheduler, 1);
    events_notify(call->gateway->events, file->id);
    call_respond(call, 202, result_text(job, 0, "job"));
}

/* FM003 comes from jobs_enqueue: the file was deleted meanwhile. */
static bool refused(struct call *call, const struct database_answer *answer) {
    if (strcmp(answer->sqlstate, "FM003") != 0) {
        return false;
    }
    call_problem(call, PROBLEM_NOT_FOUND, NULL);
    return true;
}

static void commit(struct call *call, const struct file_view *file, const char *type,
                   const json_t *parameters) {
    const json_t *priority = json_object_get(call->body, "priority");
    char id[UUID_TEXT_SIZE];
    char band[8];
    char *payload = parameters != NULL ? json_encode(parameters) : memory_format("{}");
    text_uuid7(id);
    (void)text_format(band, sizeof band, "%d",
                      priority != NULL ? (int)json_integer_value(priority) : PRIORITY_DEFAULT);
    const char *key = json_text_member(call->body, "unique_key");
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_FILE_LOCK_FLOW], .values = {file->id}},
        {.statement = &statements[STATEMENT_JOBS_SUPERSEDE], .values = {file->id, type, key}},
        {.statement = &statements[STATEMENT_JOB_ORDER],
         .values = {file->id, id, type, payload, band, json_text_member(call->body, "run_after"), call->trace,
                    key}},
        {.statement = &statements[STATEMENT_JOB_ORDERED], .values = {file->id, id, type, key}},
        {.statement = &statements[STATEMENT_FILE_REFRESH], .values = {file->id}},
    };
    call_write(call, &(struct call_effect){
                         .queries = queries, .count = 5, .on_answer = ordered, .on_refusal = refused});
    free(payload);
}

static void order(struct call *call, struct file_view *file) {
    const char *type = json_text_member(call->body, "type");
    const char *media = file->detected_mime[0] != '\0' ? file->detected_mime : file->mime;
    const json_t *parameters = json_object_get(call->body, "parameters");
    const struct catalog_row *row = catalog_find(type);
    if (strcmp(file->status, "uploading") == 0 || (!file->finalized && strcmp(file->status, "failed") == 0)) {
        call_problem(call, PROBLEM_NOT_FINALIZED, NULL);
        return;
    }
    if (row == NULL) {
        call_problem(call, PROBLEM_UNKNOWN_JOB_TYPE, NULL);
        return;
    }
    if (!catalog_takes(row, media)) {
        call_problem_with(call, PROBLEM_NOT_APPLICABLE, NULL,
                          json_pack("{s:s,s:s}", "job_type", type, "detected", media));
        return;
    }
    json_t *errors = parameters != NULL ? parameters_check(row, parameters) : NULL;
    if (errors != NULL) {
        call_problem_with(call, PROBLEM_BAD_PARAMETERS, NULL,
                          json_pack("{s:{s:[],s:o}}", "details", "formErrors", "fieldErrors", errors));
        return;
    }
    commit(call, file, type, parameters);
}

static void handle_order(struct call *call) {
    file_look(call, call->parameters[0], FILE_ACCESS_CHANGE, order);
}

/* ---- what it serves ---- */

static const struct field order_fields[] = {
    {"type", FIELD_TEXT, true, 1, 64, NULL, "Type of the job, as /v1/processors lists them."},
    {"parameters", FIELD_OBJECT, false, 0, 0, NULL, "As /v1/processors describes them for the type."},
    {"priority", FIELD_INTEGER, false, 0, 3, NULL, "Band of the queue, 0 first; 1 if absent."},
    {"unique_key", FIELD_TEXT, false, 1, 200, NULL,
     "While a job of the type with this key is unfinished in the tenant, that one is answered."},
    {"run_after", FIELD_TIME, false, 0, 0, NULL, "Not before this time; at once if absent."},
};

static const struct route routes[] = {
    {.method = "GET",
     .pattern = "/v1/processors",
     .operation = "listProcessors",
     .flags = ROUTE_READS,
     .handler = handle_processors,
     .summary = "The types of jobs: what they take, make, and may be told.",
     .success = 200,
     .response = "Processors"},
    {.method = "POST",
     .pattern = "/v1/files/:id/jobs",
     .operation = "orderJob",
     .flags = ROUTE_POSTS | ROUTE_BODY,
     .handler = handle_order,
     ROUTE_FIELDS(order_fields),
     .summary = "Order a job. One of its type that is still under way is cancelled.",
     .success = 202,
     .response = "Job",
     .problems = {PROBLEM_OUT_OF_CREDIT, PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN, PROBLEM_NOT_FINALIZED,
                  PROBLEM_UNKNOWN_JOB_TYPE, PROBLEM_NOT_APPLICABLE, PROBLEM_BAD_PARAMETERS}},
};

static const struct answer_row answers[] = {
    {.name = "Output", .members = "kind:text mime:text extension:text"},
    {.name = "Processor",
     .members =
         "type:text summary:text version:integer media_types:[text] outputs:[Output] parameters:object "
         "limits:object"},
    {.name = "Processors", .members = "processors:[Processor]"},
};

const struct gateway_module processing_module = {
    .name = "processing", MODULE_ROUTES(routes), MODULE_ANSWERS(answers)};
