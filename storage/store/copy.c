/* SPDX-License-Identifier: MIT
 * CopyObject and UploadPartCopy. The source is checked when the copy starts and again when it is opened. */
#include "lib/clock.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "storage/store/assembly.h"
#include "storage/store/conditions.h"
#include "storage/store/objects.h"
#include "storage/store/routes.h"
#include "storage/store/uploads.h"
#include "storage/store/xml.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

struct source {
    struct object object;
    char path[DISK_PATH_MAX];
    bool is_target; /* bucket and key of the request itself */
};

/* "/bucket/key", percent-encoded, the first slash optional. */
static enum s3_error find_source(struct call *call, struct source *source) {
    const char *header = call_header(call, "x-amz-copy-source");
    char decoded[BUCKET_NAME_SIZE + OBJECT_KEY_MAX + 8];
    size_t size = strcspn(header, "?");
    struct bucket *bucket;
    char *key;

    if (text_percent_decode(decoded, sizeof(decoded), header, size, false) != 0)
        return S3_INVALID_ARGUMENT;
    char *bucket_name = decoded + (decoded[0] == '/' ? 1 : 0);
    key = strchr(bucket_name, '/');
    if (key == NULL || key[1] == '\0' || strlen(key + 1) > OBJECT_KEY_MAX)
        return S3_INVALID_ARGUMENT;
    *key++ = '\0';
    bucket = disk_bucket(call->store->disk, bucket_name);
    if (bucket == NULL)
        return S3_NO_SUCH_BUCKET;
    source->is_target = strcmp(bucket_name, call->bucket_name) == 0 && strcmp(key, call->key) == 0;
    disk_object_path(source->path, bucket, key);
    int fd = disk_open_object(call->store->disk, source->path, &source->object);
    if (fd < 0)
        return errno == ENOENT ? S3_NO_SUCH_KEY : S3_INTERNAL;
    (void)close(fd);
    return S3_OK;
}

static enum s3_error judge_source(const struct call *call, const struct source *source) {
    const struct conditions conditions = {
        .if_match = call_header(call, "x-amz-copy-source-if-match"),
        .if_none_match = call_header(call, "x-amz-copy-source-if-none-match"),
        .if_modified_since = call_header(call, "x-amz-copy-source-if-modified-since"),
        .if_unmodified_since = call_header(call, "x-amz-copy-source-if-unmodified-since")};

    return conditions_read(&conditions, source->object.etag, source->object.modified_ms) == S3_OK
               ? S3_OK
               : S3_PRECONDITION_FAILED;
}

static enum s3_error open_source(struct call *call, struct source *source) {
    enum s3_error error = find_source(call, source);

    if (error == S3_OK)
        error = judge_source(call, source);
    if (error != S3_OK)
        return error;
    call->writer = writer_new(call->store->disk, call->store->syncer);
    return call->writer != NULL ? S3_OK : S3_INTERNAL;
}

static struct piece *piece_of(const struct source *source, uint64_t offset, uint64_t size) {
    struct piece *piece = memory_new(sizeof(*piece));

    (void)text_copy(piece->path, sizeof(piece->path), source->path);
    (void)text_copy(piece->etag, sizeof(piece->etag), source->object.etag);
    piece->offset = offset;
    piece->size = size;
    return piece;
}

static void reply_copied(struct call *call, const char *root) {
    struct buffer xml;
    int cut;
    char etag[OBJECT_ETAG_SIZE + 2];
    char modified[32];

    quote_etag(etag, call->object.etag);
    clock_format_iso8601(modified, sizeof(modified), call->object.modified_ms);
    buffer_init(&xml, 4096);
    cut = buffer_append_format(&xml, XML_DECLARATION "<%s xmlns=\"" XML_NAMESPACE "\">", root);
    cut |= xml_element(&xml, "LastModified", modified);
    cut |= xml_element(&xml, "ETag", etag);
    cut |= buffer_append_format(&xml, "</%s>", root);
    call_reply_document(call, &xml, cut);
}

static void object_copied(struct call *call) {
    reply_copied(call, "CopyObjectResult");
}

static void bytes_copied(struct call *call) {
    object_publish(call, object_copied);
}

static enum s3_error take_metadata(struct call *call, const struct source *source) {
    const char *directive = call_header(call, "x-amz-metadata-directive");

    if (directive != NULL && strcasecmp(directive, "REPLACE") == 0)
        return object_take_headers(call);
    if (directive != NULL && strcasecmp(directive, "COPY") != 0)
        return S3_INVALID_ARGUMENT;
    if (source->is_target)
        return S3_INVALID_REQUEST; /* a copy onto itself that changes nothing */
    for (size_t i = 0; i < source->object.field_count; i++) {
        if (object_set_field(&call->object, source->object.fields[i].name, source->object.fields[i].value) !=
            0)
            return S3_METADATA_TOO_LARGE;
    }
    return S3_OK;
}

void copy_object(struct call *call) {
    struct source source = {0};
    enum s3_error error = object_check_write(call);

    if (error == S3_OK)
        error = open_source(call, &source);
    if (error == S3_OK)
        error = take_metadata(call, &source);
    if (error == S3_OK) {
        call->object.size = source.object.size;
        (void)text_copy(call->object.etag, sizeof(call->object.etag), source.object.etag);
        assembly_start(call, piece_of(&source, 0, source.object.size), 1, false, bytes_copied);
    } else {
        call_fail(call, error);
    }
    object_clear(&source.object);
}

static void part_copied(struct call *call) {
    reply_copied(call, "CopyPartResult");
}

static void part_bytes_copied(struct call *call) {
    upload_publish_part(call, part_copied);
}

void copy_part(struct call *call) {
    struct source source = {0};
    uint64_t offset = 0;
    uint64_t size = 0;
    enum s3_error error = upload_open(call);

    if (error == S3_OK)
        error = upload_take_part_number(call);
    if (error == S3_OK)
        error = open_source(call, &source);
    if (error == S3_OK) {
        size = source.object.size;
        const char *range = call_header(call, "x-amz-copy-source-range");
        if (range != NULL && range_parse(range, size, &offset, &size) != RANGE_PART)
            error = S3_INVALID_RANGE;
    }
    if (error == S3_OK) {
        call->object.size = size;
        assembly_start(call, piece_of(&source, offset, size), 1, true, part_bytes_copied);
    } else {
        call_fail(call, error);
    }
    object_clear(&source.object);
}
