/* SPDX-License-Identifier: MIT
 * One request to the store after the other; see put.h. */
#include "gateway/put.h"

#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "storage/store/xml.h"
#include <stdlib.h>
#include <string.h>

#define STEP_TIMEOUT_MS 300000
#define LOW_SPEED_MS 30000
#define LIST_MAX (4u << 20)
#define ANSWER_MAX 65536
#define TRIES 3
#define AGAIN_MS 250
#define URL_SECONDS 3600
#define PARTS_MAX 10000

static void send(struct put *put);

void put_begin(struct put *put, struct call *call) {
    *put = (struct put){.call = call};
    buffer_init(&put->held, (size_t)call->gateway->settings.form_memory_bytes);
    buffer_init(&put->list, LIST_MAX);
}

size_t put_take(struct put *put, const char *bytes, size_t size) {
    size_t room = put->held.max - put->held.size;
    size_t part = size < room ? size : room;
    if (part > 0 && buffer_append(&put->held, bytes, part) != 0) {
        return 0;
    }
    put->bytes += part;
    return part;
}

static void finish(struct put *put, const char *etag) {
    put->done(put->call, etag);
}

/* --- what the store says in XML ----------------------------------------------------------------------------
 */

struct said {
    const char *root;
    char upload[1024], etag[256];
};

static int open_element(void *context, const char *name, unsigned depth) {
    const struct said *said = context;
    return depth == 1 && strcmp(name, said->root) != 0 ? -1 : 0;
}

static int close_element(void *context, const char *name, unsigned depth, const char *text) {
    struct said *said = context;
    if (depth == 2 && strcmp(name, "UploadId") == 0) {
        return text_copy(said->upload, sizeof said->upload, text);
    }
    if (depth == 2 && strcmp(name, "ETag") == 0) {
        bool quoted = text[0] == '"';
        return text_format(said->etag, sizeof said->etag, quoted ? "%s" : "\"%s\"", text);
    }
    return 0;
}

/* -1 also of an error with status 200, as the end of an upload may be answered. */
static int read_answer(struct said *said, const char *root, const struct http_client_reply *reply) {
    static const struct xml_events events = {.open = open_element, .close = close_element};
    char *text = memory_copy_bytes(reply->body, reply->body_size);
    *said = (struct said){.root = root};
    int result = xml_parse(text, reply->body_size, &events, said);
    free(text);
    return result;
}

/* --- steps -------------------------------------------------------------------------------------------------
 */

static const struct statement note_statement = {
    "put_note", "update files set store_upload = $2 where id = $1::uuid and status = 'uploading'", 2};

static void next_part(struct put *put) {
    put->step = PUT_PART;
    put->part++;
    send(put);
}

static void noted(void *context, const struct database_answer *answer) {
    struct put *put = context;
    struct call *call = put->call;
    if (answer->outcome != DATABASE_OK || result_affected(answer->results[0]) != 1 || call->request == NULL) {
        log_warn("request=%s storage=failed step=note msg=\"%s\"", call->request_id,
                 answer->message != NULL ? answer->message : "");
        finish(put, NULL);
    } else {
        next_part(put);
    }
    call_release(call);
}

static void created(struct put *put, const struct http_client_reply *reply) {
    const struct database_local locals[] = {{.name = "filemill.user_id", .value = put->call->user},
                                            {.name = NULL}};
    struct said said;
    if (read_answer(&said, "InitiateMultipartUploadResult", reply) != 0 || said.upload[0] == '\0') {
        finish(put, NULL);
        return;
    }
    put->upload = memory_copy_text(said.upload);
    const struct query query = {.statement = &note_statement, .values = {put->file, put->upload}};
    call_hold(put->call);
    database_run(put->call->gateway->database, locals, &query, 1, noted, put);
}

static void part_stored(struct put *put, const struct http_client_reply *reply) {
    if (buffer_append_text(&put->list, "<Part>") != 0 ||
        xml_element_number(&put->list, "PartNumber", put->part) != 0 ||
        xml_element(&put->list, "ETag", reply->etag) != 0 || buffer_append_text(&put->list, "</Part>") != 0) {
        finish(put, NULL);
        return;
    }
    buffer_reset(&put->held);
    if (!put->ending) {
        finish(put, reply->etag);
        return;
    }
    buffer_clear(&put->held);
    put->step = PUT_COMPLETE;
    send(put);
}

static void completed(struct put *put, const struct http_client_reply *reply) {
    struct said said;
    if (read_answer(&said, "CompleteMultipartUploadResult", reply) != 0 || said.etag[0] == '\0') {
        log_warn("request=%s storage=failed step=complete", put->call->request_id);
        finish(put, NULL);
        return;
    }
    free(put->upload);
    put->upload = NULL;
    finish(put, said.etag);
}

static void stored(struct put *put, const struct http_client_reply *reply) {
    buffer_clear(&put->held);
    finish(put, reply->etag);
}

static const struct step {
    const char *name, *method;
    void (*then)(struct put *put, const struct http_client_reply *reply);
    bool has_type, has_held;
} steps[] = {
    [PUT_WHOLE] = {"put", "PUT", stored, true, true},
    [PUT_CREATE] = {"create", "POST", created, true, false},
    [PUT_PART] = {"part", "PUT", part_stored, false, true},
    [PUT_COMPLETE] = {"complete", "POST", completed, false, false},
};

/* --- one request -------------------------------------------------------------------------------------------
 */

static bool may_try_again(const struct put *put, const struct http_client_reply *reply) {
    bool for_now =
        reply->error == HTTP_CLIENT_OK
            ? reply->status >= 500 || reply->status == 429
            : reply->error == HTTP_CLIENT_CONNECT || (reply->error == HTTP_CLIENT_TRUNCATED &&
                                                      put->step != PUT_CREATE && put->step != PUT_COMPLETE);
    return for_now && put->tries < TRIES;
}

static void again(void *context) {
    struct put *put = context;
    struct call *call = put->call;
    loop_timer_free(put->timer);
    put->timer = NULL;
    if (call->request == NULL) {
        finish(put, NULL);
    } else {
        send(put);
    }
    call_release(call);
}

static void answered(void *context, const struct http_client_reply *reply) {
    struct put *put = context;
    struct call *call = put->call;
    if (reply->error == HTTP_CLIENT_OK && reply->status >= 200 && reply->status <= 299) {
        put->tries = 0;
        steps[put->step].then(put, reply);
        call_release(call);
        return;
    }
    storage_count_error(call->gateway->storage);
    log_warn("request=%s storage=failed step=%s try=%u error=%s status=%d", call->request_id,
             steps[put->step].name, put->tries, http_client_error_name(reply->error), reply->status);
    if (call->request != NULL && may_try_again(put, reply)) {
        put->timer = loop_timer_new(call->gateway->loop, again, put);
        loop_timer_set(put->timer, AGAIN_MS << put->tries);
        return; /* the call is held on */
    }
    finish(put, NULL);
    call_release(call);
}

static int64_t read_held(void *stream, uint64_t offset, void *target, size_t max) {
    const struct put *put = stream;
    size_t left = put->held.size - (size_t)offset;
    size_t size = left < max ? left : max;
    memcpy(target, put->held.data + offset, size);
    return (int64_t)size;
}

static int sign(const struct put *put, const char *method, char url[STORAGE_URL_MAX]) {
    const struct storage_presign what = {.method = method,
                                         .key = put->key,
                                         .expires_s = URL_SECONDS,
                                         .internal = true,
                                         .content_type = put->step == PUT_WHOLE ? put->type : NULL,
                                         .content_length = -1,
                                         .begin_upload = put->step == PUT_CREATE,
                                         .upload_id = put->upload,
                                         .part = put->step == PUT_PART ? put->part : 0};
    return storage_presign(put->call->gateway->storage, &what, url, STORAGE_URL_MAX);
}

static void send(struct put *put) {
    const struct step *step = &steps[put->step];
    char url[STORAGE_URL_MAX], type[sizeof put->type + 16];
    struct buffer body;
    (void)text_format(type, sizeof type, "Content-Type: %s", put->type);
    buffer_init(&body, LIST_MAX + 256);
    if (sign(put, step->method, url) != 0 || put->part > PARTS_MAX ||
        (put->step == PUT_COMPLETE &&
         buffer_append_format(&body, "<CompleteMultipartUpload xmlns=\"%s\">%s</CompleteMultipartUpload>",
                              XML_NAMESPACE, put->list.data) != 0)) {
        log_warn("request=%s storage=failed step=%s parts=%u", put->call->request_id, step->name, put->part);
        buffer_clear(&body);
        finish(put, NULL);
        return;
    }
    const struct http_client_request request = {.method = step->method,
                                                .url = url,
                                                .headers =
                                                    step->has_type ? (const char *const[]){type, NULL} : NULL,
                                                .body = body.data,
                                                .body_size = body.size,
                                                .upload_fd = -1,
                                                .upload_read = step->has_held ? read_held : NULL,
                                                .upload_bytes = put->held.size,
                                                .stream = put,
                                                .sink_fd = -1,
                                                .max_bytes = ANSWER_MAX,
                                                .max_body = ANSWER_MAX,
                                                .timeout_ms = STEP_TIMEOUT_MS,
                                                .low_speed_ms = step->has_held ? LOW_SPEED_MS : 0};
    put->tries++;
    call_hold(put->call);
    (void)http_client_start(put->call->gateway->client, &request, answered, put);
    buffer_clear(&body);
}

void put_flush(struct put *put, put_done_fn *done) {
    put->done = done;
    if (put->upload != NULL) {
        next_part(put);
        return;
    }
    put->step = PUT_CREATE;
    send(put);
}

void put_end(struct put *put, put_done_fn *done) {
    put->done = done;
    put->ending = true;
    if (put->upload != NULL) {
        next_part(put);
        return;
    }
    put->step = PUT_WHOLE;
    send(put);
}

/* --- giving up ---------------------------------------------------------------------------------------------
 */

static void aborted(void *context, const struct http_client_reply *reply) {
    if (reply->error != HTTP_CLIENT_OK || reply->status < 200 || reply->status > 299) {
        log_warn("event=upload_not_aborted error=%s status=%d", http_client_error_name(reply->error),
                 reply->status);
    }
}

void put_clear(struct put *put) {
    char url[STORAGE_URL_MAX];
    put->step = PUT_COMPLETE;
    if (put->upload != NULL && !put->call->gateway->draining && sign(put, "DELETE", url) == 0) {
        (void)http_client_start(put->call->gateway->client,
                                &(const struct http_client_request){.method = "DELETE",
                                                                    .url = url,
                                                                    .upload_fd = -1,
                                                                    .sink_fd = -1,
                                                                    .max_bytes = ANSWER_MAX,
                                                                    .timeout_ms = LOW_SPEED_MS},
                                aborted, NULL);
    }
    loop_timer_free(put->timer);
    put->timer = NULL;
    buffer_clear(&put->held);
    buffer_clear(&put->list);
    free(put->upload);
    put->upload = NULL;
}
