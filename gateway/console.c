/* SPDX-License-Identifier: MIT
 * The web console: static files out of this program, and the exchange of a one-time code for a token. The
 * files are open to all, since they hold nothing; what they show comes from the API by the user's own token.
 * The code is signed with the shared secret and spent by a row in Postgres, so that it works once over all
 * gateways. It comes in the body and is never logged. */
#include "gateway/console.h"

#include "gateway/auth.h"
#include "gateway/call.h"
#include "gateway/json.h"
#include "gateway/module.h"
#include "lib/memory.h"
#include "storage/storage.h"
#include <stdlib.h>
#include <string.h>

#define POLICY_SOURCES_MAX 600
#define NOBODY "00000000-0000-0000-0000-000000000000"

/* ---- files ---- */

/* Appends " scheme://host[:port]" of a URL. */
static void append_origin(char *sources, const char *url) {
    const char *host = url != NULL ? strstr(url, "://") : NULL;
    size_t used = strlen(sources);
    if (host == NULL) {
        return;
    }
    size_t length = (size_t)(host - url) + 3 + strcspn(host + 3, "/?#;, '\"");
    (void)text_format(sources + used, POLICY_SOURCES_MAX - used, " %.*s", (int)length, url);
}

/* The policy that the page is served under: its own files, and the store for bytes. The caller frees it. */
static char *console_policy(const struct storage *storage, const char *public_base_url) {
    char url[STORAGE_URL_MAX];
    char sources[POLICY_SOURCES_MAX] = "";
    if (storage_presign(
            storage,
            &(struct storage_presign){.method = "GET", .key = NOBODY, .expires_s = 1, .content_length = -1},
            url, sizeof url) == 0) {
        append_origin(sources, url);
    }
    append_origin(sources, public_base_url);
    return memory_format("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:%s; "
                         "media-src 'self' blob:%s; connect-src 'self'%s; frame-ancestors 'none'; "
                         "base-uri 'none'; form-action 'none'",
                         sources, sources, sources);
}

static const struct console_asset *find_asset(const char *name) {
    for (size_t i = 0; i < console_asset_count; i++) {
        if (strcmp(console_assets[i].name, name) == 0) {
            return &console_assets[i];
        }
    }
    return NULL;
}

static void send_asset(struct call *call, const struct console_asset *asset) {
    const struct settings *settings = &call->gateway->settings;
    const char *known = http_request_header(call->request, "If-None-Match");
    bool same = known != NULL && strstr(known, asset->etag) != NULL;
    char *policy = console_policy(call->gateway->storage, settings->public_base_url);
    const struct http_header headers[] = {
        {"X-Request-Id", call->request_id},
        {"Cache-Control", "no-cache"},
        {"ETag", asset->etag},
        {"Content-Security-Policy", policy},
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Permissions-Policy", "camera=(), geolocation=(), microphone=()"},
        {"Content-Type", asset->content_type},
    };
    call->status = same ? 304 : 200;
    http_respond(call->request, &(struct http_response){
                                    .status = call->status,
                                    .headers = headers,
                                    .header_count = sizeof headers / sizeof headers[0] - (same ? 1 : 0),
                                    .body = same ? NULL : (const char *)asset->bytes,
                                    .body_size = same ? 0 : asset->size,
                                    .close = call->gateway->draining,
                                });
    free(policy);
}

/* The parameter is empty for /console/ itself. */
static void handle_asset(struct call *call) {
    const struct console_asset *asset = find_asset(call->parameters[0]);
    if (asset == NULL || !call->gateway->settings.console) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
    } else if (call->request != NULL) {
        send_asset(call, asset);
    }
}

static void handle_page_elsewhere(struct call *call) {
    if (call->gateway->settings.console) {
        const struct http_header headers[] = {{"Location", "/console/"}, {NULL, NULL}};
        call_send(call, 308, NULL, NULL, headers);
    } else {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
    }
}

/* ---- the one-time code ---- */

/* A blank can't stand in an Idempotency-Key of a request, so the two never meet. */
static const struct statement spend_code = {
    .name = "console_code_spend",
    .text = "insert into idempotency_keys (user_id, key, request_hash, status, body) "
            "values (filemill_user(), 'console code ' || $1, 'console', 410, '')",
    .parameters = 1,
};

static void spent(struct call *call, const struct database_answer *answer) {
    const struct settings *settings = &call->gateway->settings;
    char *token = auth_issue(call->gateway->auth, call->user, settings->console_session_seconds);
    if (token == NULL) {
        call_problem(call, PROBLEM_INTERNAL, NULL);
        return;
    }
    call_respond_take(call, 200,
                      memory_format("{\"token\":\"%s\",\"user_id\":\"%s\",\"expires_in_seconds\":%lld}",
                                    token, call->user, (long long)settings->console_session_seconds));
    free(token);
}

static const struct call_refusal spent_before[] = {{.sqlstate = "23505", .problem = PROBLEM_INVALID_CODE},
                                                   {.sqlstate = NULL}};

static void handle_session(struct call *call) {
    char id[UUID_TEXT_SIZE];
    struct token_claims claims;
    const char *code = json_string_value(json_object_get(call->body, "code"));
    if (!call->gateway->settings.console) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    if (auth_read_code(call->gateway->auth, code, CONSOLE_AUDIENCE, &claims, id) != 0) {
        call_problem(call, PROBLEM_INVALID_CODE, NULL);
        return;
    }
    (void)text_copy(call->user, sizeof call->user, claims.user);
    const struct query query = {.statement = &spend_code, .values = {id}};
    call_write_one(call, &query, spent, spent_before);
}

/* ---- what it serves ---- */

static const struct field session_fields[] = {
    {"code", FIELD_TEXT, true, 1, 4096, NULL, "What `filemill console` put behind #code= in its link."},
};

static const struct route routes[] = {
    {.method = "GET",
     .pattern = "/console",
     .operation = "consoleElsewhere",
     .flags = ROUTE_PAGE,
     .handler = handle_page_elsewhere,
     .summary = "To /console/.",
     .success = 200},
    {.method = "GET",
     .pattern = "/console/",
     .operation = "console",
     .flags = ROUTE_PAGE,
     .handler = handle_asset,
     .summary = "The web console.",
     .success = 200},
    {.method = "GET",
     .pattern = "/console/:asset",
     .operation = "consoleAsset",
     .flags = ROUTE_PAGE,
     .handler = handle_asset,
     .summary = "A file of the web console.",
     .success = 200},
    {.method = "POST",
     .pattern = "/v1/console/session",
     .operation = "consoleSession",
     .flags = ROUTE_WRITES | ROUTE_BODY,
     .handler = handle_session,
     ROUTE_FIELDS(session_fields),
     .summary = "Exchange a one-time code of `filemill console` for a token; once, within five minutes.",
     .success = 200,
     .response = "ConsoleSession",
     .problems = {PROBLEM_INVALID_CODE, PROBLEM_NOT_FOUND, PROBLEM_DATABASE_UNAVAILABLE}},
};

static const struct answer_row answers[] = {
    {.name = "ConsoleSession", .members = "token:text user_id:Uuid expires_in_seconds:integer"},
};

const struct gateway_module console_module = {
    .name = "console", MODULE_ROUTES(routes), MODULE_ANSWERS(answers)};
