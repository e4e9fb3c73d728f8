/* SPDX-License-Identifier: MIT
 * POST /v1/files/finalize: look at the object (its size by HEAD, its first bytes by a ranged GET, both at
 * once, while the tenant's plan is read), plan the jobs for what the bytes are, and commit file, jobs and
 * events together. The first finalize decides; later ones are told the same jobs. A refused object leaves the
 * file as it was: the client may upload again. */
#include "gateway/events.h"
#include "gateway/files.h"
#include "gateway/handlers.h"
#include "gateway/json.h"
#include "gateway/plan.h"
#include "gateway/scheduler_link.h"
#include "gateway/statements.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include <string.h>

#define SNIFF_BYTES 4096
#define LOOK_TIMEOUT_MS 10000
#define LEGS 2

struct leg {
    struct call *call;
    enum http_client_error error;
    int status;
    char etag[256];
};

struct look {
    struct leg legs[LEGS]; /* HEAD, GET */
    unsigned outstanding;
    uint64_t size_bytes;
    unsigned char bytes[SNIFF_BYTES];
    size_t byte_count;
    char media_type[256];
    size_t job_count;
    json_t *plan_rows; /* the tenant's */
};

static void refuse(struct call *call, enum problem problem, json_t *members) {
    counter_add(COUNT_UPLOADS_REFUSED, 1);
    call_problem_with(call, problem, NULL, members);
}

static void answer_jobs(struct call *call, const struct database_result *jobs) {
    call_respond_take(call, 200, memory_format("{\"ok\":true,\"jobs\":%s}", result_text(jobs, 0, "jobs")));
}

static void committed(struct call *call, const struct database_answer *answer) {
    struct file_view *file = call->state;
    const struct look *look = file->work;
    if (result_rows(answer->results[1]) > 0) {
        counter_add(COUNT_UPLOADS_FINALIZED, 1);
        if (look->job_count > 0) {
            scheduler_link_poke(call->gateway->scheduler, look->job_count);
        }
        events_notify(call->gateway->events, file->id);
    }
    answer_jobs(call, answer->results[2]);
}

static void commit(struct call *call, struct file_view *file, struct look *look) {
    struct file_plan plan;
    file_plan_make(&plan, look->plan_rows, look->media_type,
                   strcmp(call->gateway->settings.plan, "lean") == 0);
    look->job_count = plan.count;
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_FILE_LOCK], .values = {file->id}},
        {.statement = &statements[STATEMENT_FILE_FINALIZE],
         .values = {file->id, plan.jobs, plan.followers, call->request_id, look->media_type,
                    look->legs[0].etag}},
        {.statement = &statements[STATEMENT_FILE_JOBS], .values = {file->id}},
    };
    call_write(call, &(struct call_effect){.queries = queries, .count = 3, .on_answer = committed});
    file_plan_clear(&plan);
}

/* The declared type without parameters, for bytes that show none. */
static void base_type(char *target, size_t size, const char *mime) {
    size_t length = strcspn(mime, "; \t");
    (void)text_format(target, size, "%.*s", (int)length, mime);
    fields_lower(target);
}

static void judge_type(struct call *call, struct file_view *file, struct look *look) {
    const char *sniffed = media_type_sniff(look->bytes, look->byte_count);
    if (!media_type_agrees(file->mime, sniffed)) {
        refuse(call, PROBLEM_TYPE_MISMATCH,
               json_pack("{s:s,s:s?}", "declared", file->mime, "detected", sniffed));
        return;
    }
    if (sniffed != NULL) {
        (void)text_copy(look->media_type, sizeof look->media_type, sniffed);
    } else {
        base_type(look->media_type, sizeof look->media_type, file->mime);
    }
    commit(call, file, look);
}

/* What the two answers say: 404 (and 403, as S3 says to those who may not list) is a missing object. */
static bool legs_fit(struct call *call, const struct look *look) {
    for (size_t i = 0; i < LEGS; i++) {
        const struct leg *leg = &look->legs[i];
        bool cut = i == 1 && leg->error == HTTP_CLIENT_TOO_LARGE; /* a server that ignores Range */
        if (leg->error == HTTP_CLIENT_OK && (leg->status == 404 || leg->status == 403)) {
            call_problem(call, PROBLEM_OBJECT_NOT_FOUND, NULL);
            return false;
        }
        bool empty = i == 1 && leg->status == 416 && look->size_bytes == 0;
        if ((leg->error != HTTP_CLIENT_OK && !cut) || (leg->status != 200 && leg->status != 206 && !empty)) {
            counter_add(COUNT_STORAGE_ERRORS, 1);
            log_warn("request=%s storage=failed step=%s error=%s status=%d", call->request_id,
                     i == 0 ? "head" : "sniff", http_client_error_name(leg->error), leg->status);
            call_problem(call, PROBLEM_STORAGE_UNAVAILABLE, NULL);
            return false;
        }
    }
    return true;
}

static void judge(struct call *call, struct file_view *file, struct look *look) {
    if (!legs_fit(call, look)) {
        return;
    }
    if (look->size_bytes == UINT64_MAX) {
        call_problem(call, PROBLEM_STORAGE_UNAVAILABLE, "The store does not tell the object's size.");
    } else if (look->size_bytes == 0) {
        refuse(call, PROBLEM_EMPTY_FILE, NULL);
    } else if (look->size_bytes != (uint64_t)file->size_bytes) {
        refuse(call, PROBLEM_SIZE_MISMATCH,
               json_pack("{s:I,s:I}", "declared_bytes", (json_int_t)file->size_bytes, "stored_bytes",
                         (json_int_t)look->size_bytes));
    } else if (look->legs[0].etag[0] != '\0' && look->legs[1].etag[0] != '\0' &&
               strcmp(look->legs[0].etag, look->legs[1].etag) != 0) {
        call_problem(call, PROBLEM_OBJECT_CHANGED, NULL);
    } else {
        judge_type(call, file, look);
    }
}

static void leg_done(struct leg *leg, const struct http_client_reply *reply) {
    struct call *call = leg->call;
    struct file_view *file = call->state;
    struct look *look = file->work;
    leg->error = reply->error;
    leg->status = reply->status;
    if (text_copy(leg->etag, sizeof leg->etag, reply->etag != NULL ? reply->etag : "") != 0) {
        leg->etag[0] = '\0';
    }
    look->outstanding--;
    if (look->outstanding == 0) {
        judge(call, file, look);
    }
    call_release(call);
}

static void head_done(void *context, const struct http_client_reply *reply) {
    struct leg *leg = context;
    struct look *look = ((struct file_view *)leg->call->state)->work;
    look->size_bytes = reply->content_length;
    leg_done(leg, reply);
}

static void sniff_done(void *context, const struct http_client_reply *reply) {
    struct leg *leg = context;
    struct look *look = ((struct file_view *)leg->call->state)->work;
    look->byte_count = reply->body_size < SNIFF_BYTES ? reply->body_size : SNIFF_BYTES;
    if (look->byte_count > 0) {
        memcpy(look->bytes, reply->body, look->byte_count);
    }
    leg_done(leg, reply);
}

static int start_leg(struct call *call, struct look *look, size_t index, const char *key) {
    static const char *const range[] = {"Range: bytes=0-4095", NULL};
    char url[STORAGE_URL_MAX];
    const char *method = index == 0 ? "HEAD" : "GET";
    if (storage_presign(
            call->gateway->storage,
            &(struct storage_presign){
                .method = method, .key = key, .expires_s = 60, .internal = true, .content_length = -1},
            url, sizeof url) != 0) {
        return -1;
    }
    const struct http_client_request request = {
        .method = method,
        .url = url,
        .headers = index == 0 ? NULL : range,
        .upload_fd = -1,
        .sink_fd = -1,
        .max_bytes = (uint64_t)SNIFF_BYTES * 16,
        .max_body = SNIFF_BYTES,
        .timeout_ms = LOOK_TIMEOUT_MS,
    };
    look->legs[index].call = call;
    look->outstanding++;
    call_hold(call);
    (void)http_client_start(call->gateway->client, &request, index == 0 ? head_done : sniff_done,
                            &look->legs[index]);
    return 0;
}

/* Read while the store answers. When it fails the call is answered, and what is still outstanding comes to
 * nothing. */
static void plan_read(struct call *call, const struct database_answer *answer) {
    struct file_view *file = call->state;
    struct look *look = file->work;
    look->plan_rows = json_loads(result_text(answer->results[0], 0, "plan"), 0, NULL);
    look->outstanding--;
    if (look->outstanding == 0) {
        judge(call, file, look);
    }
}

static void clear_look(void *work) {
    json_decref(((struct look *)work)->plan_rows);
}

static void same_jobs(struct call *call, const struct database_answer *answer) {
    answer_jobs(call, answer->results[0]);
}

static void look_at_object(struct call *call, struct file_view *file) {
    if (strcmp(file->status, "uploading") != 0) {
        if (!file->finalized && strcmp(file->status, "failed") == 0) {
            call_problem(call, PROBLEM_UPLOAD_EXPIRED, NULL);
            return;
        }
        const struct query query = {.statement = &statements[STATEMENT_FILE_JOBS], .values = {file->id}};
        call_read(call, &query, 1, same_jobs);
        return;
    }
    struct look *look = memory_new(sizeof *look);
    file->work = look;
    file->work_clear = clear_look;
    look->size_bytes = UINT64_MAX;
    if (start_leg(call, look, 0, file->key) != 0 || start_leg(call, look, 1, file->key) != 0) {
        fatal("a presigned URL does not fit its buffer");
    }
    const struct query query = {.statement = &statements[STATEMENT_PLAN_OF_FILE], .values = {file->id}};
    look->outstanding++;
    call_read(call, &query, 1, plan_read);
}

void handle_file_finalize(struct call *call) {
    file_look(call, json_text_member(call->body, "file_id"), FILE_ACCESS_CHANGE, look_at_object);
}
