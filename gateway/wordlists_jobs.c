/* SPDX-License-Identifier: MIT
 * POST and GET /v1/wordlists/jobs, exports, and what admins see. Jobs are the queue's; the answers are views
 * of it. */
#include "gateway/content.h"
#include "gateway/events.h"
#include "gateway/json.h"
#include "gateway/replies.h"
#include "gateway/scheduler_link.h"
#include "gateway/wordlists.h"
#include "lib/memory.h"
#include "storage/storage.h"
#include <stdlib.h>
#include <string.h>

static const struct statement submit_statement = {
    "wordlist_order", "select wordlist_order($1::uuid, $2, $3, $4::jsonb, $5::bigint, $6)::text as answer",
    6};
static const struct statement job_statement = {
    "wordlist_job",
    "select json_build_object('job_id', j.id, 'file_id', j.file_id, 'status', j.status, 'progress', "
    "j.progress, 'stage', j.stage, 'queue_position', j.queue_position, 'retry_count', j.retry_count, "
    "'source_language', j.source_language, 'target_language', j.target_language, 'error_code', j.error_code, "
    "'error_message', j.error_message, 'created_at', filemill_time(j.created_at), 'started_at', "
    "filemill_time(j.started_at), 'completed_at', filemill_time(j.completed_at))::text as answer from "
    "wordlist_jobs j where j.id = $1::uuid and j.user_id = filemill_user()",
    1};
static const struct statement export_statement = {"wordlist_export",
                                                  "select wordlist_export($1::uuid, $2, $3)::text as job", 3};
/* The link lives no longer than the object. */
static const struct statement exported_statement = {
    "wordlist_exported",
    "select j.status::text, a.r2_key as key, a.kind, exists (select from object_keys k where k.key = "
    "a.r2_key) as sealed, w.name, least(3600, greatest(1, extract(epoch from a.created_at + c.keep - "
    "now())))::bigint as seconds, j.error_code from jobs j join wordlists w on w.id = j.file_id join "
    "retention_classes c on c.name = 'wordlist-exports' left join document_artifacts a on a.job_id = j.id "
    "and a.created_at > now() - c.keep where j.id = $1::uuid and j.type = 'wordlist_export' and w.user_id = "
    "filemill_user()",
    1};
static const struct statement metrics_statement = {"wordlist_metrics",
                                                   "select admin_wordlist_metrics()::text as answer", 0};

static bool is_language(const char *text) {
    size_t length = text == NULL ? 0 : strspn(text, "abcdefghijklmnopqrstuvwxyz");
    return (length == 2 || length == 3) && text[length] == '\0';
}

bool wordlist_languages_check(struct call *call, const char *source, const char *target) {
    if (is_language(source) && is_language(target)) {
        return true;
    }
    call_problem(call, PROBLEM_BAD_REQUEST,
                 "Languages are codes of two or three small letters, as en or deu.");
    return false;
}

/* ---- jobs ---- */

static void refuse(struct call *call, const char *error) {
    if (strcmp(error, "not_finalized") == 0) {
        call_problem(call, PROBLEM_NOT_FINALIZED, NULL);
    } else {
        call_problem(call, strcmp(error, "type") == 0 ? PROBLEM_NOT_APPLICABLE : PROBLEM_NOT_FOUND, NULL);
    }
}

static void submitted(struct call *call, const struct database_answer *answer) {
    json_t *said = json_loads(result_text(answer->results[0], 0, "answer"), 0, NULL);
    const char *error = json_text_member(said, "error");
    const json_t *position = json_object_get(said, "position");
    if (error != NULL) {
        refuse(call, error);
    } else {
        char *text = json_encode(position);
        scheduler_link_poke(call->gateway->scheduler, 1);
        events_notify(call->gateway->events, json_text_member(call->body, "file_id"));
        call_respond_take(call, 202,
                          memory_format("{\"job_id\":\"%s\",\"status\":\"queued\",\"queue_position\":%s}",
                                        json_text_member(said, "job"), text));
        free(text);
    }
    json_decref(said);
}

void handle_wordlist_submit(struct call *call) {
    const char *source = json_text_member(call->body, "source_language");
    const char *target = json_text_member(call->body, "target_language");
    const json_t *most = json_object_get(call->body, "max_words");
    char cooldown[24];
    char options[40] = "{}";
    if (!wordlist_languages_check(call, source, target)) {
        return;
    }
    if (most != NULL) {
        (void)text_format(options, sizeof options, "{\"max_words\":%lld}",
                          (long long)json_integer_value(most));
    }
    (void)text_format(cooldown, sizeof cooldown, "%lld",
                      (long long)call->gateway->settings.wordlist_cooldown_seconds);
    const struct query query = {.statement = &submit_statement,
                                .values = {json_text_member(call->body, "file_id"), source, target, options,
                                           cooldown, call->request_id}};
    call_write_one(call, &query, submitted, NULL);
}

void handle_wordlist_job(struct call *call) {
    const struct query query = {.statement = &job_statement, .values = {call->parameters[0]}};
    call_read(call, &query, 1, reply_answer);
}

/* ---- exports ---- */

static void export_begun(struct call *call, const struct database_answer *answer) {
    const char *job = result_text(answer->results[0], 0, "job");
    if (job == NULL) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    scheduler_link_poke(call->gateway->scheduler, 1);
    call_respond_take(call, 202, memory_format("{\"export_id\":\"%s\",\"status\":\"queued\"}", job));
}

void handle_wordlist_export(struct call *call) {
    const struct query query = {
        .statement = &export_statement,
        .values = {call->parameters[0], json_text_member(call->body, "format"), call->request_id}};
    call_write_one(call, &query, export_begun, NULL);
}

/* The list's name, of which only letters, digits and blanks are kept, so that it needs no quoting. */
static void file_name(char target[80], const char *name, const char *extension) {
    size_t used = 0;
    for (; *name != '\0' && used < 60; name++) {
        bool is_plain = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
                        (*name >= '0' && *name <= '9') || *name == ' ' || *name == '-';
        if (is_plain) {
            target[used++] = *name;
        }
    }
    (void)text_format(target + used, 80 - used, "%s.%s", used == 0 ? "words" : "", extension);
}

static void export_read(struct call *call, const struct database_answer *answer) {
    const struct database_result *result = answer->results[0];
    char url[STORAGE_URL_MAX], name[80];
    if (result_rows(result) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    const char *status = result_text(result, 0, "status");
    bool is_done = strcmp(status, "done") == 0;
    bool has_failed = strcmp(status, "failed") == 0 || strcmp(status, "cancelled") == 0;
    if (!is_done || result_text(result, 0, "key") == NULL) {
        call_respond_take(call, 200,
                          memory_format("{\"export_id\":\"%s\",\"status\":\"%s\",\"download_url\":null}",
                                        call->parameters[0],
                                        is_done      ? "expired"
                                        : has_failed ? "failed"
                                                     : "processing"));
        return;
    }
    file_name(name, result_text(result, 0, "name"), result_text(result, 0, "kind"));
    const struct content_place place = {.of = CONTENT_ARTIFACT,
                                        .id = call->parameters[0],
                                        .kind = result_text(result, 0, "kind"),
                                        .key = result_text(result, 0, "key"),
                                        .filename = name,
                                        .sealed = result_bool(result, 0, "sealed"),
                                        .expires_s = result_number(result, 0, "seconds")};
    if (content_place_link(call, &place, url) != 0) {
        call_problem(call, PROBLEM_INTERNAL, NULL);
        return;
    }
    char *quoted = json_quote(url);
    call_respond_take(call, 200,
                      memory_format("{\"export_id\":\"%s\",\"status\":\"completed\",\"download_url\":%s,"
                                    "\"expires_in_seconds\":%lld}",
                                    call->parameters[0], quoted, (long long)place.expires_s));
    free(quoted);
}

void handle_wordlist_exported(struct call *call) {
    const struct query query = {.statement = &exported_statement, .values = {call->parameters[0]}};
    call_read(call, &query, 1, export_read);
}

/* ---- admins ---- */

/* The database says who is an admin: its no is answered 403. */
void handle_wordlist_metrics(struct call *call) {
    const struct query query = {.statement = &metrics_statement};
    call_read(call, &query, 1, reply_answer);
}
