/* SPDX-License-Identifier: MIT
 * Classification's routes: the two of the service that Filemill replaces under their own names, one for a
 * file that is here already, and those of labels and examples. */
#include "gateway/classify.h"
#include "gateway/files.h"
#include "gateway/module.h"
#include "gateway/replies.h"
#include <string.h>

/* --- how far a request is ----------------------------------------------------------------------------------
 */

static const struct statement job_statement = {
    "classify_job",
    "select json_build_object('job_id', i.id, 'status', i.status, 'progress', i.progress, 'total_files', "
    "i.total_files, 'processed_files', i.processed_files, 'results', i.result->'results', 'error', i.error, "
    "'created_at', filemill_time(i.created_at), 'updated_at', filemill_time(i.updated_at), 'completed_at', "
    "filemill_time(i.completed_at))::text as answer from inbox_jobs i where i.id = $1::uuid",
    1};

static void handle_job(struct call *call) {
    const struct query query = {.statement = &job_statement, .values = {call->parameters[0]}};
    call_read(call, &query, 1, reply_answer);
}

/* --- a file that is here -----------------------------------------------------------------------------------
 */

static const struct statement text_statement = {
    "classify_text",
    "select (select labels::text from tenant_labels where tenant_id = $2::uuid) as labels, exists (select "
    "from "
    "file_derivatives where file_id = $1::uuid and kind in (" CLASSIFY_TEXT_KINDS ")) as "
    "has_text, (select visibility::text from files where id = $1::uuid) as visibility",
    2};

static void text_looked(struct call *call, const struct database_answer *answer) {
    const struct file_view *file = call->state;
    const struct database_result *result = answer->results[0];
    const char *text = result_text(result, 0, "labels");
    const struct classify_file item = {.filename = file->filename[0] != '\0' ? file->filename : "file",
                                       .file_id = file->id,
                                       .media_type =
                                           file->detected_mime[0] != '\0' ? file->detected_mime : file->mime,
                                       .size_bytes = -1,
                                       .has_text = result_bool(result, 0, "has_text")};
    if (!classify_takes(item.media_type)) {
        call_problem_with(call, PROBLEM_NOT_APPLICABLE, NULL,
                          json_pack("{s:s,s:s}", "job_type", "classify", "detected", item.media_type));
        return;
    }
    json_t *labels = classify_read_labels(text);
    json_t *items = json_pack("[o]", classify_item(&item, NULL, labels, &call->gateway->settings));
    classify_submit(call, file->tenant, labels, items);
    json_decref(items);
    json_decref(labels);
}

static void classify_file(struct call *call, struct file_view *file) {
    if (strcmp(file->status, "uploading") == 0 || !file->finalized) {
        call_problem(call, PROBLEM_NOT_FINALIZED, NULL);
        return;
    }
    const struct query query = {.statement = &text_statement, .values = {file->id, file->tenant}};
    call_read(call, &query, 1, text_looked);
}

static void handle_classify_file(struct call *call) {
    file_look(call, call->parameters[0], FILE_ACCESS_CHANGE, classify_file);
}

/* ---- what it serves ---- */

static const struct field form_fields[] = {
    {"tenant_id", FIELD_UUID, false, 0, 0, NULL,
     "Whose the files become, before the files; also as query parameter or header X-Tenant-Id. Not needed by "
     "who is in one tenant only."},
    {"files", FIELD_LIST, true, 1, 1000, NULL, "Files, each a part with a filename; `file` is taken too."},
};
static const struct field form_query[] = {
    {"tenant_id", FIELD_UUID, false, 0, 0, NULL, "Whose the files become."},
};
static const struct field labels_fields[] = {
    {"labels", FIELD_LIST, true, 2, 32, NULL,
     "Labels: name (64 bytes) and description (1000 bytes, optional)."},
};
static const struct field label_fields[] = {
    {"label", FIELD_TEXT, true, 1, 64, NULL, "One of the tenant's labels."},
};

static const struct route routes[] = {
    {.method = "POST",
     .pattern = "/classify-documents-async",
     .operation = "classifyDocuments",
     .flags = ROUTE_CHANGES | ROUTE_STREAM_BODY,
     .handler = handle_classify_upload,
     .stream = stream_classify_upload,
     ROUTE_FIELDS(form_fields),
     ROUTE_QUERY(form_query),
     .summary = "Upload documents and have them classified.",
     .success = 202,
     .response = "ClassifyAccepted",
     .problems = {PROBLEM_OUT_OF_CREDIT, PROBLEM_NOT_A_MEMBER, PROBLEM_FORM_TOO_LARGE, PROBLEM_FORMS_BUSY,
                  PROBLEM_STORAGE_UNAVAILABLE}},
    {.method = "GET",
     .pattern = "/job/:id",
     .operation = "classifyJob",
     .flags = ROUTE_READS,
     .handler = handle_job,
     .summary = "How far a classification is, and its results.",
     .success = 200,
     .response = "ClassifyJob",
     .problems = {PROBLEM_NOT_FOUND}},
    {.method = "POST",
     .pattern = "/v1/files/:id/classify",
     .operation = "classifyFile",
     .flags = ROUTE_MAKES,
     .handler = handle_classify_file,
     .summary = "Have a file classified that is here already.",
     .success = 202,
     .response = "ClassifyAccepted",
     .problems = {PROBLEM_OUT_OF_CREDIT, PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN, PROBLEM_NOT_FINALIZED,
                  PROBLEM_NOT_APPLICABLE}},
    {.method = "POST",
     .pattern = "/v1/files/:id/label",
     .operation = "labelFile",
     .flags = ROUTE_POSTS | ROUTE_BODY,
     .handler = handle_file_label,
     ROUTE_FIELDS(label_fields),
     .summary = "Tell a file's label: it becomes an example, and the tenant's classifier learns.",
     .success = 200,
     .response = "Classifier",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN, PROBLEM_NO_TEXT, PROBLEM_UNKNOWN_LABEL, PROBLEM_BUSY,
                  PROBLEM_OBJECT_NOT_FOUND, PROBLEM_OBJECT_CHANGED, PROBLEM_DECRYPT_FAILED,
                  PROBLEM_KEY_UNAVAILABLE, PROBLEM_STORAGE_UNAVAILABLE}},
    {.method = "GET",
     .pattern = "/v1/tenants/:id/classifier",
     .operation = "getClassifier",
     .flags = ROUTE_READS,
     .handler = handle_classifier,
     .summary = "Examples per label, and how many of them are told right when left out.",
     .success = 200,
     .response = "Classifier",
     .problems = {PROBLEM_NOT_FOUND}},
    {.method = "GET",
     .pattern = "/v1/tenants/:id/labels",
     .operation = "getLabels",
     .flags = ROUTE_READS,
     .handler = handle_labels,
     .summary = "The labels that documents get.",
     .success = 200,
     .response = "Labels",
     .problems = {PROBLEM_NOT_FOUND}},
    {.method = "PUT",
     .pattern = "/v1/tenants/:id/labels",
     .operation = "putLabels",
     .flags = ROUTE_CHANGES | ROUTE_BODY,
     .handler = handle_labels_put,
     ROUTE_FIELDS(labels_fields),
     .summary = "Put the tenant's labels (owners and admins); the classifier learns anew.",
     .success = 200,
     .response = "Classifier",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_INSUFFICIENT_ROLE}},
};

static const struct answer_row answers[] = {
    {.name = "ClassifyAccepted", .members = "job_id:Uuid status:text"},
    {.name = "ClassifyStatus", .choices = "pending|processing|completed|failed"},
    {.name = "ClassifyResult",
     .members =
         "file_id?:Uuid filename:text status:ClassifyStatus label?:text confidence?:number scores?:object "
         "backend:text error?:text"},
    {.name = "ClassifyJob",
     .members =
         "job_id:Uuid status:ClassifyStatus progress:integer total_files:integer processed_files:integer "
         "results:[ClassifyResult] error?:text created_at:Time updated_at:Time completed_at?:Time"},
    {.name = "Label", .members = "name:text description~:text"},
    {.name = "Labels", .members = "tenant_id:Uuid labels:[Label] default:boolean"},
    {.name = "LabelExamples", .members = "label:text examples:integer"},
    {.name = "Classifier",
     .members = "tenant_id:Uuid examples:integer labels:[LabelExamples] accuracy?:number trained:boolean"},
};

const struct gateway_module classify_module = {
    .name = "classify", MODULE_ROUTES(routes), MODULE_ANSWERS(answers)};
