/* SPDX-License-Identifier: MIT
 * What the module of document portals serves. */
#include "gateway/module.h"
#include "gateway/portal.h"

static const struct field submit_fields[] = {
    {"portal_schema", FIELD_OBJECT, true, 0, 0, NULL,
     "id or name, and version (the newest if absent); or schema_definition itself."},
    {"input", FIELD_OBJECT, true, 0, 0, NULL,
     "Exactly one of file_id and raw_path; mime_type and original_filename may be given."},
};
static const struct field schemas_query[] = {
    {"tenant_id", FIELD_UUID, false, 0, 0, NULL, "Everybody's and this tenant's only."},
    {"name", FIELD_TEXT, false, 1, PORTAL_SCHEMA_NAME_MAX, NULL, "Versions of this schema only."},
};
static const struct field schema_fields[] = {
    {"tenant_id", FIELD_UUID, true, 0, 0, NULL, "Whose schema it is to be."},
    {"name", FIELD_TEXT, true, 1, PORTAL_SCHEMA_NAME_MAX, NULL,
     "Name; case and punctuation don't matter when it is asked for."},
    {"schema_definition", FIELD_OBJECT, true, 0, 0, NULL, "What the portal asks for; see docs/portal.md."},
};
static const struct field documents_query[] = {
    {"before", FIELD_UUID, false, 0, 0, NULL, "The last document of the page before."},
    {"limit", FIELD_INTEGER, false, 1, 100, NULL, "Documents in a page; 50 if absent."},
};

static const struct field webhook_fields[] = {
    {"job_id", FIELD_UUID, true, 0, 0, NULL, "The job, as it was sent."},
    {"camber_job_id", FIELD_TEXT, false, 1, 200, NULL, "The service's own name for it."},
    {"external_job_id", FIELD_TEXT, false, 1, 200, NULL, "The same."},
    {"status", FIELD_CHOICE, true, 0, 0, "success|failed", "What became of it."},
    {"result", FIELD_OBJECT, true, 0, 0, NULL, "What the service made, or its error; see docs/portal.md."},
};

static const struct route routes[] = {
    {.method = "POST",
     .pattern = "/jobs",
     .operation = "submitPortalJob",
     .flags = ROUTE_MAKES | ROUTE_BODY,
     .handler = handle_portal_submit,
     ROUTE_FIELDS(submit_fields),
     .summary = "Make a photo of an upload as a portal's schema wants it.",
     .success = 202,
     .response = "PortalAccepted",
     .problems = {PROBLEM_OUT_OF_CREDIT, PROBLEM_PAYLOAD_INVALID, PROBLEM_SCHEMA_NOT_FOUND,
                  PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN, PROBLEM_NOT_FINALIZED}},
    {.method = "GET",
     .pattern = "/jobs/:id",
     .operation = "getPortalJob",
     .flags = ROUTE_READS,
     .handler = handle_portal_job,
     .summary = "A portal's job, and once it is completed the link to what came out.",
     .success = 200,
     .response = "PortalJob",
     .problems = {PROBLEM_NOT_FOUND}},
    {.method = "GET",
     .pattern = "/v1/portal-schemas",
     .operation = "listPortalSchemas",
     .flags = ROUTE_READS,
     .handler = handle_portal_schemas,
     ROUTE_QUERY(schemas_query),
     .summary = "All versions of the portal schemas that the caller may use.",
     .success = 200,
     .response = "PortalSchemas"},
    {.method = "POST",
     .pattern = "/v1/portal-schemas",
     .operation = "addPortalSchema",
     .flags = ROUTE_MAKES | ROUTE_BODY,
     .handler = handle_portal_schema_add,
     ROUTE_FIELDS(schema_fields),
     .summary = "Add a version of a tenant's portal schema (owner, admin). A version never changes.",
     .success = 201,
     .response = "PortalSchema",
     .problems = {PROBLEM_PAYLOAD_INVALID, PROBLEM_NOT_FOUND, PROBLEM_INSUFFICIENT_ROLE}},
    {.method = "GET",
     .pattern = "/v1/documents",
     .operation = "listDocuments",
     .flags = ROUTE_READS,
     .handler = handle_portal_documents,
     ROUTE_QUERY(documents_query),
     .summary = "The caller's processed documents, newest first.",
     .success = 200,
     .response = "Documents"},
    {.method = "GET",
     .pattern = "/v1/documents/:id",
     .operation = "getDocument",
     .flags = ROUTE_READS,
     .handler = handle_portal_document,
     .summary = "A processed document with links to its artifacts.",
     .success = 200,
     .response = "Document",
     .problems = {PROBLEM_NOT_FOUND}},
    {.method = "POST",
     .pattern = "/internal/webhooks/:name",
     .operation = "reportPortalJob",
     .flags = ROUTE_WRITES | ROUTE_BODY,
     .handler = handle_portal_webhook,
     ROUTE_FIELDS(webhook_fields),
     .summary = "A service outside says what became of a job; authorized by X-Webhook-Secret.",
     .success = 200,
     .response = "PortalReported",
     .problems = {PROBLEM_WEBHOOK_SECRET, PROBLEM_NOT_FOUND, PROBLEM_PAYLOAD_INVALID,
                  PROBLEM_STORAGE_UNAVAILABLE}},
};

static const struct answer_row answers[] = {
    {.name = "PortalStatus", .choices = "pending|processing|completed|failed"},
    {.name = "PortalAccepted", .members = "job_id:Uuid status:PortalStatus"},
    {.name = "PortalReported", .members = "ok:true job_id:Uuid replayed:boolean"},
    {.name = "PortalError", .members = "code:text stage:text message:text retryable:boolean"},
    {.name = "PortalArtifacts",
     .members = "document_id?:Uuid master_path?:text preview_path?:text output_path?:text"},
    {.name = "PortalJob",
     .members =
         "job_id:Uuid user_id:Uuid status:PortalStatus portal_schema:object file_id:Uuid raw_path:text "
         "filename:text attempts:integer quality_score?:number warnings?:[text] artifacts?:PortalArtifacts "
         "metrics?:object error?:PortalError created_at:Time started_at?:Time completed_at?:Time "
         "download_url?:uri download_expires_in_seconds~:integer"},
    {.name = "PortalSchema",
     .members = "id:Uuid tenant_id?:Uuid name:text version:integer active:boolean schema_definition:object "
                "created_at:Time"},
    {.name = "PortalSchemas", .members = "schemas:[PortalSchema]"},
    {.name = "Document",
     .members = "document_id:Uuid job_id:Uuid file_id:Uuid portal_schema:object master_path:text "
                "created_at:Time artifacts:[object] expires_in_seconds~:integer"},
    {.name = "Documents", .members = "documents:[Document]"},
};

const struct gateway_module portal_module = {
    .name = "portal", MODULE_ROUTES(routes), MODULE_ANSWERS(answers)};
