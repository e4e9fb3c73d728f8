/* SPDX-License-Identifier: MIT
 * The OpenAPI document; see openapi.h. Paths, parameters, bodies and errors come from the routes table, the
 * schemas of answers from the table in answers.c. */
#include "gateway/openapi.h"

#include "gateway/answers.h"
#include "gateway/call.h"
#include "gateway/handlers.h"
#include "gateway/json.h"
#include "gateway/module.h"
#include "gateway/routes.h"
#include "lib/buffer.h"
#include "lib/log.h"
#include <stdlib.h>
#include <string.h>

#define PATH_MAX_BYTES 256

/* "/v1/files/:id/download" becomes "/v1/files/{id}/download". */
static void write_path(struct buffer *path, const char *pattern) {
    buffer_reset(path);
    int failed = 0;
    while (*pattern != '\0') {
        size_t length = strcspn(pattern, ":");
        failed |= buffer_append(path, pattern, length);
        pattern += length;
        if (*pattern == ':') {
            length = strcspn(pattern, "/");
            failed |= buffer_append_format(path, "{%.*s}", (int)length - 1, pattern + 1);
            pattern += length;
        }
    }
    if (failed != 0) {
        fatal("a route's pattern is too long");
    }
}

static json_t *path_parameters(const char *pattern) {
    json_t *parameters = json_array();
    for (const char *at = strchr(pattern, ':'); at != NULL; at = strchr(at + 1, ':')) {
        size_t length = strcspn(at, "/") - 1;
        bool is_word = strncmp(at + 1, "kind", length) == 0 || strncmp(at + 1, "name", length) == 0;
        json_t *schema =
            is_word ? json_pack("{s:s,s:s}", "type", "string", "pattern", "^[a-z0-9_-]{1,64}$")
                    : json_pack("{s:s}", "$ref", "#/components/schemas/Uuid");
        json_array_append_new(parameters, json_pack("{s:s%,s:s,s:b,s:o}", "name", at + 1, length, "in",
                                                    "path", "required", 1, "schema", schema));
    }
    return parameters;
}

static void add_header_parameter(json_t *parameters, const char *name, const char *description) {
    json_array_append_new(parameters, json_pack("{s:s,s:s,s:s,s:{s:s}}", "name", name, "in", "header",
                                                "description", description, "schema", "type", "string"));
}

static json_t *route_parameters(const struct route *route) {
    json_t *parameters = path_parameters(route->pattern);
    for (size_t i = 0; i < route->query_count; i++) {
        json_array_append_new(parameters, json_pack("{s:s,s:s,s:b,s:o}", "name", route->query[i].name, "in",
                                                    "query", "required", route->query[i].required, "schema",
                                                    fields_schema_of(&route->query[i], 0)));
    }
    if ((route->flags & ROUTE_IDEMPOTENT_KEY) != 0) {
        add_header_parameter(parameters, "Idempotency-Key",
                             "One effect and one answer for all requests with this key, for 24 hours.");
    }
    if (route->handler == handle_events) {
        add_header_parameter(parameters, "Last-Event-ID", "Tell of what came after this event.");
    }
    return parameters;
}

static void add_problem(json_t *responses, enum problem problem) {
    char status[8];
    const struct problem_row *row = &problem_rows[problem];
    (void)text_format(status, sizeof status, "%d", row->status);
    json_t *response = json_object_get(responses, status);
    if (response == NULL) {
        response = json_pack("{s:s,s:{s:{s:{s:s}}}}", "description", "", "content",
                             "application/problem+json", "schema", "$ref", "#/components/schemas/Problem");
        json_object_set_new(responses, status, response);
    }
    const char *before = json_string_value(json_object_get(response, "description"));
    json_t *words = json_sprintf("%s%s`%s`: %s", before, before[0] != '\0' ? " " : "", row->code, row->title);
    json_object_set_new(response, "description", words);
}

static json_t *route_responses(const struct route *route) {
    static const enum problem of_authenticated[] = {PROBLEM_BAD_REQUEST, PROBLEM_MISSING_TOKEN,
                                                    PROBLEM_INVALID_TOKEN, PROBLEM_RATE_LIMITED,
                                                    PROBLEM_DATABASE_UNAVAILABLE};
    static const enum problem of_keys[] = {PROBLEM_IN_PROGRESS, PROBLEM_KEY_REUSED};
    char status[8];
    (void)text_format(status, sizeof status, "%d", route->success);
    json_t *success = json_pack("{s:s}", "description", route->summary);
    if (route->response != NULL) {
        json_object_set_new(success, "content",
                            json_pack("{s:{s:{s:o}}}", "application/json", "schema", "$ref",
                                      json_sprintf("#/components/schemas/%s", route->response)));
    } else {
        json_object_set_new(success, "content",
                            json_pack("{s:{s:{s:s}}}", "text/event-stream", "schema", "type", "string"));
    }
    json_t *responses = json_pack("{s:o}", status, success);
    for (size_t i = 0; i < ROUTE_MAX_PROBLEMS && route->problems[i] != 0; i++) {
        add_problem(responses, route->problems[i]);
    }
    if ((route->flags & ROUTE_AUTHENTICATED) != 0) {
        for (size_t i = 0; i < sizeof of_authenticated / sizeof of_authenticated[0]; i++) {
            add_problem(responses, of_authenticated[i]);
        }
    }
    if ((route->flags & (ROUTE_BODY | ROUTE_STREAM_BODY)) != 0) {
        if ((route->flags & ROUTE_AUTHENTICATED) == 0) {
            add_problem(responses, PROBLEM_BAD_REQUEST);
        }
        add_problem(responses, PROBLEM_UNSUPPORTED_MEDIA_TYPE);
    }
    if ((route->flags & ROUTE_WRITES) != 0) {
        add_problem(responses, PROBLEM_DRAINING);
    }
    for (size_t i = 0; (route->flags & ROUTE_IDEMPOTENT_KEY) != 0 && i < 2; i++) {
        add_problem(responses, of_keys[i]);
    }
    if ((route->flags & ROUTE_ONCE) != 0) {
        add_problem(responses, PROBLEM_ANSWER_LOST);
    }
    return responses;
}

static json_t *route_operation(const struct route *route, int64_t max_upload_bytes) {
    json_t *operation =
        json_pack("{s:s,s:s,s:o,s:o}", "operationId", route->operation, "summary", route->summary,
                  "parameters", route_parameters(route), "responses", route_responses(route));
    if ((route->flags & ROUTE_AUTHENTICATED) == 0) {
        json_object_set_new(operation, "security", json_array());
    }
    if ((route->flags & ROUTE_BODY) != 0) {
        const struct field_rows rows = {route->fields, route->field_count, max_upload_bytes};
        json_object_set_new(operation, "requestBody",
                            json_pack("{s:b,s:{s:{s:o}}}", "required",
                                      (route->flags & ROUTE_BODY_OPTIONAL) == 0, "content",
                                      "application/json", "schema", fields_schema(&rows)));
    }
    if ((route->flags & ROUTE_STREAM_BODY) != 0) {
        const struct field_rows rows = {route->fields, route->field_count, max_upload_bytes};
        json_object_set_new(operation, "requestBody",
                            json_pack("{s:b,s:{s:{s:o}}}", "required", 1, "content", "multipart/form-data", "schema",
                                      fields_schema(&rows)));
    }
    return operation;
}

static json_t *make_paths(int64_t max_upload_bytes) {
    json_t *paths = json_object();
    struct buffer path;
    buffer_init(&path, PATH_MAX_BYTES);
    const struct route *route;
    for (size_t i = 0; (route = routes_at(i)) != NULL; i++) {
        char method[8];
        if ((route->flags & ROUTE_PAGE) != 0) {
            continue;
        }
        write_path(&path, route->pattern);
        (void)text_copy(method, sizeof method, route->method);
        fields_lower(method);
        if (json_object_get(paths, path.data) == NULL) {
            json_object_set_new(paths, path.data, json_object());
        }
        json_object_set_new(json_object_get(paths, path.data), method,
                            route_operation(route, max_upload_bytes));
    }
    buffer_clear(&path);
    return paths;
}

char *openapi_document(const char *server_url, int64_t max_upload_bytes) {
    json_t *document = json_pack(
        "{s:s,s:{s:s,s:s,s:s},s:[{s:[]}],s:o,s:{s:o,s:{s:{s:s,s:s,s:s}}}}", "openapi", "3.1.0", "info",
        "title", "Filemill", "version", FILEMILL_VERSION, "description",
        "Uploads by presigned URL, processing in a sandbox, derivatives by presigned URL.", "security",
        "bearer", "paths", make_paths(max_upload_bytes), "components", "schemas", answers_schemas(),
        "securitySchemes", "bearer", "type", "http", "scheme", "bearer", "bearerFormat", "JWT");
    if (document == NULL) {
        fatal("the OpenAPI document can't be made");
    }
    if (server_url != NULL) {
        json_object_set_new(document, "servers", json_pack("[{s:s}]", "url", server_url));
    }
    char *text = json_encode(document);
    json_decref(document);
    return text;
}

static void handle_openapi(struct call *call) {
    call_respond(call, 200, call->gateway->openapi);
}

/* ---- what it serves ---- */

static const struct route routes[] = {
    {.method = "GET",
     .pattern = "/openapi.json",
     .operation = "openapi",
     .handler = handle_openapi,
     .summary = "This document.",
     .success = 200,
     .response = "OpenApi"},
};

static const struct answer_row answers[] = {
    {.name = "OpenApi", .members = "openapi:text info:object paths:object"},
};

const struct gateway_module openapi_module = {
    .name = "openapi", MODULE_ROUTES(routes), MODULE_ANSWERS(answers)};
