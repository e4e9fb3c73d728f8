/* SPDX-License-Identifier: MIT
 * The shapes of answers; see answers.h. A row is either a choice ("a|b") or members, separated by blanks:
 *   name:type   type is text, integer, object, true, uri or another row's name; [type] is an array of it
 *   name?:type  may be null
 *   name~:type  may be absent */
#include "gateway/answers.h"

#include "lib/log.h"
#include "lib/text.h"
#include <stdbool.h>
#include <string.h>

struct answer_row {
    const char *name;
    const char *choices;
    const char *members;
};

#define FILE_MEMBERS                                                                                         \
    "file_id:Uuid tenant_id:Uuid owner_user_id:Uuid filename?:text visibility:Visibility mime:text "         \
    "detected_mime?:text size_bytes:integer sha256?:text status:FileStatus generation:integer r2_key:text "  \
    "created_at:Time updated_at:Time finalized_at?:Time"

static const struct answer_row rows[] = {
    {.name = "Role", .choices = "owner|admin|member|internal"},
    {.name = "Visibility", .choices = "public|private|internal"},
    {.name = "FileStatus", .choices = "uploading|ready|processing|failed"},
    {.name = "JobStatus", .choices = "queued|running|done|failed|retry|waiting|cancelled"},
    {.name = "Ok", .members = "ok:true"},
    {.name = "OpenApi", .members = "openapi:text info:object paths:object"},
    {.name = "Tenant", .members = "tenant_id:Uuid name:text role:Role"},
    {.name = "TenantRow", .members = "id:Uuid name:text role:Role created_at:Time"},
    {.name = "Tenants", .members = "tenants:[TenantRow]"},
    {.name = "Member", .members = "tenant_id:Uuid user_id:Uuid role:Role"},
    {.name = "MemberRow", .members = "user_id:Uuid role:Role created_at:Time"},
    {.name = "Members", .members = "members:[MemberRow]"},
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
    {.name = "Job",
     .members =
         "id:Uuid file_id~:Uuid tenant_id~:Uuid type:text status:JobStatus attempts:integer error_code?:text "
         "error_detail?:text stage?:text progress_done:integer progress_total:integer generation:integer "
         "run_after:Time created_at:Time started_at?:Time finished_at?:Time"},
    {.name = "FileDetail", .members = FILE_MEMBERS " derivatives:[Derivative] jobs:[Job]"},
    {.name = "Deleted", .members = "ok:true file_id:Uuid status:text"},
    {.name = "Cancelled", .members = "ok:true id:Uuid status:text"},
    {.name = "Problem",
     .members = "error:text type:uri title:text status:integer detail~:text details~:object"},
};

static json_t *type_schema(const char *type, size_t length) {
    static const struct {
        const char *name;
        const char *schema;
    } plain[] = {
        {"text", "{\"type\":\"string\"}"},
        {"integer", "{\"type\":\"integer\"}"},
        {"object", "{\"type\":\"object\"}"},
        {"true", "{\"const\":true}"},
        {"uri", "{\"type\":\"string\",\"format\":\"uri\"}"},
    };
    if (*type == '[') {
        return json_pack("{s:s,s:o}", "type", "array", "items", type_schema(type + 1, length - 2));
    }
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (strlen(plain[i].name) == length && memcmp(plain[i].name, type, length) == 0) {
            return json_loads(plain[i].schema, 0, NULL);
        }
    }
    return json_pack("{s:o}", "$ref", json_sprintf("#/components/schemas/%.*s", (int)length, type));
}

static json_t *members_schema(const char *members) {
    json_t *properties = json_object();
    json_t *required = json_array();
    for (const char *at = members; *at != '\0'; at += strspn(at, " ")) {
        size_t length = strcspn(at, "?~:");
        bool nullable = at[length] == '?';
        bool optional = at[length] == '~';
        const char *type = strchr(at, ':') + 1;
        size_t type_length = strcspn(type, " ");
        json_t *schema = type_schema(type, type_length);
        if (nullable) {
            schema = json_pack("{s:[o,{s:s}]}", "anyOf", schema, "type", "null");
        }
        json_t *name = json_stringn(at, length);
        json_object_set_new(properties, json_string_value(name), schema);
        if (!optional) {
            json_array_append(required, name);
        }
        json_decref(name);
        at = type + type_length;
    }
    return json_pack("{s:s,s:o,s:o}", "type", "object", "required", required, "properties", properties);
}

static json_t *choices_schema(const char *choices) {
    json_t *list = json_array();
    for (const char *at = choices; *at != '\0';) {
        size_t length = strcspn(at, "|");
        json_array_append_new(list, json_stringn(at, length));
        at += length + (at[length] == '|' ? 1 : 0);
    }
    return json_pack("{s:s,s:o}", "type", "string", "enum", list);
}

json_t *answers_schemas(void) {
    json_t *schemas = json_pack("{s:{s:s,s:s},s:{s:s,s:s}}", "Uuid", "type", "string", "format", "uuid",
                                "Time", "type", "string", "format", "date-time");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *schema =
            rows[i].choices != NULL ? choices_schema(rows[i].choices) : members_schema(rows[i].members);
        if (schema == NULL || json_object_set_new(schemas, rows[i].name, schema) != 0) {
            fatal("the schema of %s can't be made", rows[i].name);
        }
    }
    return schemas;
}
