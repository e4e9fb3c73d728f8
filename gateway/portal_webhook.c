/* SPDX-License-Identifier: MIT
 * POST /internal/webhooks/:name: a service outside says what became of a job. The secret comes first, then
 * the job, then what is said: paths are checked by the rules of paths, must be the job's user's, and the
 * document must be there. Said twice, it counts once (compute_report of the database moves the job, or
 * doesn't). */
#include "gateway/call.h"
#include "gateway/json.h"
#include "gateway/portal.h"
#include "gateway/scheduler_link.h"
#include "lib/memory.h"
#include "storage/portal_report.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_TIMEOUT_MS 10000

struct report {
    const char *refusal; /* why what was said is not as described; NULL: it is */
    const char *status, *external;
    char job[UUID_TEXT_SIZE];
    char digest[PORTAL_DIGEST_SIZE];
    bool trusted;
    json_t *detail; /* as compute_report takes it */
    char *detail_text;
};

static void clear_report(void *state) {
    struct report *report = state;
    json_decref(report->detail);
    free(report->detail_text);
}

static const struct statement compute_report = {
    "portal_compute_report",
    "select compute_report($1, $2, $3::boolean, $4::uuid, $5::boolean, $6, $7, $8::jsonb) as verdict", 8};

/* ---- what becomes of it ---- */

/* A document is one job's. */
static const struct call_refusal refusals[] = {{.sqlstate = "23505",
                                                .problem = PROBLEM_PAYLOAD_INVALID,
                                                .detail = "there is another document at one of these paths"},
                                               {.sqlstate = NULL}};

static void ask(struct call *call, const struct report *report, bool probe, call_query_fn *then) {
    const struct query query = {
        .statement = &compute_report,
        .values = {call->parameters[0], report->digest, report->trusted ? "true" : "false", report->job,
                   probe ? "true" : "false", report->external,
                   report->refusal == NULL ? report->status : "failed", report->detail_text}};
    if (probe) {
        call_read(call, &query, 1, then);
    } else {
        call_write_one(call, &query, then, refusals);
    }
}

/* True if the verdict is one to go on with; else the call is answered. */
static bool judge(struct call *call, const struct database_answer *answer) {
    const struct report *report = call->state;
    const char *verdict = result_text(answer->results[0], 0, "verdict");
    if (strcmp(verdict, "unauthorized") == 0) {
        call_problem(call, PROBLEM_WEBHOOK_SECRET, NULL);
    } else if (strcmp(verdict, "not_found") == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
    } else if (strcmp(verdict, "replayed") == 0) {
        call_respond_take(call, 200,
                          memory_format("{\"ok\":true,\"job_id\":\"%s\",\"replayed\":true}", report->job));
    } else if (strcmp(verdict, "foreign") == 0) {
        call_problem(call, PROBLEM_PAYLOAD_INVALID, "the artifacts are not those of the job's user");
    } else {
        return true;
    }
    return false;
}

static void settled(struct call *call, const struct database_answer *answer) {
    const struct report *report = call->state;
    if (judge(call, answer)) {
        scheduler_link_poke(call->gateway->scheduler, 1);
        call_respond_take(call, 200,
                          memory_format("{\"ok\":true,\"job_id\":\"%s\",\"replayed\":false}", report->job));
    }
}

static void head_done(void *context, const struct http_client_reply *reply) {
    struct call *call = context;
    struct report *report = call->state;
    if (reply->error != HTTP_CLIENT_OK || reply->status >= 500) {
        call_problem(call, PROBLEM_STORAGE_UNAVAILABLE, NULL);
    } else if (reply->status != 200 || reply->content_length == 0 ||
               reply->content_length > (uint64_t)INT64_MAX) {
        call_problem(call, PROBLEM_PAYLOAD_INVALID, "there is no object at artifacts.master_path");
    } else {
        json_object_set_new(report->detail, "size_bytes", json_integer((json_int_t)reply->content_length));
        free(report->detail_text);
        report->detail_text = json_encode(report->detail);
        ask(call, report, false, settled);
    }
    call_release(call);
}

static void look_at_master(struct call *call, const char *key) {
    char url[STORAGE_URL_MAX];
    if (storage_presign(
            call->gateway->storage,
            &(struct storage_presign){
                .method = "HEAD", .key = key, .expires_s = 60, .internal = true, .content_length = -1},
            url, sizeof url) != 0) {
        call_problem(call, PROBLEM_INTERNAL, NULL);
        return;
    }
    const struct http_client_request request = {.method = "HEAD",
                                                .url = url,
                                                .upload_fd = -1,
                                                .sink_fd = -1,
                                                .max_bytes = 65536,
                                                .max_body = 0,
                                                .timeout_ms = LOOK_TIMEOUT_MS};
    call_hold(call);
    (void)http_client_start(call->gateway->client, &request, head_done, call);
}

static void probed(struct call *call, const struct database_answer *answer) {
    struct report *report = call->state;
    if (!judge(call, answer)) {
        return;
    }
    if (report->refusal != NULL) {
        call_problem(call, PROBLEM_PAYLOAD_INVALID, report->refusal);
    } else if (strcmp(report->status, "success") == 0) {
        look_at_master(call, json_text_member(report->detail, "master_path"));
    } else {
        ask(call, report, false, settled);
    }
}

int portal_secret_digest(const char *secret, char digest[PORTAL_DIGEST_SIZE]) {
    unsigned char bytes[32];

    if (EVP_Digest(secret, strlen(secret), bytes, NULL, EVP_sha256(), NULL) != 1) {
        return -1;
    }
    text_hex_encode(digest, bytes, sizeof bytes);
    return 0;
}

void handle_portal_webhook(struct call *call) {
    const char *secret = http_request_header(call->request, "X-Webhook-Secret");
    const char *expected = call->gateway->settings.webhook_secret;
    char digest[PORTAL_DIGEST_SIZE];
    if (secret == NULL || secret[0] == '\0' || portal_secret_digest(secret, digest) != 0) {
        call_problem(call, PROBLEM_WEBHOOK_SECRET, NULL);
        return;
    }
    struct report *report = call_state(call, sizeof *report, clear_report);
    (void)text_copy(report->digest, sizeof report->digest, digest);
    report->trusted = expected != NULL && text_equal_secret(secret, expected);
    (void)text_copy(report->job, sizeof report->job, json_text_member(call->body, "job_id"));
    fields_lower(report->job);
    report->status = json_text_member(call->body, "status");
    report->external = portal_report_external(call->body);
    report->detail = json_pack("{s:s}", "mime", "image/jpeg");
    report->refusal = portal_report_read(json_object_get(call->body, "result"), report->job,
                                         strcmp(report->status, "success") == 0, report->detail);
    report->detail_text = json_encode(report->detail);
    ask(call, report, true, probed);
}
