/* SPDX-License-Identifier: MIT
 * JSON Schemas from the shapes of answers (module.h), and the shapes that all modules share. */
#include "gateway/answers.h"

#include "gateway/json.h"
#include "gateway/module.h"
#include "lib/log.h"
#include "lib/text.h"
#include <stdbool.h>
#include <string.h>

static const struct answer_row core[] = {
    {.name = "Role", .choices = "owner|admin|member|internal"},
    {.name = "Visibility", .choices = "public|private|internal"},
    {.name = "JobStatus", .choices = "queued|running|done|failed|retry|waiting|cancelled"},
    {.name = "Ok", .members = "ok:true"},
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
        {"number", "{\"type\":\"number\"}"},
        {"boolean", "{\"type\":\"boolean\"}"},
        {"object", "{\"type\":\"object\"}"},
        {"boolean", "{\"type\":\"boolean\"}"},
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
    return json_pack("{s:s,s:o}", "type", "string", "enum", json_choices(choices));
}

static void add_schemas(json_t *schemas, const struct answer_row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        json_t *schema =
            rows[i].choices != NULL ? choices_schema(rows[i].choices) : members_schema(rows[i].members);
        if (schema == NULL || json_object_get(schemas, rows[i].name) != NULL ||
            json_object_set_new(schemas, rows[i].name, schema) != 0) {
            fatal("the schema of %s can't be made", rows[i].name);
        }
    }
}

json_t *answers_schemas(void) {
    json_t *schemas = json_pack("{s:{s:s,s:s},s:{s:s,s:s}}", "Uuid", "type", "string", "format", "uuid",
                                "Time", "type", "string", "format", "date-time");
    add_schemas(schemas, core, sizeof core / sizeof core[0]);
    for (size_t i = 0; i < gateway_module_count; i++) {
        add_schemas(schemas, gateway_modules[i]->answers, gateway_modules[i]->answer_count);
    }
    return schemas;
}
