/* SPDX-License-Identifier: MIT
 * Multipart uploads: create, upload a part, complete, abort. The parts of a completed upload are joined into
 * one file; its ETag is the MD5 of the parts' MD5s with the number of parts behind a dash. */
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "storage/store/assembly.h"
#include "storage/store/objects.h"
#include "storage/store/routes.h"
#include "storage/store/uploads.h"
#include "storage/store/xml.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART_MIN_BYTES (5u << 20)

/* ---- the upload that a request names ---- */

static void free_upload(struct call *call) {
    struct upload *upload = call->state;

    object_clear(&upload->object);
    free(upload);
    call->state = NULL;
}

static struct upload *upload_new(struct call *call, const char *id) {
    struct upload *upload = memory_new(sizeof(*upload));

    (void)text_copy(upload->id, sizeof(upload->id), id);
    (void)text_format(upload->directory, sizeof(upload->directory), "buckets/%s/uploads/%s",
                      call->bucket_name, id);
    call->state = upload;
    call->free_state = free_upload;
    return upload;
}

enum s3_error upload_open(struct call *call) {
    const char *id = call_query(call, "uploadId");
    char path[DISK_PATH_MAX];
    struct upload *upload;
    int fd;

    if (disk_bucket(call->store->disk, call->bucket_name) == NULL)
        return S3_NO_SUCH_BUCKET;
    if (id == NULL || strlen(id) != UPLOAD_ID_SIZE - 1 || id[strspn(id, "0123456789abcdef")] != '\0')
        return S3_NO_SUCH_UPLOAD;
    upload = upload_new(call, id);
    if (text_format(path, sizeof(path), "%s/upload", upload->directory) != 0)
        return S3_INTERNAL;
    fd = disk_open_object(call->store->disk, path, &upload->object);
    if (fd < 0)
        return errno == ENOENT ? S3_NO_SUCH_UPLOAD : S3_INTERNAL;
    (void)close(fd);
    return strcmp(upload->object.key, call->key) == 0 ? S3_OK : S3_NO_SUCH_UPLOAD;
}

enum s3_error upload_take_part_number(struct call *call) {
    struct upload *upload = call->state;
    const char *text = call_query(call, "partNumber");
    uint64_t number;

    if (text == NULL || text_parse_u64(text, 1, PART_NUMBER_MAX, &number) != 0)
        return S3_INVALID_ARGUMENT;
    upload->part_number = (unsigned)number;
    return S3_OK;
}

int upload_part_path(char path[DISK_PATH_MAX], const struct upload *upload, unsigned number) {
    return text_format(path, DISK_PATH_MAX, "%s/%05u", upload->directory, number);
}

/* ---- create ---- */

int create_upload_begin(struct call *call) {
    enum s3_error error = S3_OK;

    if (call_bucket(call) == NULL)
        return -1;
    error = object_take_headers(call);
    if (error != S3_OK) {
        call_fail(call, error);
        return -1;
    }
    return 0;
}

static void reply_created(struct call *call, const struct upload *upload) {
    struct buffer xml;
    int cut;

    buffer_init(&xml, 65536);
    cut = buffer_append_text(&xml,
                             XML_DECLARATION "<InitiateMultipartUploadResult xmlns=\"" XML_NAMESPACE "\">");
    cut |= xml_element(&xml, "Bucket", call->bucket_name);
    cut |= xml_element(&xml, "Key", call->key);
    cut |= xml_element(&xml, "UploadId", upload->id);
    cut |= buffer_append_text(&xml, "</InitiateMultipartUploadResult>");
    call_reply_document(call, &xml, cut);
}

static void upload_created(void *context, enum writer_result result) {
    struct call *call = context;

    if (result == WRITER_OK)
        reply_created(call, call->state);
    else
        call_fail_writer(call, result);
    call_end(call);
}

void create_upload(struct call *call) {
    static const struct writer_events events = {.done = upload_created};
    unsigned char random[(UPLOAD_ID_SIZE - 1) / 2];
    char id[UPLOAD_ID_SIZE];
    char path[DISK_PATH_MAX];
    struct upload *upload;

    disk_sweep_uploads(call->store->disk);
    text_random(random, sizeof(random));
    text_hex_encode(id, random, sizeof(random));
    upload = upload_new(call, id);
    call->writer = writer_new(call->store->disk, call->store->syncer);
    if (call->writer == NULL || mkdirat(disk_root(call->store->disk), upload->directory, 0700) != 0 ||
        text_format(path, sizeof(path), "%s/upload", upload->directory) != 0) {
        call_fail_errno(call);
        return;
    }
    object_set_key(&call->object, call->key);
    call->object.modified_ms = clock_wall_ms();
    call_begin(call);
    writer_publish(call->writer, &call->object, path, &events, call);
}

/* ---- parts ---- */

int put_part_begin(struct call *call) {
    enum s3_error error = upload_open(call);

    if (error == S3_OK)
        error = upload_take_part_number(call);
    return object_begin_body(call, error);
}

struct part_publication {
    struct call *call;
    void (*published)(struct call *call);
};

/* The upload may have been aborted or completed while the part came in. */
static bool permit_part(void *context) {
    struct part_publication *publication = context;
    struct upload *upload = publication->call->state;

    return faccessat(disk_root(publication->call->store->disk), upload->directory, F_OK, 0) == 0;
}

static void part_done(void *context, enum writer_result result) {
    struct part_publication *publication = context;
    struct call *call = publication->call;

    if (result == WRITER_OK)
        publication->published(call);
    else if (result == WRITER_REFUSED)
        call_fail(call, S3_NO_SUCH_UPLOAD);
    else
        call_fail_writer(call, result);
    free(publication);
    call_end(call);
}

void upload_publish_part(struct call *call, void (*published)(struct call *call)) {
    static const struct writer_events events = {.permit = permit_part, .done = part_done};
    struct part_publication *publication = memory_new(sizeof(*publication));
    const struct upload *upload = call->state;
    char path[DISK_PATH_MAX];

    *publication = (struct part_publication){.call = call, .published = published};
    (void)upload_part_path(path, upload, upload->part_number);
    object_set_key(&call->object, call->key);
    call->object.modified_ms = clock_wall_ms();
    call_begin(call);
    writer_publish(call->writer, &call->object, path, &events, publication);
}

void put_part(struct call *call) {
    call->object.size = writer_size(call->writer);
    (void)text_copy(call->object.etag, sizeof(call->object.etag), call->payload.md5_hex);
    upload_publish_part(call, object_reply_stored);
}

/* ---- abort ---- */

void abort_upload(struct call *call) {
    enum s3_error error = upload_open(call);
    struct upload *upload = call->state;

    if (error != S3_OK) {
        call_fail(call, error);
        return;
    }
    disk_remove_tree(disk_root(call->store->disk), upload->directory);
    call_reply(call, 204, NULL);
}

/* ---- complete ---- */

struct part_list {
    struct {
        uint64_t number;
        char etag[OBJECT_ETAG_SIZE];
    } * parts;
    size_t count;
    enum s3_error error;
};

static int open_part_element(void *context, const char *name, unsigned depth) {
    struct part_list *list = context;

    if (depth == 1)
        return strcmp(name, "CompleteMultipartUpload") == 0 ? 0 : -1;
    if (depth != 2 || strcmp(name, "Part") != 0)
        return 0;
    if (list->count == PART_NUMBER_MAX)
        return -1;
    list->count++;
    return 0;
}

static int close_part_element(void *context, const char *name, unsigned depth, const char *text) {
    struct part_list *list = context;

    if (depth != 3 || list->count == 0)
        return 0;
    if (strcmp(name, "PartNumber") == 0)
        return text_parse_u64(text, 1, PART_NUMBER_MAX, &list->parts[list->count - 1].number);
    if (strcmp(name, "ETag") != 0)
        return 0;
    size_t size = strlen(text);
    if (size >= 2 && text[0] == '"' && text[size - 1] == '"') {
        text++;
        size -= 2;
    }
    if (size >= OBJECT_ETAG_SIZE)
        return -1;
    memcpy(list->parts[list->count - 1].etag, text, size);
    return 0;
}

static enum s3_error read_part_list(struct call *call, struct part_list *list) {
    static const struct xml_events events = {.open = open_part_element, .close = close_part_element};

    if (call->body.size == 0 || xml_parse(call->body.data, call->body.size, &events, list) != 0 ||
        list->count == 0)
        return S3_MALFORMED_XML;
    for (size_t i = 0; i < list->count; i++) {
        if (list->parts[i].number == 0 || list->parts[i].etag[0] == '\0')
            return S3_MALFORMED_XML;
        if (i > 0 && list->parts[i].number <= list->parts[i - 1].number)
            return S3_INVALID_PART_ORDER;
    }
    return S3_OK;
}

/* Each part as it lies on the disk; its MD5 goes into the digest of the whole. */
static enum s3_error take_part(struct call *call, const struct part_list *list, size_t place,
                               struct piece *piece, struct checksum *md5) {
    struct object part = {0};
    unsigned char digest[16];
    enum s3_error error = S3_OK;
    int fd;

    (void)upload_part_path(piece->path, call->state, (unsigned)list->parts[place].number);
    fd = disk_open_object(call->store->disk, piece->path, &part);
    if (fd < 0)
        return errno == ENOENT ? S3_INVALID_PART : S3_INTERNAL;
    (void)close(fd);
    if (strcmp(part.etag, list->parts[place].etag) != 0 ||
        text_hex_decode(digest, sizeof(digest), part.etag) != 0)
        error = S3_INVALID_PART;
    else if (part.size < PART_MIN_BYTES && place + 1 < list->count)
        error = S3_ENTITY_TOO_SMALL;
    else
        checksum_update(md5, digest, sizeof(digest));
    (void)text_copy(piece->etag, sizeof(piece->etag), part.etag);
    piece->size = part.size;
    call->object.size += part.size;
    object_clear(&part);
    return error;
}

static void upload_completed(struct call *call) {
    struct upload *upload = call->state;
    struct buffer xml;
    int cut;
    char etag[OBJECT_ETAG_SIZE + 2];

    disk_remove_tree(disk_root(call->store->disk), upload->directory);
    quote_etag(etag, call->object.etag);
    buffer_init(&xml, 65536);
    cut = buffer_append_text(&xml,
                             XML_DECLARATION "<CompleteMultipartUploadResult xmlns=\"" XML_NAMESPACE "\">");
    cut |= buffer_append_text(&xml, "<Location>/");
    cut |= xml_escape(&xml, call->bucket_name);
    cut |= buffer_append_text(&xml, "/");
    cut |= xml_escape(&xml, call->key);
    cut |= buffer_append_text(&xml, "</Location>");
    cut |= xml_element(&xml, "Bucket", call->bucket_name);
    cut |= xml_element(&xml, "Key", call->key);
    cut |= xml_element(&xml, "ETag", etag);
    cut |= buffer_append_text(&xml, "</CompleteMultipartUploadResult>");
    call_reply_document(call, &xml, cut);
}

static void parts_joined(struct call *call) {
    object_publish(call, upload_completed);
}

static enum s3_error start_joining(struct call *call, const struct part_list *list) {
    struct upload *upload = call->state;
    struct piece *pieces = memory_new_array(list->count, sizeof(*pieces));
    unsigned char digest[CHECKSUM_MAX];
    char hex[2 * CHECKSUM_MAX + 1];
    enum s3_error error = S3_OK;
    struct checksum md5;

    checksum_init(&md5, checksum_md5);
    for (size_t i = 0; i < list->count && error == S3_OK; i++)
        error = take_part(call, list, i, &pieces[i], &md5);
    size_t size = checksum_finish(&md5, digest);
    text_hex_encode(hex, digest, size);
    (void)text_format(call->object.etag, sizeof(call->object.etag), "%s-%zu", hex, list->count);
    if (error == S3_OK) {
        call->writer = writer_new(call->store->disk, call->store->syncer);
        error = call->writer != NULL ? S3_OK : S3_INTERNAL;
    }
    if (error != S3_OK) {
        free(pieces);
        return error;
    }
    for (size_t i = 0; i < upload->object.field_count; i++)
        (void)object_set_field(&call->object, upload->object.fields[i].name, upload->object.fields[i].value);
    assembly_start(call, pieces, list->count, false, parts_joined);
    return S3_OK;
}

void complete_upload(struct call *call) {
    struct part_list list = {.parts = memory_new_array(PART_NUMBER_MAX, sizeof(list.parts[0]))};
    enum s3_error error = upload_open(call);

    if (error == S3_OK)
        error = object_check_write(call);
    if (error == S3_OK)
        error = read_part_list(call, &list);
    if (error == S3_OK)
        error = start_joining(call, &list);
    if (error != S3_OK)
        call_fail(call, error);
    free(list.parts);
}
