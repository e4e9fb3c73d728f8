/* SPDX-License-Identifier: MIT
 * One request on its way; see call.h. */
#include "gateway/call.h"

#include "gateway/cors.h"
#include "gateway/idempotency.h"
#include "gateway/json.h"
#include "gateway/measure.h"
#include "gateway/statements.h"
#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include <stdlib.h>
#include <string.h>

#define CALL_MAX_QUERIES 8
#define CALL_MAX_HEADERS 16

/* A caller's own id is taken where it is harmless in headers and logs. */
static bool is_request_id(const char *text) {
    size_t length = text != NULL ? strnlen(text, REQUEST_ID_MAX + 1) : 0;
    return length > 0 && length <= REQUEST_ID_MAX &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:") == length;
}

struct call *call_new(struct gateway *gateway, struct http_request *request) {
    struct call *call = memory_new(sizeof *call);
    call->gateway = gateway;
    call->request = request;
    call->started_us = clock_monotonic_us();
    const char *id = http_request_header(request, "X-Request-Id");
    if (is_request_id(id)) {
        text_copy(call->request_id, sizeof call->request_id, id);
    } else {
        text_uuid7(call->request_id);
    }
    if (!trace_parse(http_request_header(request, "traceparent"), call->trace)) {
        trace_make(call->trace);
    }
    (void)trace_header(call->traceparent, call->trace);
    call->next = gateway->calls;
    if (call->next != NULL) {
        call->next->previous = call;
    }
    gateway->calls = call;
    gateway->call_count++;
    return call;
}

static void destroy_call(struct call *call) {
    if (call->state_clear != NULL) {
        call->state_clear(call->state);
    }
    loop_timer_free(call->idempotency.timer);
    free(call->state);
    json_decref(call->body);
    free(call);
}

static void free_call(struct call *call) {
    if (call->previous != NULL) {
        call->previous->next = call->next;
    } else {
        call->gateway->calls = call->next;
    }
    if (call->next != NULL) {
        call->next->previous = call->previous;
    }
    call->gateway->call_count--;
    destroy_call(call);
}

static void log_access(const struct call *call, int64_t elapsed_us) {
    log_info("request=%s trace=%s method=%s path=%s status=%d user=%s us=%lld", call->request_id, call->trace,
             http_request_method(call->request), http_request_raw_path(call->request), call->status,
             call->user[0] != '\0' ? call->user : "-", (long long)elapsed_us);
}

void call_closed(struct call *call) {
    static const enum counter classes[] = {COUNT_HTTP_REQUESTS_2XX, COUNT_HTTP_REQUESTS_3XX,
                                           COUNT_HTTP_REQUESTS_4XX, COUNT_HTTP_REQUESTS_5XX};
    int64_t elapsed_us = clock_monotonic_us() - call->started_us;
    if (call->status >= 200 && call->status < 600) {
        counter_add(classes[call->status / 100 - 2], 1);
    }
    if (!call->streams) {
        counter_add(COUNT_HTTP_REQUEST_MICROSECONDS, (uint64_t)elapsed_us);
    }
    measures_note(call->gateway->measures, call->route, call->status, call->streams ? -1 : elapsed_us);
    log_access(call, elapsed_us);
    call->request = NULL;
    if (call->pending == 0) {
        free_call(call);
    }
}

void call_free_all(struct gateway *gateway) {
    struct call *next;
    for (struct call *call = gateway->calls; call != NULL; call = next) {
        next = call->next;
        destroy_call(call);
    }
    gateway->calls = NULL;
}

void call_hold(struct call *call) {
    call->pending++;
}

void call_release(struct call *call) {
    call->pending--;
    if (call->pending == 0 && call->request == NULL) {
        free_call(call);
    }
}

void *call_state(struct call *call, size_t size, void (*clear)(void *state)) {
    call->state = memory_new(size);
    call->state_clear = clear;
    return call->state;
}

/* --- the database --- */

/* What the rule of credits says (sql/migrations/0039_credits.sql), whichever statement made the jobs. */
static void fail_out_of_credit(struct call *call, const struct database_answer *answer) {
    const char *reason;
    json_t *members = json_decode(answer->message, strlen(answer->message), &reason);
    call_problem_with(call, PROBLEM_OUT_OF_CREDIT, NULL, members);
}

/* And the rest between two documents (0076_upload_rest.sql). */
static void fail_resting(struct call *call, const struct database_answer *answer) {
    json_t *why = json_loads(answer->message, 0, NULL);
    json_int_t seconds = json_integer_value(json_object_get(why, "retry_after"));
    char text[24];
    (void)text_format(text, sizeof text, "%lld", (long long)seconds);
    const struct http_header headers[] = {{"Retry-After", text}, {NULL, NULL}};
    char *document =
        problem_document(PROBLEM_COOLDOWN, NULL, json_pack("{s:I}", "retry_after_seconds", seconds));
    call_send(call, problem_rows[PROBLEM_COOLDOWN].status, "application/problem+json", document, headers);
    free(document);
    json_decref(why);
}

#define NOTHING_DONE .problem = PROBLEM_DATABASE_UNAVAILABLE, .detail = "Nothing was done.", .warns = true

static const struct call_refusal usual_refusals[] = {
    {.sqlstate = "FM402", .tell = fail_out_of_credit},
    {.sqlstate = "FM011", .tell = fail_resting},
    /* deep in an object that is kept as it came */
    {.sqlstate = "22P05",
     .problem = PROBLEM_BAD_REQUEST,
     .detail = "A text holds a NUL, which can't be kept."},
    /* row security said no where no check of ours did */
    {.sqlstate = "42501", .problem = PROBLEM_FORBIDDEN, .warns = true},
    {.sqlstate = "53", NOTHING_DONE},
    {.sqlstate = "57", NOTHING_DONE},
    {.sqlstate = "40", NOTHING_DONE},
    {.sqlstate = "55P03", NOTHING_DONE},
    {.sqlstate = "25", NOTHING_DONE},
    {.sqlstate = "08", NOTHING_DONE},
    {.sqlstate = NULL},
};

/* False: no row fits, and the call is not answered. */
static bool refuse(struct call *call, const struct call_refusal *row, const struct database_answer *answer) {
    while (row != NULL && row->sqlstate != NULL && !text_starts_with(answer->sqlstate, row->sqlstate)) {
        row++;
    }
    if (row == NULL || row->sqlstate == NULL) {
        return false;
    }
    if (row->warns) {
        log_warn("request=%s sqlstate=%s msg=\"%s\"", call->request_id, answer->sqlstate, answer->message);
    }
    if (row->tell != NULL) {
        row->tell(call, answer);
    } else {
        call_problem(call, row->problem, row->says ? answer->message : row->detail);
    }
    return true;
}

static void deliver(struct call *call, const struct database_answer *answer) {
    switch (answer->outcome) {
    case DATABASE_OK:
        call->idempotency.recorded = call->idempotency.recorded || (call->writes && call->idempotency.active);
        call->on_answer(call, answer);
        return;
    case DATABASE_UNAVAILABLE:
        call_problem(call, PROBLEM_DATABASE_UNAVAILABLE, "Nothing was done.");
        return;
    case DATABASE_LOST:
        call_problem(call, PROBLEM_DATABASE_UNAVAILABLE,
                     call->writes
                         ? "The connection broke while this was done: it may have happened. Look before you "
                           "repeat it, or repeat it with the same Idempotency-Key."
                         : "The connection broke.");
        return;
    case DATABASE_REFUSED:
        break;
    }
    if (call->writes && idempotency_lost_race(call, answer)) {
        return;
    }
    if (!refuse(call, call->refusals, answer) && !refuse(call, usual_refusals, answer)) {
        log_error("request=%s sqlstate=%s msg=\"%s\"", call->request_id, answer->sqlstate, answer->message);
        call_problem(call, PROBLEM_INTERNAL, NULL);
    }
}

static void answered(void *context, const struct database_answer *answer) {
    struct call *call = context;
    deliver(call, answer);
    call_release(call);
}

static void run(struct call *call, const struct query *queries, size_t count, call_query_fn *on_answer) {
    const struct database_local locals[] = {{.name = "filemill.user_id", .value = call->user},
                                            {.name = NULL}};
    call->on_answer = on_answer;
    call_hold(call);
    database_run(call->gateway->database, locals, queries, count, answered, call);
}

void call_read(struct call *call, const struct query *queries, size_t count, call_query_fn *on_answer) {
    call->writes = false;
    call->refusals = NULL;
    call->query_count = count;
    run(call, queries, count, on_answer);
}

void call_write(struct call *call, const struct call_effect *effect) {
    struct query queries[CALL_MAX_QUERIES];
    char status[12];
    size_t count = effect->count;
    if (count >= CALL_MAX_QUERIES) {
        fatal("more queries than a call takes");
    }
    memcpy(queries, effect->queries, count * sizeof queries[0]);
    if (call->idempotency.active && !call->idempotency.recorded) {
        call->idempotency.known_status = effect->known_status;
        (void)text_format(status, sizeof status, "%d", effect->known_status);
        queries[count++] = (struct query){
            .statement = &statements[STATEMENT_IDEMPOTENCY_RECORD],
            .values = {call->idempotency.key, call->idempotency.hash,
                       effect->known_status != 0 ? status : NULL, effect->known_body, effect->proof_file},
        };
    }
    call->writes = true;
    call->refusals = effect->refusals;
    call->query_count = effect->count;
    run(call, queries, count, effect->on_answer);
}

void call_write_one(struct call *call, const struct query *query, call_query_fn *on_answer,
                    const struct call_refusal *refusals) {
    call_write(call, &(struct call_effect){
                         .queries = query, .count = 1, .on_answer = on_answer, .refusals = refusals});
}

/* --- the answer --- */

static size_t common_headers(const struct call *call, struct http_header *headers) {
    size_t count = 0;
    const char *origin = http_request_header(call->request, "Origin");
    headers[count++] = (struct http_header){"X-Request-Id", call->request_id};
    headers[count++] = (struct http_header){"traceresponse", call->traceparent};
    headers[count++] = (struct http_header){"Cache-Control", "no-store"};
    headers[count++] = (struct http_header){"X-Content-Type-Options", "nosniff"};
    if (call->gateway->settings.cors_origins != NULL) {
        headers[count++] = (struct http_header){"Vary", "Origin"};
    }
    if (cors_allows(call->gateway->settings.cors_origins, origin)) {
        headers[count++] = (struct http_header){"Access-Control-Allow-Origin", origin};
        headers[count++] = (struct http_header){"Access-Control-Expose-Headers", CORS_EXPOSE_HEADERS};
    }
    return count;
}

void call_send(struct call *call, int status, const char *content_type, const char *body,
               const struct http_header *extra) {
    if (call->request == NULL || call->status != 0) {
        return;
    }
    struct http_header headers[CALL_MAX_HEADERS];
    size_t count = common_headers(call, headers);
    if (content_type != NULL) {
        headers[count++] = (struct http_header){"Content-Type", content_type};
    }
    for (; extra != NULL && extra->name != NULL && count < CALL_MAX_HEADERS; extra++) {
        headers[count++] = *extra;
    }
    call->status = status;
    http_respond(call->request, &(struct http_response){
                                    .status = status,
                                    .headers = headers,
                                    .header_count = count,
                                    .body = body,
                                    .body_size = body != NULL ? strlen(body) : 0,
                                    .close = call->gateway->draining,
                                });
}

void call_respond(struct call *call, int status, const char *body) {
    if (!idempotency_store(call, status, body)) {
        call_send(call, status, "application/json", body, NULL);
    }
}

void call_respond_take(struct call *call, int status, char *body) {
    call_respond(call, status, body);
    free(body);
}

void call_redirect(struct call *call, const char *url) {
    call_send(call, 303, NULL, NULL, (const struct http_header[]){{"Location", url}, {NULL, NULL}});
}

void call_problem_with(struct call *call, enum problem problem, const char *detail, json_t *members) {
    const struct problem_row *row = &problem_rows[problem];
    struct http_header extra[2] = {{NULL, NULL}, {NULL, NULL}};
    if (row->status == 401) {
        extra[0] = (struct http_header){"WWW-Authenticate", problem == PROBLEM_MISSING_TOKEN
                                                                ? "Bearer"
                                                                : "Bearer error=\"invalid_token\""};
    } else if (row->status == 503) {
        extra[0] = (struct http_header){"Retry-After", "1"};
    }
    char *document = problem_document(problem, detail, members);
    if (row->status >= 500 || !idempotency_store(call, row->status, document)) {
        call_send(call, row->status, "application/problem+json", document, extra);
    }
    free(document);
}

void call_refuse_field(struct call *call, const char *field, const char *words) {
    call_problem_with(call, PROBLEM_BAD_REQUEST, NULL,
                      json_pack("{s:{s:[],s:{s:[s]}}}", "details", "formErrors", "fieldErrors", field, words));
}

void call_problem(struct call *call, enum problem problem, const char *detail) {
    call_problem_with(call, problem, detail, NULL);
}

struct http_stream *call_stream(struct call *call, size_t max_queue) {
    if (call->request == NULL) {
        return NULL;
    }
    struct http_header headers[CALL_MAX_HEADERS];
    size_t count = common_headers(call, headers);
    headers[count++] = (struct http_header){"Content-Type", "text/event-stream"};
    headers[count++] = (struct http_header){"X-Accel-Buffering", "no"};
    call->status = 200;
    call->streams = true;
    return http_respond_stream(
        call->request, &(struct http_response){.status = 200, .headers = headers, .header_count = count},
        max_queue);
}

struct http_stream *call_supply(struct call *call, int status, const struct http_header *extra,
                                const struct http_supply *supply) {
    if (call->request == NULL || call->status != 0) {
        return NULL;
    }
    struct http_header headers[CALL_MAX_HEADERS];
    size_t count = common_headers(call, headers);
    for (; extra->name != NULL && count < CALL_MAX_HEADERS; extra++) {
        headers[count++] = *extra;
    }
    call->status = status;
    return http_respond_sized(
        call->request,
        &(struct http_response){
            .status = status, .headers = headers, .header_count = count, .close = call->gateway->draining},
        supply);
}

const char *call_query_value(const struct call *call, const char *name) {
    return call->request != NULL ? http_request_query(call->request, name) : NULL;
}
