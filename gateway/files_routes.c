/* SPDX-License-Identifier: MIT
 * What the files module serves: its routes, their fields and the shapes of their answers. */
#include "gateway/handlers.h"
#include "gateway/module.h"

static const struct field init_fields[] = {
    {"tenant_id", FIELD_UUID, true, 0, 0, NULL, "Tenant that the file is to belong to."},
    {"filename", FIELD_TEXT, true, 1, 256, NULL, "Name that the file is handed back under."},
    {"mime", FIELD_MEDIA_TYPE, true, 0, 200, NULL, "Media type; the upload must send it as Content-Type."},
    {"visibility", FIELD_CHOICE, false, 0, 0, "public|private|internal",
     "Who may read it; private if absent."},
    {"size_bytes", FIELD_INTEGER, true, 0, FIELD_MAX_UPLOAD, NULL, "Exact size; the upload URL binds it."},
    {"sha256", FIELD_SHA256, false, 0, 0, NULL, "SHA-256 of the bytes, in hex; then checked."},
    {"encryption", FIELD_OBJECT, false, 0, 0, NULL,
     "The bytes come encrypted: {algorithm, wrapped_key}; size_bytes and sha256 are of the plain ones."},
    {"layout", FIELD_CHOICE, false, 0, 0, "raw",
     "raw: kept at raw/{user}/{id}/…, as document portals have it."},
    {"retention_class", FIELD_CHOICE, false, 0, 0, "document-uploads",
     "document-uploads: documents for word lists, gone after 24 hours."},
};
static const struct field finalize_fields[] = {
    {"file_id", FIELD_UUID, true, 0, 0, NULL, "The file, as init-upload answered."},
};
static const struct field list_query[] = {
    {"tenant_id", FIELD_UUID, true, 0, 0, NULL, "Whose files."},
    {"status", FIELD_CHOICE, false, 0, 0, "uploading|ready|processing|failed", "Only files of this status."},
    {"cursor", FIELD_TEXT, false, 1, 400, NULL, "next_cursor of the page before."},
    {"limit", FIELD_INTEGER, false, 1, 100, NULL, "Files in a page; 50 if absent."},
};
static const struct field derivative_query[] = {
    {"redirect", FIELD_CHOICE, false, 0, 0, "0|1", "1: answer 303 with the link in Location."},
};
static const struct field events_query[] = {
    {"last_event_id", FIELD_TEXT, false, 1, 20, NULL,
     "As the header Last-Event-ID, for those who can't set it."},
};

static const struct route routes[] = {
    {.method = "POST",
     .pattern = "/v1/files/init-upload",
     .operation = "initUpload",
     .flags = ROUTE_MAKES | ROUTE_BODY,
     .handler = handle_file_init,
     ROUTE_FIELDS(init_fields),
     .summary = "Begin an upload: answers a presigned PUT.",
     .success = 200,
     .response = "Upload",
     .problems = {PROBLEM_NOT_A_MEMBER, PROBLEM_INSUFFICIENT_ROLE, PROBLEM_CLASS_SIZE, PROBLEM_CLASS_TYPE,
                  PROBLEM_COOLDOWN, PROBLEM_NOT_ENCRYPTED, PROBLEM_BAD_ENVELOPE}},
    {.method = "POST",
     .pattern = "/v1/files/finalize",
     .operation = "finalizeUpload",
     .flags = ROUTE_POSTS | ROUTE_BODY,
     .handler = handle_file_finalize,
     ROUTE_FIELDS(finalize_fields),
     .summary = "End an upload: checks the object and queues its jobs. Again: the same jobs.",
     .success = 200,
     .response = "Jobs",
     .problems = {PROBLEM_OUT_OF_CREDIT, PROBLEM_OBJECT_NOT_FOUND, PROBLEM_FORBIDDEN, PROBLEM_NOT_FOUND,
                  PROBLEM_EMPTY_FILE, PROBLEM_SIZE_MISMATCH, PROBLEM_TYPE_MISMATCH, PROBLEM_OBJECT_CHANGED,
                  PROBLEM_STORAGE_UNAVAILABLE, PROBLEM_UPLOAD_EXPIRED, PROBLEM_BAD_ENVELOPE,
                  PROBLEM_KEY_UNAVAILABLE}},
    {.method = "GET",
     .pattern = "/v1/files",
     .operation = "listFiles",
     .flags = ROUTE_READS,
     .handler = handle_files,
     ROUTE_QUERY(list_query),
     .summary = "A tenant's files that the caller may read, newest first.",
     .success = 200,
     .response = "Files",
     .problems = {PROBLEM_NOT_FOUND}},
    {.method = "GET",
     .pattern = "/v1/files/:id",
     .operation = "getFile",
     .flags = ROUTE_READS,
     .handler = handle_file,
     .summary = "A file with its derivatives and the jobs of its newest run.",
     .success = 200,
     .response = "FileDetail",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN}},
    {.method = "DELETE",
     .pattern = "/v1/files/:id",
     .operation = "deleteFile",
     .flags = ROUTE_CHANGES,
     .handler = handle_file_delete,
     .summary = "Delete a file; cancels its jobs. Its objects go later.",
     .success = 200,
     .response = "Deleted",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN}},
    {.method = "GET",
     .pattern = "/v1/files/:id/download",
     .operation = "downloadFile",
     .flags = ROUTE_READS,
     .handler = handle_file_download,
     .summary = "A link to the original.",
     .success = 200,
     .response = "Link",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN, PROBLEM_NOT_FINALIZED}},
    {.method = "GET",
     .pattern = "/v1/files/:id/derivatives/:kind",
     .operation = "downloadDerivative",
     .flags = ROUTE_READS,
     .handler = handle_derivative_download,
     ROUTE_QUERY(derivative_query),
     .summary = "A link to a derivative.",
     .success = 200,
     .response = "Link",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN}},
    {.method = "GET",
     .pattern = "/v1/files/:id/events",
     .operation = "streamEvents",
     .flags = ROUTE_READS | ROUTE_NO_HEAD,
     .handler = handle_events,
     ROUTE_QUERY(events_query),
     .summary = "Server-sent events of a file, from Last-Event-ID on; ends when the file is deleted.",
     .success = 200,
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN}},
    {.method = "POST",
     .pattern = "/v1/internal/files/:id/reprocess",
     .operation = "reprocessFile",
     .flags = ROUTE_MAKES | ROUTE_BODY | ROUTE_BODY_OPTIONAL,
     .handler = handle_file_reprocess,
     .summary = "Run all jobs of a file anew (owner, admin, internal); jobs under way are cancelled.",
     .success = 200,
     .response = "Jobs",
     .problems = {PROBLEM_OUT_OF_CREDIT, PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN, PROBLEM_NOT_FINALIZED}},
};

#define FILE_MEMBERS                                                                                         \
    "file_id:Uuid tenant_id:Uuid owner_user_id:Uuid filename?:text visibility:Visibility mime:text "         \
    "detected_mime?:text extension?:text size_bytes:integer sha256?:text status:FileStatus "                 \
    "generation:integer r2_key:text "                                                                        \
    "created_at:Time updated_at:Time finalized_at?:Time"

static const struct answer_row answers[] = {
    {.name = "FileStatus", .choices = "uploading|ready|processing|failed"},
    {.name = "Upload",
     .members = "file_id:Uuid r2_key:text upload_url:uri required_headers:object expires_in_seconds:integer"},
    {.name = "JobRow", .members = "id:Uuid type:text status:JobStatus"},
    {.name = "Jobs", .members = "ok:true jobs:[JobRow]"},
    {.name = "Link",
     .members = "download_url:uri expires_in_seconds~:integer kind~:text mime~:text size_bytes~:integer"},
    {.name = "File", .members = FILE_MEMBERS},
    {.name = "Files", .members = "files:[File] next_cursor?:text"},
    {.name = "Derivative",
     .members =
         "kind:text mime:text size_bytes:integer r2_key:text sha256?:text metadata:object created_at:Time "
         "updated_at:Time"},
    {.name = "FileDetail", .members = FILE_MEMBERS " derivatives:[Derivative] jobs:[Job]"},
    {.name = "Deleted", .members = "ok:true file_id:Uuid status:text"},
};

const struct gateway_module files_module = {.name = "files", MODULE_ROUTES(routes), MODULE_ANSWERS(answers)};
