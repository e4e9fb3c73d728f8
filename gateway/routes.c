/* SPDX-License-Identifier: MIT
 * The routes; see routes.h. */
#include "gateway/routes.h"

#include "gateway/handlers.h"
#include "lib/text.h"
#include <string.h>

#define COUNT_OF(table) (sizeof(table) / sizeof((table)[0]))
#define FIELDS(table) .fields = (table), .field_count = COUNT_OF(table)
#define QUERY(table) .query = (table), .query_count = COUNT_OF(table)
#define READS (ROUTE_AUTHENTICATED)
#define WRITES (ROUTE_AUTHENTICATED | ROUTE_WRITES)
#define POSTS (ROUTE_AUTHENTICATED | ROUTE_WRITES | ROUTE_IDEMPOTENT_KEY)

static const struct field init_fields[] = {
    {"tenant_id", FIELD_UUID, true, 0, 0, NULL, "Tenant that the file is to belong to."},
    {"filename", FIELD_TEXT, true, 1, 256, NULL, "Name that the file is handed back under."},
    {"mime", FIELD_MEDIA_TYPE, true, 0, 200, NULL, "Media type; the upload must send it as Content-Type."},
    {"visibility", FIELD_CHOICE, false, 0, 0, "public|private|internal",
     "Who may read it; private if absent."},
    {"size_bytes", FIELD_INTEGER, true, 0, FIELD_MAX_UPLOAD, NULL, "Exact size; the upload URL binds it."},
    {"sha256", FIELD_SHA256, false, 0, 0, NULL, "SHA-256 of the bytes, in hex; then checked."},
};
static const struct field finalize_fields[] = {
    {"file_id", FIELD_UUID, true, 0, 0, NULL, "The file, as init-upload answered."},
};
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

const struct route routes[] = {
    {.method = "GET",
     .pattern = "/health",
     .operation = "health",
     .handler = handle_health,
     .summary = "Is this process alive?",
     .success = 200,
     .response = "Ok"},
    {.method = "GET",
     .pattern = "/ready",
     .operation = "ready",
     .handler = handle_ready,
     .summary = "Is everything that requests need there?",
     .success = 200,
     .response = "Ok",
     .problems = {PROBLEM_NOT_READY, PROBLEM_DRAINING}},
    {.method = "GET",
     .pattern = "/openapi.json",
     .operation = "openapi",
     .handler = handle_openapi,
     .summary = "This document.",
     .success = 200,
     .response = "OpenApi"},

    {.method = "POST",
     .pattern = "/v1/tenants/bootstrap",
     .operation = "bootstrapTenant",
     .flags = POSTS | ROUTE_BODY,
     .handler = handle_tenant_bootstrap,
     FIELDS(bootstrap_fields),
     .summary = "Make a tenant with the caller as owner.",
     .success = 201,
     .response = "Tenant"},
    {.method = "GET",
     .pattern = "/v1/tenants",
     .operation = "listTenants",
     .flags = READS,
     .handler = handle_tenants,
     .summary = "The caller's tenants, with the caller's role in each.",
     .success = 200,
     .response = "Tenants"},
    {.method = "GET",
     .pattern = "/v1/tenants/:id/members",
     .operation = "listMembers",
     .flags = READS,
     .handler = handle_members,
     .summary = "The members of a tenant.",
     .success = 200,
     .response = "Members",
     .problems = {PROBLEM_NOT_FOUND}},
    {.method = "POST",
     .pattern = "/v1/tenants/:id/members",
     .operation = "addMember",
     .flags = POSTS | ROUTE_BODY,
     .handler = handle_member_add,
     FIELDS(member_add_fields),
     .summary = "Add a member (owners and admins; owners only by owners).",
     .success = 201,
     .response = "Member",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_INSUFFICIENT_ROLE, PROBLEM_ALREADY_MEMBER}},
    {.method = "PATCH",
     .pattern = "/v1/tenants/:id/members/:user_id",
     .operation = "changeMember",
     .flags = WRITES | ROUTE_BODY,
     .handler = handle_member_change,
     FIELDS(member_change_fields),
     .summary = "Change a member's role. Admins can't touch owners; the last owner stays.",
     .success = 200,
     .response = "Member",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_INSUFFICIENT_ROLE, PROBLEM_LAST_OWNER}},
    {.method = "DELETE",
     .pattern = "/v1/tenants/:id/members/:user_id",
     .operation = "removeMember",
     .flags = WRITES,
     .handler = handle_member_remove,
     .summary = "Remove a member. Admins can't touch owners; the last owner stays.",
     .success = 200,
     .response = "Ok",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_INSUFFICIENT_ROLE, PROBLEM_LAST_OWNER}},

    {.method = "POST",
     .pattern = "/v1/files/init-upload",
     .operation = "initUpload",
     .flags = POSTS | ROUTE_BODY,
     .handler = handle_file_init,
     FIELDS(init_fields),
     .summary = "Begin an upload: answers a presigned PUT.",
     .success = 200,
     .response = "Upload",
     .problems = {PROBLEM_NOT_A_MEMBER, PROBLEM_INSUFFICIENT_ROLE}},
    {.method = "POST",
     .pattern = "/v1/files/finalize",
     .operation = "finalizeUpload",
     .flags = POSTS | ROUTE_BODY,
     .handler = handle_file_finalize,
     FIELDS(finalize_fields),
     .summary = "End an upload: checks the object and queues its jobs. Again: the same jobs.",
     .success = 200,
     .response = "Jobs",
     .problems = {PROBLEM_OBJECT_NOT_FOUND, PROBLEM_FORBIDDEN, PROBLEM_NOT_FOUND, PROBLEM_EMPTY_FILE,
                  PROBLEM_SIZE_MISMATCH, PROBLEM_TYPE_MISMATCH, PROBLEM_OBJECT_CHANGED,
                  PROBLEM_STORAGE_UNAVAILABLE}},
    {.method = "GET",
     .pattern = "/v1/files",
     .operation = "listFiles",
     .flags = READS,
     .handler = handle_files,
     QUERY(list_query),
     .summary = "A tenant's files that the caller may read, newest first.",
     .success = 200,
     .response = "Files",
     .problems = {PROBLEM_NOT_FOUND}},
    {.method = "GET",
     .pattern = "/v1/files/:id",
     .operation = "getFile",
     .flags = READS,
     .handler = handle_file,
     .summary = "A file with its derivatives and the jobs of its newest run.",
     .success = 200,
     .response = "FileDetail",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN}},
    {.method = "DELETE",
     .pattern = "/v1/files/:id",
     .operation = "deleteFile",
     .flags = WRITES,
     .handler = handle_file_delete,
     .summary = "Delete a file; cancels its jobs. Its objects go later.",
     .success = 200,
     .response = "Deleted",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN}},
    {.method = "GET",
     .pattern = "/v1/files/:id/download",
     .operation = "downloadFile",
     .flags = READS,
     .handler = handle_file_download,
     .summary = "A link to the original.",
     .success = 200,
     .response = "Link",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN, PROBLEM_NOT_FINALIZED}},
    {.method = "GET",
     .pattern = "/v1/files/:id/derivatives/:kind",
     .operation = "downloadDerivative",
     .flags = READS,
     .handler = handle_derivative_download,
     QUERY(derivative_query),
     .summary = "A link to a derivative.",
     .success = 200,
     .response = "Link",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN}},
    {.method = "GET",
     .pattern = "/v1/files/:id/events",
     .operation = "streamEvents",
     .flags = READS | ROUTE_NO_HEAD,
     .handler = handle_events,
     QUERY(events_query),
     .summary = "Server-sent events of a file, from Last-Event-ID on; ends when the file is deleted.",
     .success = 200,
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN}},
    {.method = "POST",
     .pattern = "/v1/internal/files/:id/reprocess",
     .operation = "reprocessFile",
     .flags = POSTS | ROUTE_BODY | ROUTE_BODY_OPTIONAL,
     .handler = handle_file_reprocess,
     .summary = "Run all jobs of a file anew (owner, admin, internal); jobs under way are cancelled.",
     .success = 200,
     .response = "Jobs",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN, PROBLEM_NOT_FINALIZED}},

    {.method = "GET",
     .pattern = "/v1/jobs/:id",
     .operation = "getJob",
     .flags = READS,
     .handler = handle_job,
     .summary = "A job.",
     .success = 200,
     .response = "Job",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN}},
    {.method = "POST",
     .pattern = "/v1/jobs/:id/cancel",
     .operation = "cancelJob",
     .flags = POSTS | ROUTE_BODY | ROUTE_BODY_OPTIONAL,
     .handler = handle_job_cancel,
     .summary = "Cancel a job.",
     .success = 200,
     .response = "Cancelled",
     .problems = {PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN, PROBLEM_JOB_FINISHED}},
};
const size_t route_count = COUNT_OF(routes);

static bool is_kind(const char *text, size_t length) {
    return length > 0 && length < ROUTE_PARAMETER_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") >= length;
}

/* One segment of the path that stands where the pattern has a parameter. */
static bool take_parameter(const char *name, const char *segment, size_t length, char *target) {
    if (length >= ROUTE_PARAMETER_MAX) {
        return false;
    }
    (void)text_format(target, ROUTE_PARAMETER_MAX, "%.*s", (int)length, segment);
    if (text_starts_with(name, ":kind")) {
        return is_kind(segment, length);
    }
    if (!text_is_uuid(target)) {
        return false;
    }
    fields_lower(target);
    return true;
}

static bool match_path(const char *pattern, const char *path,
                       char parameters[ROUTE_MAX_PARAMETERS][ROUTE_PARAMETER_MAX]) {
    size_t taken = 0;
    while (*pattern == '/' && *path == '/') {
        pattern++;
        path++;
        size_t wanted = strcspn(pattern, "/");
        size_t given = strcspn(path, "/");
        if (*pattern == ':') {
            if (taken == ROUTE_MAX_PARAMETERS || !take_parameter(pattern, path, given, parameters[taken])) {
                return false;
            }
            taken++;
        } else if (wanted != given || memcmp(pattern, path, wanted) != 0) {
            return false;
        }
        pattern += wanted;
        path += given;
    }
    return *pattern == '\0' && *path == '\0';
}

static void add_method(char allow[128], const char *method) {
    size_t length = strlen(allow);
    (void)text_format(allow + length, 128 - length, "%s%s", length > 0 ? ", " : "", method);
}

enum route_match route_find(const char *method, const char *path, const struct route **route,
                            char parameters[ROUTE_MAX_PARAMETERS][ROUTE_PARAMETER_MAX], char allow[128]) {
    char found[ROUTE_MAX_PARAMETERS][ROUTE_PARAMETER_MAX] = {"", ""};
    bool known = false;
    allow[0] = '\0';
    for (size_t i = 0; i < route_count; i++) {
        const struct route *row = &routes[i];
        if (!match_path(row->pattern, path, found)) {
            continue;
        }
        bool head = strcmp(row->method, "GET") == 0 && (row->flags & ROUTE_NO_HEAD) == 0;
        if (strcmp(row->method, method) == 0 || (head && strcmp(method, "HEAD") == 0)) {
            *route = row;
            memcpy(parameters, found, sizeof found);
            return ROUTE_FOUND;
        }
        known = true;
        add_method(allow, row->method);
        if (head) {
            add_method(allow, "HEAD");
        }
    }
    if (known) {
        add_method(allow, "OPTIONS");
    }
    return known ? ROUTE_NO_METHOD : ROUTE_NO_PATH;
}
