/* SPDX-License-Identifier: MIT
 * The steps of every request; see request.h. What can be refused by the head alone is refused before the body
 * is read: route, drain, token, rate, media type. Then the body, then the key of idempotency, then the
 * handler. */
#include "gateway/request.h"

#include "gateway/auth.h"
#include "gateway/call.h"
#include "gateway/cors.h"
#include "gateway/events.h"
#include "gateway/idempotency.h"
#include "gateway/json.h"
#include "gateway/rate.h"
#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/memory.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_QUERY_PARAMETERS 16
#define NO_BODY_BYTES 0

static void answer_options(struct call *call, const char *allow) {
    bool preflight =
        http_request_header(call->request, "Access-Control-Request-Method") != NULL &&
        cors_allows(call->gateway->settings.cors_origins, http_request_header(call->request, "Origin"));
    const struct http_header headers[] = {
        {"Allow", allow},
        {preflight ? "Access-Control-Allow-Methods" : NULL, allow},
        {"Access-Control-Allow-Headers", CORS_ALLOW_HEADERS},
        {"Access-Control-Max-Age", CORS_MAX_AGE},
        {NULL, NULL},
    };
    call_send(call, 204, NULL, NULL, headers);
}

/* 0, or -1 when the call is answered. */
static int find_route(struct call *call) {
    char allow[128];
    const char *method = http_request_method(call->request);
    enum route_match match =
        route_find(method, http_request_raw_path(call->request), &call->route, call->parameters, allow);
    if (match == ROUTE_FOUND) {
        return 0;
    }
    if (match == ROUTE_NO_PATH) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
    } else if (strcmp(method, "OPTIONS") == 0) {
        answer_options(call, allow);
    } else {
        const struct http_header headers[] = {{"Allow", allow}, {NULL, NULL}};
        char *document = problem_document(PROBLEM_METHOD_NOT_ALLOWED, NULL, NULL);
        call_send(call, 405, "application/problem+json", document, headers);
        free(document);
    }
    return -1;
}

static int take_rate(struct call *call) {
    int64_t wait_s = rate_take(call->gateway->rate, call->user, clock_monotonic_ms());
    if (wait_s == 0) {
        return 0;
    }
    char seconds[24];
    (void)text_format(seconds, sizeof seconds, "%lld", (long long)wait_s);
    const struct http_header headers[] = {{"Retry-After", seconds}, {NULL, NULL}};
    char *document = problem_document(PROBLEM_RATE_LIMITED, NULL, NULL);
    counter_add(COUNT_HTTP_REFUSED_RATE, 1);
    call_send(call, 429, "application/problem+json", document, headers);
    free(document);
    return -1;
}

/* 0 when the caller is known and may go on; 1 when keys are being fetched; -1 when the call is answered. */
static int authenticate(struct call *call) {
    static const enum problem problems[] = {[AUTH_MISSING] = PROBLEM_MISSING_TOKEN,
                                            [AUTH_REFUSED] = PROBLEM_INVALID_TOKEN,
                                            [AUTH_FORBIDDEN] = PROBLEM_FORBIDDEN,
                                            [AUTH_UNAVAILABLE] = PROBLEM_KEYS_UNAVAILABLE};
    struct token_claims claims;
    enum auth_result result =
        auth_check(call->gateway->auth, http_request_header(call->request, "Authorization"), &claims);
    if (result == AUTH_WAIT) {
        return 1;
    }
    if (result != AUTH_OK) {
        call_problem(call, problems[result], NULL);
        return -1;
    }
    (void)text_copy(call->user, sizeof call->user, claims.user);
    call->token_expires_s = claims.expires_s;
    return take_rate(call);
}

static bool is_json_type(const char *type) {
    static const char name[] = "application/json";
    if (type == NULL || strncasecmp(type, name, sizeof name - 1) != 0) {
        return false;
    }
    const char *rest = type + sizeof name - 1;
    rest += strspn(rest, " \t");
    return *rest == '\0' || *rest == ';';
}

static bool is_form_type(const char *type) {
    return type != NULL && strncasecmp(type, "multipart/form-data", 19) == 0;
}

static int check_media_type(struct call *call) {
    uint64_t length = http_request_body_length(call->request);
    const char *coding = http_request_header(call->request, "Content-Encoding");
    bool streamed = (call->route->flags & ROUTE_STREAM_BODY) != 0;
    const char *type = http_request_header(call->request, "Content-Type");
    if (((call->route->flags & ROUTE_BODY) == 0 && !streamed) ||
        ((call->route->flags & ROUTE_BODY_OPTIONAL) != 0 && length == 0)) {
        return 0;
    }
    if ((streamed ? is_form_type(type) : is_json_type(type)) &&
        (coding == NULL || strcasecmp(coding, "identity") == 0)) {
        return 0;
    }
    call_problem(call, PROBLEM_UNSUPPORTED_MEDIA_TYPE, NULL);
    return -1;
}

static int begin(void *context, struct http_request *request, struct http_plan *plan) {
    struct gateway *gateway = context;
    struct call *call = call_new(gateway, request);
    http_request_set_context(request, call);
    call_hold(call); /* answering may close it */
    int result = find_route(call);
    if (result == 0 && gateway->draining && (call->route->flags & ROUTE_WRITES) != 0) {
        call_problem(call, PROBLEM_DRAINING, NULL);
        result = -1;
    }
    if (result == 0 && (call->route->flags & ROUTE_AUTHENTICATED) != 0) {
        int authenticated = authenticate(call);
        call->waits_for_keys = authenticated == 1;
        result = authenticated < 0 ? -1 : 0;
    }
    if (result == 0) {
        result = check_media_type(call);
    }
    if (result == 0 && (call->route->flags & ROUTE_STREAM_BODY) != 0) {
        plan->streamed = true;
        plan->max_body_bytes = (uint64_t)gateway->settings.form_bytes;
    } else if (result == 0) {
        plan->max_body_bytes = (call->route->flags & ROUTE_BODY) != 0
                                   ? (uint64_t)gateway->settings.max_body_bytes
                                   : NO_BODY_BYTES;
    }
    call_release(call);
    return result;
}

/* Takes what is wrong; 0 where that is NULL, else -1, and the call is answered. */
static int judge(struct call *call, json_t *details) {
    if (details == NULL) {
        return 0;
    }
    call_problem_with(call, PROBLEM_BAD_REQUEST, NULL, json_pack("{s:o}", "details", details));
    return -1;
}

static int check_query(struct call *call) {
    struct http_header parameters[MAX_QUERY_PARAMETERS];
    size_t count = http_request_queries(call->request, parameters, MAX_QUERY_PARAMETERS);
    const struct field_rows rows = {call->route->query, call->route->query_count, 0};
    if (call->route->query_count == 0 && count == 0) {
        return 0;
    }
    return judge(call, count < MAX_QUERY_PARAMETERS
                           ? fields_check_query(&rows, parameters, count)
                           : json_pack("{s:[s],s:{}}", "formErrors", "Too many parameters", "fieldErrors"));
}

static int read_body(struct call *call) {
    const char *reason;
    size_t size;
    const char *bytes = http_request_body(call->request, &size);
    if ((call->route->flags & ROUTE_BODY) == 0 ||
        ((call->route->flags & ROUTE_BODY_OPTIONAL) != 0 && size == 0)) {
        return 0;
    }
    call->body = json_decode(bytes, size, &reason);
    if (call->body == NULL) {
        char *words = memory_format("The body %s.", reason);
        call_problem_with(call, PROBLEM_BAD_REQUEST, words,
                          json_pack("{s:{s:[s],s:{}}}", "details", "formErrors", words, "fieldErrors"));
        free(words);
        return -1;
    }
    const struct field_rows rows = {call->route->fields, call->route->field_count,
                                    call->gateway->settings.max_upload_bytes};
    return judge(call, fields_check(&rows, call->body));
}

static void go_on(struct call *call) {
    if (check_query(call) == 0 && read_body(call) == 0 && !idempotency_begin(call)) {
        call->route->handler(call);
    }
}

static void keys_came(void *context) {
    struct call *call = context;
    if (call->request != NULL) {
        int authenticated = authenticate(call);
        if (authenticated == 0) {
            go_on(call);
        } else if (authenticated > 0) { /* one round is enough */
            call_problem(call, PROBLEM_INVALID_TOKEN, NULL);
        }
    }
    call_release(call);
}

/* ---- bodies as they come ---- */

/* The first of a body whose sender is not known yet: kept until the keys are here. */
struct early {
    struct call *call;
    size_t size;
    char bytes[];
};

static void go_on_streaming(void *context) {
    struct early *early = context;
    struct call *call = early->call;
    int result = call->request == NULL ? -1 : authenticate(call);
    if (result > 0) { /* one round is enough */
        call_problem(call, PROBLEM_INVALID_TOKEN, NULL);
    } else if (result == 0 && call->route->stream(call, early->bytes, early->size) == 0) {
        http_request_continue(call->request);
    }
    free(early);
    call_release(call);
}

static void wait_for_keys(struct call *call, const char *bytes, size_t size) {
    struct early *early = memory_new(sizeof *early + size);
    early->call = call;
    early->size = size;
    memcpy(early->bytes, bytes, size);
    call->waits_for_keys = false;
    http_request_pause(call->request);
    call_hold(call);
    auth_wait(call->gateway->auth, go_on_streaming, early);
}

static int body(void *context, struct http_request *request, const char *bytes, size_t size) {
    struct call *call = http_request_context(request);
    if (call->status != 0) {
        return -1;
    }
    if (call->waits_for_keys) {
        wait_for_keys(call, bytes, size);
        return 0;
    }
    call_hold(call);
    int result = call->route->stream(call, bytes, size);
    call_release(call);
    return result < 0 ? -1 : 0;
}

static void complete(void *context, struct http_request *request) {
    struct call *call = http_request_context(request);
    if (call->status != 0) {
        return;
    }
    call_hold(call);
    if (call->waits_for_keys) {
        call->waits_for_keys = false;
        int authenticated = authenticate(call);
        if (authenticated > 0) {
            call_hold(call);
            auth_wait(call->gateway->auth, keys_came, call);
        } else if (authenticated == 0) {
            go_on(call);
        }
    } else {
        go_on(call);
    }
    call_release(call);
}

static void closed(void *context, struct http_request *request) {
    struct gateway *gateway = context;
    struct call *call = http_request_context(request);
    events_forget(gateway->events, call);
    call_closed(call);
}

const struct http_handlers request_handlers = {.begin = begin, .body = body, .complete = complete, .closed = closed};
