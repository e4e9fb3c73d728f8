/* SPDX-License-Identifier: MIT
 * GET, HEAD and PUT of one object. A GET answers from the file it opened: a PUT that replaces it meanwhile
 * makes a new file. */
#include "storage/store/objects.h"

#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "storage/store/conditions.h"
#include "storage/store/routes.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define METADATA_MAX 2048
#define DEFAULT_TYPE "binary/octet-stream"

/* Headers kept with an object, and the query parameter that overrides each in an answer. */
static const struct {
    const char *header;
    const char *override;
} kept_headers[] = {
    {"content-type", "response-content-type"},
    {"content-disposition", "response-content-disposition"},
    {"cache-control", "response-cache-control"},
    {"content-encoding", "response-content-encoding"},
    {"content-language", "response-content-language"},
    {"expires", "response-expires"},
};
#define KEPT_COUNT (sizeof(kept_headers) / sizeof(kept_headers[0]))

/* ---- reading ---- */

struct range {
    int status;
    uint64_t offset;
    uint64_t length;
};

static enum s3_error judge_read(struct call *call, const struct object *object, struct range *range) {
    const struct conditions conditions = {.if_match = call_header(call, "if-match"),
                                          .if_none_match = call_header(call, "if-none-match"),
                                          .if_modified_since = call_header(call, "if-modified-since"),
                                          .if_unmodified_since = call_header(call, "if-unmodified-since")};
    enum s3_error error = conditions_read(&conditions, object->etag, object->modified_ms);

    *range = (struct range){.status = 200, .length = object->size};
    if (error != S3_OK)
        return error;
    switch (range_parse(call_header(call, "range"), object->size, &range->offset, &range->length)) {
    case RANGE_UNSATISFIABLE:
        return S3_INVALID_RANGE;
    case RANGE_PART:
        range->status = 206;
        break;
    case RANGE_WHOLE:
        break;
    }
    return S3_OK;
}

static void add_kept_headers(const struct call *call, const struct object *object, struct reply *reply) {
    const char *mode = call_header(call, "x-amz-checksum-mode");

    for (size_t i = 0; i < KEPT_COUNT; i++) {
        const char *value = call_query(call, kept_headers[i].override);
        if (value == NULL)
            value = object_field(object, kept_headers[i].header);
        reply_header(reply, kept_headers[i].header, value != NULL || i > 0 ? value : DEFAULT_TYPE);
    }
    for (size_t i = 0; i < object->field_count; i++) {
        const char *name = object->fields[i].name;
        if (text_starts_with(name, "x-amz-meta-") ||
            (text_starts_with(name, "x-amz-checksum-") && mode != NULL && strcasecmp(mode, "enabled") == 0))
            reply_header(reply, name, object->fields[i].value);
    }
}

/* An override stands in a header of ours: no line of it may end ours. */
static bool overrides_are_clean(const struct call *call) {
    for (size_t i = 0; i < KEPT_COUNT; i++) {
        const char *value = call_query(call, kept_headers[i].override);
        for (; value != NULL && *value != '\0'; value++) {
            if ((unsigned char)*value < 0x20 || *value == 0x7f)
                return false;
        }
    }
    return true;
}

static void answer_object(struct call *call, const struct object *object, int fd) {
    struct reply reply = {.count = 0};
    struct range range;
    char etag[OBJECT_ETAG_SIZE + 2];
    char modified[32];
    char content_range[80];
    enum s3_error error = judge_read(call, object, &range);

    quote_etag(etag, object->etag);
    clock_format_http(modified, sizeof(modified), object->modified_ms);
    reply_header(&reply, "ETag", etag);
    reply_header(&reply, "Last-Modified", modified);
    if (error != S3_OK) {
        if (error == S3_NOT_MODIFIED)
            call_reply(call, 304, &reply);
        else
            call_fail(call, error);
        (void)close(fd);
        return;
    }
    reply_header(&reply, "Accept-Ranges", "bytes");
    if (range.status == 206) {
        (void)text_format(
            content_range, sizeof(content_range), "bytes %llu-%llu/%llu", (unsigned long long)range.offset,
            (unsigned long long)(range.offset + range.length - 1), (unsigned long long)object->size);
        reply_header(&reply, "Content-Range", content_range);
    }
    add_kept_headers(call, object, &reply);
    if (strcmp(http_request_method(call->request), "GET") == 0)
        counter_add(COUNT_STORE_BYTES_OUT, range.length);
    call_reply_file(call, range.status, &reply, fd, range.offset, range.length);
}

void get_object(struct call *call) {
    struct bucket *bucket = call_bucket(call);
    struct object object = {0};
    char path[DISK_PATH_MAX];
    int fd;

    if (bucket == NULL)
        return;
    if (!overrides_are_clean(call)) {
        call_fail_words(call, S3_INVALID_ARGUMENT, "A response-* parameter holds a control character.");
        return;
    }
    if (index_find(bucket->index, call->key) == NULL) {
        call_fail(call, S3_NO_SUCH_KEY);
        return;
    }
    disk_object_path(path, bucket, call->key);
    fd = disk_open_object(call->store->disk, path, &object);
    if (fd < 0) {
        call_fail_errno(call);
        return;
    }
    answer_object(call, &object, fd);
    object_clear(&object);
}

/* ---- writing ---- */

/* "aws-chunked" says how the body was sent, not what the object is. */
static void strip_chunked(char *encoding) {
    char *rest = encoding;

    if (strncasecmp(rest, "aws-chunked", 11) != 0)
        return;
    rest += 11;
    rest += strspn(rest, ", ");
    memmove(encoding, rest, strlen(rest) + 1);
}

static int keep_header(struct object *object, const char *name, const char *value) {
    char encoding[256];

    if (strcasecmp(name, "content-encoding") != 0)
        return object_set_field(object, name, value);
    if (text_copy(encoding, sizeof(encoding), value) != 0)
        return -1;
    strip_chunked(encoding);
    return encoding[0] != '\0' ? object_set_field(object, name, encoding) : 0;
}

enum s3_error object_take_headers(struct call *call) {
    struct http_header headers[128];
    size_t count = http_request_headers(call->request, headers, sizeof(headers) / sizeof(headers[0]));
    size_t metadata = 0;

    for (size_t i = 0; i < KEPT_COUNT; i++) {
        const char *value = call_header(call, kept_headers[i].header);
        if (value != NULL && keep_header(&call->object, kept_headers[i].header, value) != 0)
            return S3_METADATA_TOO_LARGE;
    }
    for (size_t i = 0; i < count && i < sizeof(headers) / sizeof(headers[0]); i++) {
        char name[128];
        size_t size = strlen(headers[i].name);
        if (strncasecmp(headers[i].name, "x-amz-meta-", 11) != 0)
            continue;
        metadata += size + strlen(headers[i].value);
        if (metadata > METADATA_MAX || size >= sizeof(name))
            return S3_METADATA_TOO_LARGE;
        for (size_t j = 0; j <= size; j++)
            name[j] = headers[i].name[j] >= 'A' && headers[i].name[j] <= 'Z' ? (char)(headers[i].name[j] + 32)
                                                                             : headers[i].name[j];
        if (object_set_field(&call->object, name, headers[i].value) != 0)
            return S3_METADATA_TOO_LARGE;
    }
    return S3_OK;
}

enum s3_error object_check_write(const struct call *call) {
    const struct conditions conditions = {.if_match = call_header(call, "if-match"),
                                          .if_none_match = call_header(call, "if-none-match")};
    struct bucket *bucket = disk_bucket(call->store->disk, call->bucket_name);
    const struct index_entry *there;

    if (bucket == NULL)
        return S3_NO_SUCH_BUCKET;
    there = index_find(bucket->index, call->key);
    return conditions_write(&conditions, there != NULL ? index_etag(there) : NULL);
}

struct publication {
    struct call *call;
    void (*published)(struct call *call);
    enum s3_error refusal;
};

static bool permit_object(void *context) {
    struct publication *publication = context;

    /* When the client has gone its conditions are gone too, and nobody was promised anything. */
    if (publication->call->request == NULL)
        publication->refusal = S3_INCOMPLETE_BODY;
    else
        publication->refusal = object_check_write(publication->call);
    return publication->refusal == S3_OK;
}

static void object_placed(void *context) {
    struct publication *publication = context;
    struct call *call = publication->call;
    struct bucket *bucket = disk_bucket(call->store->disk, call->bucket_name);

    if (bucket != NULL)
        index_put(bucket->index, &call->object);
}

static void object_done(void *context, enum writer_result result) {
    struct publication *publication = context;
    struct call *call = publication->call;

    if (result == WRITER_OK)
        publication->published(call);
    else if (result == WRITER_REFUSED)
        call_fail(call, publication->refusal);
    else
        call_fail_writer(call, result);
    free(publication);
    call_end(call);
}

void object_publish(struct call *call, void (*published)(struct call *call)) {
    static const struct writer_events events = {
        .permit = permit_object, .placed = object_placed, .done = object_done};
    struct bucket *bucket = call_bucket(call);
    struct publication *publication;
    char path[DISK_PATH_MAX];

    if (bucket == NULL)
        return;
    publication = memory_new(sizeof(*publication));
    *publication = (struct publication){.call = call, .published = published};
    object_set_key(&call->object, call->key);
    call->object.modified_ms = clock_wall_ms();
    disk_object_path(path, bucket, call->key);
    call_begin(call);
    writer_publish(call->writer, &call->object, path, &events, publication);
}

int object_begin_body(struct call *call, enum s3_error error) {
    if (error != S3_OK) {
        call_fail(call, error);
        return -1;
    }
    call->writer = writer_new(call->store->disk, call->store->syncer);
    if (call->writer == NULL) {
        call_fail_errno(call);
        return -1;
    }
    return 0;
}

int put_object_begin(struct call *call) {
    enum s3_error error = object_check_write(call);

    if (error == S3_OK)
        error = object_take_headers(call);
    return object_begin_body(call, error);
}

void object_reply_stored(struct call *call) {
    struct reply reply = {.count = 0};
    char etag[OBJECT_ETAG_SIZE + 2];

    quote_etag(etag, call->object.etag);
    reply_header(&reply, "ETag", etag);
    if (call->payload.extra_kind != NULL)
        reply_header(&reply, checksum_kind_header(call->payload.extra_kind), call->payload.extra_base64);
    call_reply(call, 200, &reply);
}

void put_object(struct call *call) {
    call->object.size = writer_size(call->writer);
    (void)text_copy(call->object.etag, sizeof(call->object.etag), call->payload.md5_hex);
    if (call->payload.extra_kind != NULL)
        (void)object_set_field(&call->object, checksum_kind_header(call->payload.extra_kind),
                               call->payload.extra_base64);
    object_publish(call, object_reply_stored);
}
