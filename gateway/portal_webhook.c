/* SPDX-License-Identifier: MIT
 * POST /internal/webhooks/:name: a service outside says what became of a job. The secret comes first, then
 * the job, then what is said: paths are checked by the rules of paths, must be the job's user's, and the
 * document must be there. Said twice, it counts once (compute_report in 0037_compute.sql moves the job, or
 * doesn't). */
#include "gateway/call.h"
#include "gateway/json.h"
#include "gateway/portal.h"
#include "gateway/scheduler_link.h"
#include "lib/memory.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_WARNINGS 32
#define MAX_WARNING 300
#define MAX_METRICS 4096
#define LOOK_TIMEOUT_MS 10000

struct report {
    const char *refusal; /* why what was said is not as described; NULL: it is */
    const char *status, *external;
    char job[UUID_TEXT_SIZE];
    char digest[65];
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

/* ---- what is said ---- */

static const char *take_path(struct report *report, const char *path, enum portal_area area,
                             const char *path_name, const char *user_name) {
    struct portal_path parts;
    const char *refusal = portal_path_check(path, strlen(path), PORTAL_ANY_UUID, &parts);
    if (refusal != NULL) {
        return refusal;
    }
    fields_lower(parts.item);
    if (parts.area != area) {
        return "an artifact's path begins with master/, a preview's with output/";
    }
    if (area == PORTAL_OUTPUT && strcmp(parts.item, report->job) != 0) {
        return "the preview is another job's";
    }
    fields_lower(parts.user);
    json_object_set_new(report->detail, path_name, json_string(path));
    json_object_set_new(report->detail, user_name, json_string(parts.user));
    return NULL;
}

static const char *take_artifacts(struct report *report, const json_t *artifacts) {
    const char *master = json_text_member(artifacts, "master_path");
    const char *preview = json_text_member(artifacts, "preview_path");
    if (master == NULL) {
        return "artifacts.master_path is missing";
    }
    const char *refusal = take_path(report, master, PORTAL_MASTER, "master_path", "master_user");
    if (refusal == NULL && preview != NULL) {
        refusal = take_path(report, preview, PORTAL_OUTPUT, "preview_path", "preview_user");
    }
    return refusal;
}

static bool are_warnings(const json_t *warnings) {
    size_t i;
    json_t *warning;
    if (!json_is_array(warnings) || json_array_size(warnings) > MAX_WARNINGS) {
        return false;
    }
    json_array_foreach(warnings, i, warning) {
        if (!json_is_string(warning) || json_string_length(warning) > MAX_WARNING) {
            return false;
        }
    }
    return true;
}

static bool are_metrics(const json_t *metrics) {
    char *text = json_is_object(metrics) ? json_encode(metrics) : NULL;
    bool fits = text != NULL && strlen(text) <= MAX_METRICS;
    free(text);
    return fits;
}

static const char *take_success(struct report *report, const json_t *result) {
    json_t *score = json_object_get(result, "quality_score");
    json_t *warnings = json_object_get(result, "warnings");
    json_t *metrics = json_object_get(result, "metrics");
    json_t *said = json_object();
    json_object_set_new(report->detail, "report", said);
    if (score != NULL) {
        double number = json_number_value(score);
        if (!json_is_number(score) || !(number >= 0) || number > 1) {
            return "quality_score is not a number from 0 to 1";
        }
        json_object_set(said, "quality_score", score);
    }
    if (warnings != NULL && !are_warnings(warnings)) {
        return "warnings are not a list of short texts";
    }
    if (metrics != NULL && !are_metrics(metrics)) {
        return "metrics are not a small object";
    }
    if (warnings != NULL) {
        json_object_set(said, "warnings", warnings);
    }
    if (metrics != NULL) {
        json_object_set(said, "metrics", metrics);
    }
    return take_artifacts(report, json_object_get(result, "artifacts"));
}

static const struct field error_fields[] = {
    {"code", FIELD_TEXT, true, 1, 64, NULL, ""},
    {"stage", FIELD_TEXT, true, 1, 32, NULL, ""},
    {"message", FIELD_TEXT, false, 0, 1000, NULL, ""},
};

static const char *take_failure(struct report *report, const json_t *result) {
    json_t *error = json_object_get(result, "error");
    json_t *retryable = json_object_get(error, "retryable");
    json_t *plain = json_is_object(error) ? json_copy(error) : NULL;
    const struct field_rows rows = {error_fields, sizeof error_fields / sizeof error_fields[0], 0};
    json_object_del(plain, "retryable");
    json_t *details = plain != NULL ? fields_check(&rows, plain) : json_object();
    if (details != NULL || (retryable != NULL && !json_is_boolean(retryable))) {
        json_decref(details);
        json_decref(plain);
        return "error is not {code, stage, message, retryable}";
    }
    json_object_set_new(plain, "retryable", json_boolean(json_is_true(retryable)));
    json_object_set_new(report->detail, "error", plain);
    return NULL;
}

static const char *take_result(struct report *report, const json_t *result) {
    const char *job = json_text_member(result, "job_id");
    const char *status = json_text_member(result, "status");
    if (job != NULL && strcasecmp(job, report->job) != 0) {
        return "result.job_id is another job";
    }
    if (status != NULL && strcmp(status, report->status) != 0) {
        return "result.status is not the status";
    }
    return strcmp(report->status, "success") == 0 ? take_success(report, result)
                                                  : take_failure(report, result);
}

/* ---- what becomes of it ---- */

/* A document is one job's. */
static bool refused(struct call *call, const struct database_answer *answer) {
    if (strcmp(answer->sqlstate, "23505") != 0) {
        return false;
    }
    call_problem(call, PROBLEM_PAYLOAD_INVALID, "there is another document at one of these paths");
    return true;
}

static void ask(struct call *call, const struct report *report, bool probe, call_query_fn *then) {
    const struct query query = {
        .statement = &compute_report,
        .values = {call->parameters[0], report->digest, report->trusted ? "true" : "false", report->job,
                   probe ? "true" : "false", report->external,
                   report->refusal == NULL ? report->status : "failed", report->detail_text}};
    if (probe) {
        call_read(call, &query, 1, then);
    } else {
        call_write(call, &(struct call_effect){
                             .queries = &query, .count = 1, .on_answer = then, .on_refusal = refused});
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

void handle_portal_webhook(struct call *call) {
    const char *secret = http_request_header(call->request, "X-Webhook-Secret");
    const char *expected = call->gateway->settings.webhook_secret;
    unsigned char digest[32];
    if (secret == NULL || secret[0] == '\0' ||
        EVP_Digest(secret, strlen(secret), digest, NULL, EVP_sha256(), NULL) != 1) {
        call_problem(call, PROBLEM_WEBHOOK_SECRET, NULL);
        return;
    }
    struct report *report = call_state(call, sizeof *report, clear_report);
    text_hex_encode(report->digest, digest, sizeof digest);
    report->trusted = expected != NULL && text_equal_secret(secret, expected);
    (void)text_copy(report->job, sizeof report->job, json_text_member(call->body, "job_id"));
    fields_lower(report->job);
    report->status = json_text_member(call->body, "status");
    report->external = json_text_member(call->body, "camber_job_id");
    report->external =
        report->external != NULL ? report->external : json_text_member(call->body, "external_job_id");
    report->detail = json_pack("{s:s}", "mime", "image/jpeg");
    report->refusal = take_result(report, json_object_get(call->body, "result"));
    report->detail_text = json_encode(report->detail);
    ask(call, report, true, probed);
}
