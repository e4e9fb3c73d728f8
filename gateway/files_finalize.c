/* SPDX-License-Identifier: MIT
 * POST /v1/files/finalize: look at the object (its size by HEAD, its first bytes by a ranged GET, both at
 * once, while the tenant's plan is read; a longer zip's last bytes after that), ask what they are, plan the
 * jobs for what the bytes are, and commit file, jobs and events together. The first finalize decides; later
 * ones are told the same jobs. A refused object leaves the file as it was: the client may upload again. */
#include "gateway/events.h"
#include "gateway/files.h"
#include "gateway/handlers.h"
#include "gateway/identify.h"
#include "gateway/json.h"
#include "gateway/plan.h"
#include "gateway/scheduler_link.h"
#include "gateway/statements.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "proto/identify.h"
#include "storage/keyring.h"
#include <stdlib.h>
#include <string.h>

#define LOOK_TIMEOUT_MS 10000
#define SEALED_CHUNK (ENVELOPE_CHUNK_BYTES + ENVELOPE_TAG_BYTES)

enum { LEG_HEAD, LEG_START, LEG_END, LEGS };

struct leg {
    struct call *call;
    bool started;
    enum http_client_error error;
    int status;
    char etag[256];
};

struct look {
    struct leg legs[LEGS];
    unsigned outstanding;
    uint64_t size_bytes;
    unsigned char head[IDENTIFY_HEAD_BYTES], tail[IDENTIFY_TAIL_BYTES];
    size_t head_size, tail_size;
    char media_type[256];
    size_t job_count;
    struct sealed_look *sealed; /* NULL: the object is plain */
    json_t *plan_rows; /* the tenant's */
};

/* What came of an object that its client has encrypted: opened when all is here. */
struct sealed_look {
    char seal[KEYRING_SEAL_MAX];
    struct envelope *envelope; /* NULL: not opened yet */
    unsigned char start[ENVELOPE_HEADER_BYTES + SEALED_CHUNK], end[2 * SEALED_CHUNK];
    size_t start_size, end_size;
};

static const struct statement seal_of_file = {
    "finalize_seal_of_file",
    "select k.seal from object_keys k join files f on f.r2_key_original = k.key where f.id = $1::uuid", 1};

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
                   &call->gateway->settings);
    look->job_count = plan.count;
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_FILE_LOCK], .values = {file->id}},
        {.statement = &statements[STATEMENT_FILE_FINALIZE],
         .values = {file->id, plan.jobs, plan.followers, call->trace, look->media_type,
                    look->legs[LEG_HEAD].etag}},
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

static void identified(void *context, const char *magic, const char *zip) {
    struct call *call = context;
    struct file_view *file = call->state;
    struct look *look = file->work;
    const char *sniffed = media_type_combine(media_type_sniff(look->head, look->head_size), magic, zip);
    if (!media_type_agrees(file->mime, sniffed)) {
        refuse(call, PROBLEM_TYPE_MISMATCH,
               json_pack("{s:s,s:s?}", "declared", file->mime, "detected", sniffed));
        call_release(call);
        return;
    }
    if (sniffed != NULL) {
        (void)text_copy(look->media_type, sizeof look->media_type, sniffed);
    } else {
        base_type(look->media_type, sizeof look->media_type, file->mime);
    }
    commit(call, file, look);
    call_release(call);
}

static void look_inside(struct call *call, const struct look *look) {
    call_hold(call);
    identify_start(call->gateway->identify,
                   &(struct identify_bytes){.head = look->head,
                                            .head_size = look->head_size,
                                            .tail = look->tail,
                                            .tail_size = look->tail_size},
                   identified, call);
}

/* What the answers say: 404 (and 403, as S3 says to those who may not list) is a missing object. */
static bool legs_fit(struct call *call, const struct look *look) {
    for (size_t i = 0; i < LEGS; i++) {
        const struct leg *leg = &look->legs[i];
        if (!leg->started) {
            continue;
        }
        bool cut = i != LEG_HEAD && leg->error == HTTP_CLIENT_TOO_LARGE; /* a server that ignores Range */
        if (leg->error == HTTP_CLIENT_OK && (leg->status == 404 || leg->status == 403)) {
            call_problem(call, PROBLEM_OBJECT_NOT_FOUND, NULL);
            return false;
        }
        bool empty = i == LEG_START && leg->status == 416 && look->size_bytes == 0;
        if ((leg->error != HTTP_CLIENT_OK && !cut) || (leg->status != 200 && leg->status != 206 && !empty)) {
            storage_count_error(call->gateway->storage);
            log_warn("request=%s storage=failed step=%s error=%s status=%d", call->request_id,
                     i == LEG_HEAD ? "head" : "sniff", http_client_error_name(leg->error), leg->status);
            call_problem(call, PROBLEM_STORAGE_UNAVAILABLE, NULL);
            return false;
        }
    }
    return true;
}

static bool is_same_object(const struct look *look) {
    const char *etag = look->legs[LEG_HEAD].etag;
    for (size_t i = LEG_START; i < LEGS; i++) {
        const char *other = look->legs[i].etag;
        if (etag[0] != '\0' && other[0] != '\0' && strcmp(etag, other) != 0) {
            return false;
        }
    }
    return true;
}

static int start_leg(struct call *call, struct look *look, size_t index, const char *key);

/* The directory of a zip stands at its end. */
static bool needs_end(const struct file_view *file, const struct look *look) {
    return !look->legs[LEG_END].started && (uint64_t)file->size_bytes > look->head_size && look->head_size > 2 &&
           memcmp(look->head, "PK", 2) == 0;
}

/* ---- what clients have encrypted ---- */

/* The first chunk says whether object and key belong together. NULL, or why not. */
static const char *open_start(struct call *call, const struct file_view *file, struct look *look) {
    struct sealed_look *sealed = look->sealed;
    uint64_t chunks = envelope_chunks((uint64_t)file->size_bytes, ENVELOPE_CHUNK_BYTES);
    unsigned char key[ENVELOPE_KEY_BYTES];
    if (keyring_unwrap(call->gateway->keyring, file->key, sealed->seal, key) != KEYRING_OK) {
        return "Its key is wrapped by a master key that is not here.";
    }
    if (sealed->start_size >= ENVELOPE_HEADER_BYTES + ENVELOPE_TAG_BYTES) {
        sealed->envelope = envelope_open(key, sealed->start);
    }
    explicit_bzero(key, sizeof key);
    if (sealed->envelope == NULL || envelope_chunk_bytes(sealed->envelope) != ENVELOPE_CHUNK_BYTES) {
        return "Its header is not of this key and of chunks of 65536 bytes.";
    }
    size_t size = sealed->start_size - ENVELOPE_HEADER_BYTES;
    if (envelope_open_chunk(sealed->envelope, 0, chunks == 1, sealed->start + ENVELOPE_HEADER_BYTES, size,
                            look->head) != 0) {
        return "Its first chunk is not authentic.";
    }
    look->head_size = size - ENVELOPE_TAG_BYTES;
    return NULL;
}

/* The last two chunks hold the last 64 kB. */
static const char *open_end(const struct file_view *file, struct look *look) {
    struct sealed_look *sealed = look->sealed;
    uint64_t chunks = envelope_chunks((uint64_t)file->size_bytes, ENVELOPE_CHUNK_BYTES);
    static unsigned char plain[2 * ENVELOPE_CHUNK_BYTES]; /* used within this call alone */
    size_t last = sealed->end_size > SEALED_CHUNK ? sealed->end_size - SEALED_CHUNK : 0, size;
    if (envelope_open_chunk(sealed->envelope, chunks - 2, false, sealed->end, SEALED_CHUNK, plain) != 0 ||
        envelope_open_chunk(sealed->envelope, chunks - 1, true, sealed->end + SEALED_CHUNK, last,
                            plain + ENVELOPE_CHUNK_BYTES) != 0) {
        return "Its last chunks are not authentic.";
    }
    size = ENVELOPE_CHUNK_BYTES + last - ENVELOPE_TAG_BYTES;
    look->tail_size = size < sizeof look->tail ? size : sizeof look->tail;
    memcpy(look->tail, plain + size - look->tail_size, look->tail_size);
    explicit_bzero(plain, sizeof plain);
    return NULL;
}

/* False when the call is answered. */
static bool open_sealed(struct call *call, const struct file_view *file, struct look *look) {
    const char *fault = NULL;
    if (look->sealed == NULL) {
        return true;
    }
    if (look->sealed->envelope == NULL) {
        fault = open_start(call, file, look);
    } else if (look->legs[LEG_END].started) {
        fault = open_end(file, look);
    }
    if (fault != NULL) {
        counter_add(COUNT_UPLOADS_REFUSED, 1);
        call_problem(call, PROBLEM_BAD_ENVELOPE, fault);
    }
    return fault == NULL;
}

static uint64_t stored_bytes(const struct file_view *file) {
    return file->sealed ? envelope_sealed_bytes((uint64_t)file->size_bytes, ENVELOPE_CHUNK_BYTES)
                        : (uint64_t)file->size_bytes;
}

static void judge(struct call *call, struct file_view *file, struct look *look) {
    if (!legs_fit(call, look)) {
        return;
    }
    if (look->size_bytes == UINT64_MAX) {
        call_problem(call, PROBLEM_STORAGE_UNAVAILABLE, "The store does not tell the object's size.");
    } else if (look->size_bytes == 0) {
        refuse(call, PROBLEM_EMPTY_FILE, NULL);
    } else if (look->size_bytes != stored_bytes(file)) {
        refuse(call, PROBLEM_SIZE_MISMATCH,
               json_pack("{s:I,s:I}", "declared_bytes", (json_int_t)stored_bytes(file), "stored_bytes",
                         (json_int_t)look->size_bytes));
    } else if (!is_same_object(look)) {
        call_problem(call, PROBLEM_OBJECT_CHANGED, NULL);
    } else if (!open_sealed(call, file, look)) {
        return;
    } else if (!needs_end(file, look)) {
        look_inside(call, look);
    } else if (start_leg(call, look, LEG_END, file->key) != 0) {
        fatal("a presigned URL does not fit its buffer");
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

/* A server that ignores ranges sends the start, and is cut off: not the end of anything. */
static void start_done(void *context, const struct http_client_reply *reply) {
    struct leg *leg = context;
    struct look *look = ((struct file_view *)leg->call->state)->work;
    if (look->sealed != NULL) {
        struct sealed_look *sealed = look->sealed;
        sealed->start_size = reply->body_size < sizeof sealed->start ? reply->body_size : sizeof sealed->start;
        if (sealed->start_size > 0) {
            memcpy(sealed->start, reply->body, sealed->start_size);
        }
        leg_done(leg, reply);
        return;
    }
    look->head_size = reply->body_size < sizeof look->head ? reply->body_size : sizeof look->head;
    if (look->head_size > 0) {
        memcpy(look->head, reply->body, look->head_size);
    }
    leg_done(leg, reply);
}

static void end_done(void *context, const struct http_client_reply *reply) {
    struct leg *leg = context;
    struct look *look = ((struct file_view *)leg->call->state)->work;
    if (look->sealed != NULL) {
        struct sealed_look *sealed = look->sealed;
        if (reply->status == 206 && reply->body_size <= sizeof sealed->end) {
            sealed->end_size = reply->body_size;
            memcpy(sealed->end, reply->body, sealed->end_size);
        }
    } else if (reply->status == 206 && reply->body_size > 0 && reply->body_size <= sizeof look->tail) {
        look->tail_size = reply->body_size;
        memcpy(look->tail, reply->body, look->tail_size);
    }
    leg_done(leg, reply);
}

struct leg_row {
    const char *method;
    const char *const *headers;
    http_client_done_fn *done;
};

_Static_assert(IDENTIFY_HEAD_BYTES == 65536 && IDENTIFY_TAIL_BYTES == 65536, "as the ranges say");
static const struct leg_row leg_rows[LEGS] = {
    [LEG_HEAD] = {"HEAD", NULL, head_done},
    [LEG_START] = {"GET", (const char *const[]){"Range: bytes=0-65535", NULL}, start_done},
    [LEG_END] = {"GET", (const char *const[]){"Range: bytes=-65536", NULL}, end_done},
};

/* Of an encrypted object: whole chunks. */
static void sealed_range(const struct file_view *file, size_t index, char *target, size_t size) {
    uint64_t chunks = envelope_chunks((uint64_t)file->size_bytes, ENVELOPE_CHUNK_BYTES);
    if (index == LEG_START) {
        (void)text_format(target, size, "Range: bytes=0-%u", ENVELOPE_HEADER_BYTES + SEALED_CHUNK - 1);
    } else {
        (void)text_format(target, size, "Range: bytes=%llu-",
                          (unsigned long long)(ENVELOPE_HEADER_BYTES + (chunks - 2) * SEALED_CHUNK));
    }
}

static int start_leg(struct call *call, struct look *look, size_t index, const char *key) {
    const struct leg_row *row = &leg_rows[index];
    char range[64];
    const char *sealed_headers[] = {range, NULL};
    sealed_range(call->state, index, range, sizeof range);
    char url[STORAGE_URL_MAX];
    if (storage_presign(
            call->gateway->storage,
            &(struct storage_presign){
                .method = row->method, .key = key, .expires_s = 60, .internal = true, .content_length = -1},
            url, sizeof url) != 0) {
        return -1;
    }
    const struct http_client_request request = {
        .method = row->method,
        .url = url,
        .headers = look->sealed != NULL && index != LEG_HEAD ? sealed_headers : row->headers,
        .upload_fd = -1,
        .sink_fd = -1,
        .max_bytes = look->sealed != NULL ? 2 * SEALED_CHUNK : (uint64_t)IDENTIFY_HEAD_BYTES * 2,
        .max_body = look->sealed != NULL ? 2 * SEALED_CHUNK : IDENTIFY_HEAD_BYTES,
        .timeout_ms = LOOK_TIMEOUT_MS,
    };
    look->legs[index].call = call;
    look->legs[index].started = true;
    look->outstanding++;
    call_hold(call);
    (void)http_client_start(call->gateway->client, &request, row->done, &look->legs[index]);
    return 0;
}

/* Read while the store answers. When it fails the call is answered, and what is still outstanding comes to
 * nothing. */
static void plan_read(struct call *call, const struct database_answer *answer) {
    struct file_view *file = call->state;
    struct look *look = file->work;
    look->plan_rows = json_loads(result_text(answer->results[0], 0, "plan"), 0, NULL);
    if (look->sealed != NULL && result_rows(answer->results[1]) > 0) {
        result_copy(look->sealed->seal, sizeof look->sealed->seal, answer->results[1], 0, "seal");
    }
    look->outstanding--;
    if (look->outstanding == 0) {
        judge(call, file, look);
    }
}

static void clear_look(void *work) {
    struct look *look = work;
    json_decref(look->plan_rows);
    if (look->sealed != NULL) {
        envelope_free(look->sealed->envelope);
        free(look->sealed);
    }
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
    look->sealed = file->sealed ? memory_new(sizeof *look->sealed) : NULL;
    if (start_leg(call, look, LEG_HEAD, file->key) != 0 || start_leg(call, look, LEG_START, file->key) != 0) {
        fatal("a presigned URL does not fit its buffer");
    }
    const struct query queries[] = {
        {.statement = &statements[STATEMENT_PLAN_OF_FILE], .values = {file->id}},
        {.statement = &seal_of_file, .values = {file->id}},
    };
    look->outstanding++;
    call_read(call, queries, file->sealed ? 2 : 1, plan_read);
}

void handle_file_finalize(struct call *call) {
    file_look(call, json_text_member(call->body, "file_id"), FILE_ACCESS_CHANGE, look_at_object);
}
