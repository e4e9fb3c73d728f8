/* SPDX-License-Identifier: MIT
 * POST /jobs and GET /jobs/:id. A job has exactly one source (an upload of the caller's, by its id or its
 * path) and one schema (by id, by name, or brought along); what is stored with it is the definition itself,
 * so that a job's meaning never changes. The queue does the rest; the answer is a view of it. */
#include "gateway/content.h"
#include "gateway/events.h"
#include "gateway/json.h"
#include "gateway/portal.h"
#include "gateway/replies.h"
#include "gateway/scheduler_link.h"
#include "lib/memory.h"
#include <stdlib.h>
#include <string.h>

#define JOB_TYPE "portal_document"
#define ACCEPTED "{\"job_id\":\"%s\",\"status\":\"pending\"}"

struct submission {
    const json_t *schema, *input; /* of the call's body */
    json_t *definition;
    json_t *payload;
    char *payload_text, *definition_text, *order_text;
    char job[UUID_TEXT_SIZE], file[UUID_TEXT_SIZE], tenant[UUID_TEXT_SIZE];
    char schema_id[UUID_TEXT_SIZE]; /* "" when the definition came along */
    char schema_version[24];        /* "" when unknown */
    char schema_name[4 * PORTAL_SCHEMA_NAME_MAX + 1];
    char original[1100];
    char filename[PORTAL_FILENAME_MAX + 1];
    char raw_path[600];
    bool sealed; /* the upload is encrypted: services outside get it through here */
};

static void clear_submission(void *state) {
    struct submission *submission = state;
    json_decref(submission->definition);
    json_decref(submission->payload);
    free(submission->payload_text);
    free(submission->definition_text);
    free(submission->order_text);
}

static const struct field schema_fields[] = {
    {"id", FIELD_TEXT, false, 1, 64, NULL, ""},
    {"name", FIELD_TEXT, false, 1, PORTAL_SCHEMA_NAME_MAX, NULL, ""},
    {"version", FIELD_INTEGER, false, 1, 1000000, NULL, ""},
    {"schema_definition", FIELD_OBJECT, false, 0, 0, NULL, ""},
};
static const struct field input_fields[] = {
    {"file_id", FIELD_UUID, false, 0, 0, NULL, ""},
    {"raw_path", FIELD_TEXT, false, 1, PORTAL_PATH_MAX, NULL, ""},
    {"mime_type", FIELD_MEDIA_TYPE, false, 0, 200, NULL, ""},
    {"original_filename", FIELD_TEXT, false, 1, 256, NULL, ""},
};

/* By its id, or by its path: the caller's own files. A raw path names the job that it was uploaded for. */
#define SOURCE                                                                                               \
    "select f.id::text as id, f.tenant_id::text as tenant, f.r2_key_original as path, f.status::text, "      \
    "f.finalized_at is not null as finalized, f.filename, f.sealed, f.owner_user_id = filemill_user() as own, "        \
    "c.role::text as role, case when f.r2_key_original like 'raw/%' and not exists (select from jobs j "     \
    "where j.id = split_part(f.r2_key_original, '/', 3)::uuid) then split_part(f.r2_key_original, '/', 3) "  \
    "end as job from files f, lateral (select filemill_role(f.tenant_id) as role offset 0) c "               \
    "where f.status <> 'deleted' and "
static const struct statement source_by_id = {"portal_source_by_id", SOURCE "f.id = $1::uuid", 1};
static const struct statement source_by_path = {"portal_source_by_path", SOURCE "f.r2_key_original = $1", 1};

/* The newest version that is offered, or the one that is asked for; a tenant's own before everybody's. */
#define SCHEMA                                                                                               \
    "select id::text, name, version::text, schema_definition::text as definition from portal_schemas "       \
    "where (tenant_id is null or tenant_id = $1::uuid) and ($3::int is null or version = $3::int) and "
#define NEWEST " order by version desc, tenant_id nulls last limit 1"
static const struct statement schema_by_id = {"portal_schema_by_id", SCHEMA "id = $2::uuid" NEWEST, 3};
static const struct statement schema_by_name = {"portal_schema_by_name",
                                                SCHEMA "portal_slug(name) = portal_slug($2) and (active or "
                                                       "$3::int is not null)" NEWEST, 3};

static const struct statement enqueue_job = {
    "portal_enqueue_job",
    "select e.job from jobs_enqueue(jsonb_build_array(jsonb_build_object('file_id', $1::uuid, 'id', "
    "$2::uuid, "
    "'type', '" JOB_TYPE "', 'payload', $3::jsonb, 'trace', $4::text))) e",
    4};
static const struct statement insert_job = {
    "portal_insert_job",
    "insert into portal_jobs (job_id, user_id, tenant_id, file_id, schema_id, schema_name, schema_version, "
    "schema_definition, filename, raw_path) select $2::uuid, filemill_user(), tenant_id, id, $3::uuid, $4, "
    "$5::int, $6::jsonb, $7, $8 from files where id = $1::uuid returning job_id",
    8};

/* To the service outside that does such jobs, if there is one. */
static const struct statement route_job = {"portal_route_job", "select compute_route($1::uuid, $2::jsonb)",
                                           2};

static const struct statement read_job = {
    "portal_read_job",
    "select json_build_object('job_id', s.job_id, 'user_id', s.user_id, 'status', s.status, 'portal_schema', "
    "json_build_object('id', s.schema_id, 'name', s.schema_name, 'version', s.schema_version), 'file_id', "
    "s.file_id, 'raw_path', s.raw_path, 'filename', s.filename, 'attempts', s.attempts, 'quality_score', "
    "s.quality_score, 'warnings', s.warnings, 'artifacts', case when s.status = 'completed' then "
    "json_build_object('document_id', (select d.id from documents d where d.job_id = s.job_id), "
    "'master_path', (select a.r2_key from document_artifacts a where a.job_id = s.job_id and a.r2_key like "
    "'master/%'), 'preview_path', (select a.r2_key from document_artifacts a where a.job_id = s.job_id and "
    "a.kind = 'preview'), 'output_path', (select a.r2_key from document_artifacts a where a.job_id = "
    "s.job_id and a.kind = 'output')) end, 'metrics', s.metrics, 'error', s.error, 'created_at', "
    "filemill_time(s.created_at), 'started_at', filemill_time(s.started_at), 'completed_at', "
    "filemill_time(s.completed_at))::text as job, (select a.r2_key from document_artifacts a where a.job_id "
    "= s.job_id and a.kind = 'output' and s.status = 'completed') as output, exists (select from "
    "document_artifacts a join object_keys k on k.key = a.r2_key where a.job_id = s.job_id and a.kind = "
    "'output') as sealed, s.filename from portal_job_states s where s.job_id = $1::uuid",
    1};

/* ---- POST /jobs ---- */

static const char *text_or_null(const char *text) {
    return text[0] != '\0' ? text : NULL;
}

static void submitted(struct call *call, const struct database_answer *answer) {
    const struct submission *submission = call->state;
    if (result_rows(answer->results[1]) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    scheduler_link_poke(call->gateway->scheduler, 1);
    events_notify(call->gateway->events, submission->file);
    call_respond_take(call, 202, memory_format(ACCEPTED, submission->job));
}

/* The file was deleted meanwhile. */
static const struct call_refusal refusals[] = {{.sqlstate = "FM003", .problem = PROBLEM_NOT_FOUND},
                                               {.sqlstate = NULL}};

static json_t *version_of(const struct submission *submission) {
    int64_t number;
    return text_parse_i64(submission->schema_version, 1, INT32_MAX, &number) == 0
               ? json_integer((json_int_t)number)
               : json_null();
}

/* The order for a service outside: the payload contract of docs/portal.md. NULL when the upload can't be
 * signed for. */
static char *write_order(struct call *call, const struct submission *submission, const char *original) {
    const struct settings *settings = &call->gateway->settings;
    const char *mime = json_text_member(submission->input, "mime_type");
    const struct content_place place = {.of = CONTENT_FILE,
                                        .id = submission->file,
                                        .kind = "original",
                                        .key = submission->raw_path,
                                        .filename = submission->filename,
                                        .sealed = submission->sealed,
                                        .expires_s = settings->output_url_seconds};
    char url[STORAGE_URL_MAX];
    if (content_place_link(call, &place, url) != 0) {
        return NULL;
    }
    json_t *order = json_pack("{s:s,s:s,s:{s:s*,s:s,s:o,s:O},s:{s:s,s:s*,s:s},s:{s:s,s:s*,s:s*}}", "job_id",
                              submission->job, "user_id", call->user, "portal_schema", "id",
                              text_or_null(submission->schema_id), "name", submission->schema_name, "version",
                              version_of(submission), "schema_definition", submission->definition, "input",
                              "artifact_url", url, "mime_type", mime, "original_filename", original,
                              "storage", "bucket", storage_bucket(call->gateway->storage), "region",
                              settings->storage_region, "endpoint", settings->storage_endpoint);
    char *text = order != NULL ? json_encode(order) : NULL;
    json_decref(order);
    return text;
}

static void submit(struct call *call, struct submission *submission) {
    const char *original = json_text_member(submission->input, "original_filename");
    const struct portal_names names = {.job = submission->job,
                                       .user = call->user,
                                       .schema = submission->schema_name,
                                       .original = original != NULL ? original : submission->original};
    portal_filename(submission->filename, submission->definition, &names);
    submission->payload =
        json_pack("{s:{s:s,s:O},s:s,s:b}", "portal_schema", "name", submission->schema_name, "schema_definition",
                  submission->definition, "filename", submission->filename, "ocr", call->gateway->settings.portal_ocr);
    submission->payload_text = json_encode(submission->payload);
    submission->definition_text = json_encode(submission->definition);
    submission->order_text = write_order(call, submission, names.original);
    if (submission->order_text == NULL) {
        call_problem(call, PROBLEM_INTERNAL, NULL);
        return;
    }
    const struct query queries[] = {
        {.statement = &enqueue_job,
         .values = {submission->file, submission->job, submission->payload_text, call->trace}},
        {.statement = &insert_job,
         .values = {submission->file, submission->job, text_or_null(submission->schema_id),
                    submission->schema_name, text_or_null(submission->schema_version),
                    submission->definition_text, submission->filename, submission->raw_path}},
        {.statement = &route_job, .values = {submission->job, submission->order_text}},
    };
    char answer[sizeof ACCEPTED + UUID_TEXT_SIZE];
    (void)text_format(answer, sizeof answer, ACCEPTED, submission->job);
    call_write(call, &(struct call_effect){.queries = queries,
                                           .count = 3,
                                           .on_answer = submitted,
                                           .refusals = refusals,
                                           .known_status = 202,
                                           .known_body = answer,
                                           .proof_file = submission->file});
}

static void schema_found(struct call *call, const struct database_answer *answer) {
    struct submission *submission = call->state;
    const struct database_result *result = answer->results[0];
    if (result_rows(result) == 0) {
        call_problem(call, PROBLEM_SCHEMA_NOT_FOUND, NULL);
        return;
    }
    result_copy(submission->schema_id, sizeof submission->schema_id, result, 0, "id");
    result_copy(submission->schema_name, sizeof submission->schema_name, result, 0, "name");
    result_copy(submission->schema_version, sizeof submission->schema_version, result, 0, "version");
    submission->definition = json_loads(result_text(result, 0, "definition"), 0, NULL);
    if (submission->definition == NULL) {
        call_problem(call, PROBLEM_INTERNAL, NULL);
        return;
    }
    submit(call, submission);
}

static void look_for_schema(struct call *call, const struct submission *submission) {
    const char *id = json_text_member(submission->schema, "id");
    const char *name = json_text_member(submission->schema, "name");
    const json_t *number = json_object_get(submission->schema, "version");
    char version[24];
    (void)text_format(version, sizeof version, "%lld", (long long)json_integer_value(number));
    if (id == NULL ? name == NULL : !text_is_uuid(id)) {
        call_problem(call, PROBLEM_PAYLOAD_INVALID,
                     "portal_schema needs an id (a UUID), a name, or a schema_definition.");
        return;
    }
    const struct query query = {
        .statement = id != NULL ? &schema_by_id : &schema_by_name,
        .values = {submission->tenant, id != NULL ? id : name, number != NULL ? version : NULL}};
    call_read(call, &query, 1, schema_found);
}

/* A definition that came along: id, name and version are labels then. */
static void take_definition(struct call *call, struct submission *submission) {
    json_t *definition = json_object_get(submission->schema, "schema_definition");
    const char *name = json_text_member(submission->schema, "name");
    const json_t *version = json_object_get(submission->schema, "version");
    submission->definition = json_incref(definition);
    (void)text_copy(submission->schema_name, sizeof submission->schema_name, name != NULL ? name : "inline");
    if (version != NULL) {
        (void)text_format(submission->schema_version, sizeof submission->schema_version, "%lld",
                          (long long)json_integer_value(version));
    }
    submit(call, submission);
}

static void source_found(struct call *call, const struct database_answer *answer) {
    struct submission *submission = call->state;
    const struct database_result *result = answer->results[0];
    if (!caller_belongs(call, result)) {
        return;
    }
    if (!result_bool(result, 0, "own")) {
        call_problem(call, PROBLEM_FORBIDDEN, "A portal's job is made of one's own upload.");
        return;
    }
    if (!result_bool(result, 0, "finalized")) {
        call_problem(call, PROBLEM_NOT_FINALIZED, NULL);
        return;
    }
    result_copy(submission->file, sizeof submission->file, result, 0, "id");
    result_copy(submission->tenant, sizeof submission->tenant, result, 0, "tenant");
    result_copy(submission->original, sizeof submission->original, result, 0, "filename");
    result_copy(submission->raw_path, sizeof submission->raw_path, result, 0, "path");
    result_copy(submission->job, sizeof submission->job, result, 0, "job");
    submission->sealed = result_bool(result, 0, "sealed");
    if (submission->job[0] == '\0') {
        text_uuid4(submission->job);
    }
    if (json_object_get(submission->schema, "schema_definition") != NULL) {
        take_definition(call, submission);
    } else {
        look_for_schema(call, submission);
    }
}

/* True if the members of an object within the body fit; else the call is answered. */
static bool check_member(struct call *call, const char *name, const struct field *fields, size_t count) {
    const struct field_rows rows = {fields, count, 0};
    json_t *details = fields_check(&rows, json_object_get(call->body, name));
    if (details != NULL) {
        call_problem_with(call, PROBLEM_PAYLOAD_INVALID, NULL,
                          json_pack("{s:s,s:o}", "member", name, "details", details));
    }
    return details == NULL;
}

/* The path that a client names is its own; what is not, does not exist for it. */
static bool check_raw_path(struct call *call, const char *path) {
    struct portal_path parts;
    const char *refusal = portal_path_check(path, strlen(path), PORTAL_UUID4, &parts);
    if (refusal == NULL && parts.area != PORTAL_RAW) {
        refusal = "the path does not begin with raw/";
    }
    if (refusal != NULL) {
        call_problem(call, PROBLEM_PAYLOAD_INVALID, refusal);
        return false;
    }
    fields_lower(parts.user);
    if (strcmp(parts.user, call->user) != 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return false;
    }
    return true;
}

void handle_portal_submit(struct call *call) {
    if (!check_member(call, "portal_schema", schema_fields, sizeof schema_fields / sizeof schema_fields[0]) ||
        !check_member(call, "input", input_fields, sizeof input_fields / sizeof input_fields[0])) {
        return;
    }
    struct submission *submission = call_state(call, sizeof *submission, clear_submission);
    submission->schema = json_object_get(call->body, "portal_schema");
    submission->input = json_object_get(call->body, "input");
    const char *file = json_text_member(submission->input, "file_id");
    const char *path = json_text_member(submission->input, "raw_path");
    const json_t *definition = json_object_get(submission->schema, "schema_definition");
    if ((file == NULL) == (path == NULL)) {
        call_problem(call, PROBLEM_PAYLOAD_INVALID, "input needs exactly one of file_id and raw_path.");
        return;
    }
    if ((definition != NULL && !portal_definition_check(call, definition)) ||
        (path != NULL && !check_raw_path(call, path))) {
        return;
    }
    const struct query query = {.statement = file != NULL ? &source_by_id : &source_by_path,
                                .values = {file != NULL ? file : path}};
    call_read(call, &query, 1, source_found);
}

/* ---- GET /jobs/:id ---- */

static void job_read(struct call *call, const struct database_answer *answer) {
    const struct database_result *result = answer->results[0];
    char url[STORAGE_URL_MAX];
    char name[PORTAL_FILENAME_MAX + 8];
    if (result_rows(result) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    const char *job = result_text(result, 0, "job");
    const char *output = result_text(result, 0, "output");
    if (output == NULL) {
        call_respond_take(call, 200, memory_format("%.*s,\"download_url\":null}", (int)strlen(job) - 1, job));
        return;
    }
    (void)text_format(name, sizeof name, "%.*s.zip", (int)strcspn(result_text(result, 0, "filename"), "."),
                      result_text(result, 0, "filename"));
    const struct content_place place = {.of = CONTENT_ARTIFACT,
                                        .id = call->parameters[0],
                                        .kind = "output",
                                        .key = output,
                                        .filename = name,
                                        .sealed = result_bool(result, 0, "sealed"),
                                        .expires_s = call->gateway->settings.output_url_seconds};
    if (content_place_link(call, &place, url) != 0) {
        call_problem(call, PROBLEM_INTERNAL, NULL);
        return;
    }
    char *quoted = json_quote(url);
    call_respond_take(call, 200,
                      memory_format("%.*s,\"download_url\":%s,\"download_expires_in_seconds\":%lld}",
                                    (int)strlen(job) - 1, job, quoted, (long long)place.expires_s));
    free(quoted);
}

void handle_portal_job(struct call *call) {
    const struct query query = {.statement = &read_job, .values = {call->parameters[0]}};
    call_read(call, &query, 1, job_read);
}
