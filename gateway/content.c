/* SPDX-License-Identifier: MIT
 * Conditions and ranges first; then one window after the other: fetch, open, hand on. */
#include "gateway/content.h"

#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "storage/store/conditions.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_BYTES (512u * 1024u)
#define FETCH_TIMEOUT_MS 30000

static void fetch_window(struct content *content);

void content_clear(void *state) {
    struct content *content = state;
    if (content->counted) {
        content->call->gateway->content_streams--;
    }
    content->counted = false;
    envelope_free(content->envelope);
    content->envelope = NULL;
    buffer_clear(&content->text);
    explicit_bzero(content->data_key, sizeof content->data_key);
}

/* Before the answer has begun it is a problem; afterwards the client must not take it for whole. */
static void give_up(struct content *content, enum problem problem, const char *cause) {
    struct call *call = content->call;
    storage_count_error(call->gateway->storage);
    log_warn("request=%s object=%s content=failed error=%s offset=%" PRIu64 " cause=\"%s\"", call->request_id,
             content->key, problem_rows[problem].code, content->offset, cause);
    if (content->stream == NULL) {
        call_problem(call, problem, NULL);
    } else if (call->request != NULL) {
        http_stream_abort(content->stream);
    }
}

/* ---- the head ---- */

static void add_disposition(const struct content *content, char *target, size_t size) {
    char encoded[3 * FILE_NAME_MAX + 1];
    if (content->filename[0] == '\0' ||
        text_percent_encode(encoded, sizeof encoded, content->filename, false) != 0 ||
        text_format(target, size, "attachment; filename*=UTF-8''%s", encoded) != 0) {
        (void)text_copy(target, size, "attachment");
    }
}

static void client_wants(void *place) {
    struct content *content = place;
    if (content->offset < content->end) {
        fetch_window(content);
    }
}

/* What is stored may be anything: it is saved, not shown, and never runs in this origin. */
static void send_head(struct content *content) {
    char etag[sizeof content->etag + 2], range[96], disposition[3 * FILE_NAME_MAX + 64];
    struct http_header headers[8];
    size_t count = 0;
    const struct http_supply supply = {.size = content->end - content->offset,
                                       .max_queue = 2 * (size_t)WINDOW_BYTES,
                                       .wanted = client_wants,
                                       .place = content};
    add_disposition(content, disposition, sizeof disposition);
    headers[count++] = (struct http_header){"Content-Type", content->mime};
    headers[count++] = (struct http_header){"Content-Disposition", disposition};
    headers[count++] = (struct http_header){"Content-Security-Policy", "sandbox; default-src 'none'"};
    headers[count++] = (struct http_header){"Accept-Ranges", "bytes"};
    if (content->etag[0] != '\0') {
        (void)text_format(etag, sizeof etag, "\"%s\"", content->etag);
        headers[count++] = (struct http_header){"ETag", etag};
    }
    if (content->part) {
        (void)text_format(range, sizeof range, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, content->offset,
                          content->end - 1, content->size_bytes);
        headers[count++] = (struct http_header){"Content-Range", range};
    }
    headers[count] = (struct http_header){NULL, NULL};
    content->stream = call_supply(content->call, content->part ? 206 : 200, headers, &supply);
}

/* ---- windows ---- */

/* NULL when the store gave just what was asked for. */
static const char *reply_fault(const struct content *content, const struct http_client_reply *reply,
                               enum problem *problem) {
    bool sealed = content->seal[0] != '\0';
    *problem = PROBLEM_STORAGE_UNAVAILABLE;
    if (reply->error != HTTP_CLIENT_OK) {
        return http_client_error_name(reply->error);
    }
    if (reply->status == 404 || reply->status == 403) {
        *problem = PROBLEM_OBJECT_NOT_FOUND;
        return "no such object";
    }
    if (reply->status == 412) {
        *problem = PROBLEM_OBJECT_CHANGED;
        return "another object";
    }
    if (reply->status == 416 || (reply->status / 100 == 2 && reply->body_size < content->fetched_bytes)) {
        *problem = sealed ? PROBLEM_DECRYPT_FAILED : PROBLEM_OBJECT_CHANGED;
        return "the object is too short";
    }
    return (reply->status == 206 || reply->status == 200) && reply->body_size == content->fetched_bytes
               ? NULL
               : "an unexpected answer";
}

static void fetch(struct content *content, uint64_t offset, uint64_t length, http_client_done_fn *done) {
    struct call *call = content->call;
    char url[STORAGE_URL_MAX], range[96], match[sizeof content->store_etag + 16];
    const char *headers[] = {range, NULL, NULL};
    const struct storage_presign what = {
        .method = "GET", .key = content->key, .expires_s = 60, .internal = true, .content_length = -1};
    if (storage_presign(call->gateway->storage, &what, url, sizeof url) != 0) {
        give_up(content, PROBLEM_INTERNAL, "no URL");
        return;
    }
    (void)text_format(range, sizeof range, "Range: bytes=%" PRIu64 "-%" PRIu64, offset, offset + length - 1);
    if (content->store_etag[0] != '\0' &&
        text_format(match, sizeof match, "If-Match: %s", content->store_etag) == 0) {
        headers[1] = match;
    }
    content->fetched_bytes = length;
    call_hold(call);
    (void)http_client_start(call->gateway->client,
                            &(const struct http_client_request){.method = "GET",
                                                                .url = url,
                                                                .headers = headers,
                                                                .upload_fd = -1,
                                                                .sink_fd = -1,
                                                                .max_bytes = length,
                                                                .max_body = (size_t)length,
                                                                .timeout_ms = FETCH_TIMEOUT_MS},
                            done, content);
}

/* The part of a piece, which begins at plain `at`, that was asked for. */
static void hand_on(struct content *content, uint64_t at, const unsigned char *bytes, size_t size) {
    uint64_t skip = content->offset > at ? content->offset - at : 0;
    uint64_t left = content->end - content->offset;
    if (content->done == NULL && content->stream == NULL) {
        send_head(content);
    }
    if (skip >= size || (content->done == NULL && content->stream == NULL)) {
        return;
    }
    uint64_t part = size - skip < left ? size - skip : left;
    content->offset += part;
    (void)(content->done != NULL ? buffer_append(&content->text, bytes + skip, (size_t)part)
                                 : http_stream_write(content->stream, bytes + skip, (size_t)part));
}

/* Opens every chunk before anything of the window is sent. -1: one is not authentic. */
static int open_window(struct content *content, const unsigned char *sealed, size_t size,
                       unsigned char *plain, size_t *plain_size) {
    uint32_t chunk_bytes = envelope_chunk_bytes(content->envelope);
    uint64_t chunks = envelope_chunks(content->size_bytes, chunk_bytes);
    *plain_size = 0;
    for (uint64_t index = content->chunk; size > 0; index++) {
        size_t part = chunk_bytes + ENVELOPE_TAG_BYTES < size ? chunk_bytes + ENVELOPE_TAG_BYTES : size;
        if (envelope_open_chunk(content->envelope, index, index + 1 == chunks, sealed, part,
                                plain + *plain_size) != 0) {
            return -1;
        }
        *plain_size += part - ENVELOPE_TAG_BYTES;
        sealed += part;
        size -= part;
    }
    return 0;
}

static void send_sealed(struct content *content, const struct http_client_reply *reply) {
    unsigned char *plain = memory_new(reply->body_size);
    uint64_t at = content->chunk * envelope_chunk_bytes(content->envelope);
    size_t size;
    if (open_window(content, (const unsigned char *)reply->body, reply->body_size, plain, &size) != 0) {
        give_up(content, PROBLEM_DECRYPT_FAILED, "a chunk is not authentic");
    } else {
        hand_on(content, at, plain, size);
    }
    explicit_bzero(plain, reply->body_size);
    free(plain);
}

static void read_on(struct content *content) {
    if (content->offset < content->end) {
        fetch_window(content);
    } else {
        content->done(content->call);
    }
}

static void window_came(void *context, const struct http_client_reply *reply) {
    struct content *content = context;
    struct call *call = content->call;
    enum problem problem;
    const char *fault = reply_fault(content, reply, &problem);
    if (call->request == NULL) {
        call_release(call);
        return;
    }
    if (fault != NULL) {
        give_up(content, problem, fault);
    } else if (content->envelope != NULL) {
        send_sealed(content, reply);
    } else {
        hand_on(content, content->offset, (const unsigned char *)reply->body, reply->body_size);
    }
    if (call->request != NULL && call->status == 0 && content->done != NULL) {
        read_on(content);
    } else if (content->stream != NULL && content->offset == content->end && call->request != NULL) {
        http_stream_end(content->stream);
    }
    call_release(call);
}

static void fetch_window(struct content *content) {
    uint64_t left = content->end - content->offset;
    if (content->envelope == NULL) {
        fetch(content, content->offset, left < WINDOW_BYTES ? left : WINDOW_BYTES, window_came);
        return;
    }
    uint64_t chunk_bytes = envelope_chunk_bytes(content->envelope);
    uint64_t whole = chunk_bytes + ENVELOPE_TAG_BYTES;
    uint64_t chunks = envelope_chunks(content->size_bytes, (uint32_t)chunk_bytes);
    content->chunk = content->offset / chunk_bytes;
    uint64_t last = left > 0 ? (content->end - 1) / chunk_bytes : content->chunk; /* that is wanted */
    if (last >= content->chunk + WINDOW_BYTES / chunk_bytes) {
        last = content->chunk + WINDOW_BYTES / chunk_bytes - 1;
    }
    uint64_t end = last + 1 == chunks ? envelope_sealed_bytes(content->size_bytes, (uint32_t)chunk_bytes)
                                      : ENVELOPE_HEADER_BYTES + (last + 1) * whole;
    uint64_t begin = ENVELOPE_HEADER_BYTES + content->chunk * whole;
    fetch(content, begin, end - begin, window_came);
}

static void header_came(void *context, const struct http_client_reply *reply) {
    struct content *content = context;
    struct call *call = content->call;
    enum problem problem;
    const char *fault = reply_fault(content, reply, &problem);
    if (call->request != NULL && fault != NULL) {
        give_up(content, problem, fault);
    } else if (call->request != NULL) {
        content->envelope = envelope_open(content->data_key, (const unsigned char *)reply->body);
        if (content->envelope == NULL) {
            give_up(content, PROBLEM_DECRYPT_FAILED, "the header is not authentic");
        } else {
            fetch_window(content);
        }
    }
    call_release(call);
}

/* ---- what is asked for ---- */

/* False when a condition has answered the call. */
static bool conditions_hold(struct call *call, const struct content *content) {
    const struct conditions conditions = {.if_match = http_request_header(call->request, "If-Match"),
                                          .if_none_match =
                                              http_request_header(call->request, "If-None-Match")};
    char etag[sizeof content->etag + 2];
    if (content->etag[0] == '\0') {
        return true;
    }
    switch (conditions_read(&conditions, content->etag, 0)) {
    case S3_OK:
        return true;
    case S3_NOT_MODIFIED:
        (void)text_format(etag, sizeof etag, "\"%s\"", content->etag);
        call_send(call, 304, NULL, NULL, (const struct http_header[]){{"ETag", etag}, {NULL, NULL}});
        return false;
    default:
        call_problem(call, PROBLEM_CONDITION_FAILED, NULL);
        return false;
    }
}

/* A range counts only while If-Range names what is there now (RFC 9110, 13.1.5); a date never does: none is
 * kept. */
static bool range_counts(const struct call *call, const struct content *content) {
    const char *condition = http_request_header(call->request, "If-Range");
    char etag[sizeof content->etag + 2];
    (void)text_format(etag, sizeof etag, "\"%s\"", content->etag);
    return condition == NULL || (content->etag[0] != '\0' && strcmp(condition, etag) == 0);
}

static bool take_range(struct call *call, struct content *content) {
    const char *header = range_counts(call, content) ? http_request_header(call->request, "Range") : NULL;
    uint64_t offset = 0, length = content->size_bytes;
    char range[64];
    switch (range_parse(header, content->size_bytes, &offset, &length)) {
    case RANGE_PART:
        content->part = true;
        break;
    case RANGE_WHOLE:
        offset = 0;
        length = content->size_bytes;
        break;
    default: {
        char *document = problem_document(PROBLEM_RANGE_REFUSED, NULL, NULL);
        (void)text_format(range, sizeof range, "bytes */%" PRIu64, content->size_bytes);
        call_send(call, 416, "application/problem+json", document,
                  (const struct http_header[]){{"Content-Range", range}, {NULL, NULL}});
        free(document);
        return false;
    }
    }
    content->offset = offset;
    content->end = offset + length;
    return true;
}

/* False when the call is answered: too many at once, or no key. */
static bool take_key(struct call *call, struct content *content) {
    enum keyring_result result;
    if (call->gateway->content_streams >= (unsigned)call->gateway->settings.content_streams) {
        call_problem(call, PROBLEM_BUSY, NULL);
        return false;
    }
    call->gateway->content_streams++;
    content->counted = true;
    if (content->seal[0] == '\0') {
        return true;
    }
    result = keyring_unwrap(call->gateway->keyring, content->key, content->seal, content->data_key);
    if (result != KEYRING_OK) {
        give_up(content, result == KEYRING_UNKNOWN ? PROBLEM_KEY_UNAVAILABLE : PROBLEM_DECRYPT_FAILED,
                result == KEYRING_UNKNOWN ? "no such master key" : "the seal is not of this object");
    }
    return result == KEYRING_OK;
}

void content_answer(struct call *call, struct content *content) {
    content->call = call;
    if (call->request == NULL || !conditions_hold(call, content) || !take_range(call, content) ||
        !take_key(call, content)) {
        return;
    }
    if (strcmp(http_request_method(call->request), "HEAD") == 0) {
        send_head(content);
    } else if (content->seal[0] != '\0') {
        fetch(content, 0, ENVELOPE_HEADER_BYTES, header_came);
    } else if (content->size_bytes == 0) {
        send_head(content);
        http_stream_end(content->stream);
    } else {
        fetch_window(content);
    }
}

void content_read(struct call *call, struct content *content, size_t most, void (*done)(struct call *call)) {
    content->call = call;
    buffer_init(&content->text, most);
    content->done = done;
    content->offset = 0;
    content->end = content->size_bytes < most ? content->size_bytes : most;
    if (call->request == NULL || !take_key(call, content)) {
        return;
    }
    if (content->seal[0] != '\0') {
        fetch(content, 0, ENVELOPE_HEADER_BYTES, header_came);
    } else {
        read_on(content);
    }
}
