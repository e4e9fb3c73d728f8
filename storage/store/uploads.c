/* SPDX-License-Identifier: MIT
 * ListParts and ListMultipartUploads, read from the disk: uploads are few and short-lived. */
#include "storage/store/uploads.h"

#include "lib/clock.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "storage/store/routes.h"
#include "storage/store/xml.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_MAX 1000
#define UPLOADS_MAX 10000 /* looked at in one listing */
#define OWNERS                                                                                               \
    "<Initiator><ID>filemill</ID><DisplayName>filemill</DisplayName></Initiator>"                            \
    "<Owner><ID>filemill</ID><DisplayName>filemill</DisplayName></Owner><StorageClass>STANDARD</"            \
    "StorageClass>"

static int append_stamp(struct buffer *xml, const char *element, int64_t wall_ms) {
    char text[32];

    clock_format_iso8601(text, sizeof(text), wall_ms);
    return xml_element(xml, element, text);
}

static DIR *open_directory(const struct disk *disk, const char *path) {
    int fd = openat(disk_root(disk), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;

    if (directory == NULL && fd >= 0)
        (void)close(fd);
    return directory;
}

static enum s3_error read_number(const struct call *call, const char *name, uint64_t max, uint64_t *value) {
    const char *text = call_query(call, name);

    if (text == NULL || text[0] == '\0')
        return S3_OK;
    if (text_parse_u64(text, 0, INT32_MAX, value) != 0)
        return S3_INVALID_ARGUMENT;
    if (*value > max)
        *value = max;
    return S3_OK;
}

/* ---- parts ---- */

static int append_part(const struct disk *disk, const struct upload *upload, unsigned number,
                       struct buffer *xml) {
    struct object part = {0};
    char path[DISK_PATH_MAX];
    char etag[OBJECT_ETAG_SIZE + 2];
    int cut;

    (void)upload_part_path(path, upload, number);
    int fd = disk_open_object(disk, path, &part);
    if (fd < 0)
        return 0;
    (void)close(fd);
    quote_etag(etag, part.etag);
    cut = buffer_append_text(xml, "<Part>");
    cut |= xml_element_number(xml, "PartNumber", number);
    cut |= append_stamp(xml, "LastModified", part.modified_ms);
    cut |= xml_element(xml, "ETag", etag);
    cut |= xml_element_number(xml, "Size", (long long)part.size);
    cut |= buffer_append_text(xml, "</Part>");
    object_clear(&part);
    return cut;
}

static void mark_parts(const struct disk *disk, const struct upload *upload,
                       bool present[PART_NUMBER_MAX + 1]) {
    DIR *directory = open_directory(disk, upload->directory);
    struct dirent *entry;
    uint64_t number;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (text_parse_u64(entry->d_name, 1, PART_NUMBER_MAX, &number) == 0)
            present[number] = true;
    }
    if (directory != NULL)
        (void)closedir(directory);
}

static void answer_parts(struct call *call, uint64_t marker, uint64_t max) {
    const struct upload *upload = call->state;
    bool present[PART_NUMBER_MAX + 1] = {false};
    struct buffer parts;
    struct buffer xml;
    uint64_t count = 0;
    uint64_t last = marker;
    bool truncated = false;
    int cut = 0;

    buffer_init(&parts, CALL_XML_MAX);
    buffer_init(&xml, 2 * CALL_XML_MAX);
    mark_parts(call->store->disk, upload, present);
    for (uint64_t number = marker + 1; number <= PART_NUMBER_MAX && !truncated; number++) {
        if (!present[number])
            continue;
        truncated = count == max;
        if (truncated)
            break;
        cut |= append_part(call->store->disk, upload, (unsigned)number, &parts);
        last = number;
        count++;
    }
    cut |= buffer_append_text(&xml, XML_DECLARATION "<ListPartsResult xmlns=\"" XML_NAMESPACE "\">");
    cut |= xml_element(&xml, "Bucket", call->bucket_name);
    cut |= xml_element(&xml, "Key", call->key);
    cut |= xml_element(&xml, "UploadId", upload->id);
    cut |= buffer_append_text(&xml, OWNERS);
    cut |= xml_element_number(&xml, "PartNumberMarker", (long long)marker);
    cut |= xml_element_number(&xml, "NextPartNumberMarker", (long long)last);
    cut |= xml_element_number(&xml, "MaxParts", (long long)max);
    cut |= xml_element(&xml, "IsTruncated", truncated ? "true" : "false");
    cut |= parts.size > 0 ? buffer_append(&xml, parts.data, parts.size) : 0;
    cut |= buffer_append_text(&xml, "</ListPartsResult>");
    call_reply_document(call, &xml, cut);
    buffer_clear(&parts);
}

void list_parts(struct call *call) {
    uint64_t marker = 0;
    uint64_t max = PAGE_MAX;
    enum s3_error error = upload_open(call);

    if (error == S3_OK)
        error = read_number(call, "part-number-marker", PART_NUMBER_MAX, &marker);
    if (error == S3_OK)
        error = read_number(call, "max-parts", PAGE_MAX, &max);
    if (error == S3_OK)
        answer_parts(call, marker, max);
    else
        call_fail(call, error);
}

/* ---- uploads ---- */

struct found_upload {
    char id[UPLOAD_ID_SIZE];
    char *key;
    int64_t created_ms;
};

static int compare_uploads(const void *left, const void *right) {
    const struct found_upload *a = left;
    const struct found_upload *b = right;
    int order = strcmp(a->key, b->key);

    return order != 0 ? order : strcmp(a->id, b->id);
}

static size_t find_uploads(struct call *call, const char *prefix, struct found_upload *found) {
    char path[DISK_PATH_MAX];
    struct dirent *entry;
    size_t count = 0;
    DIR *directory;

    (void)text_format(path, sizeof(path), "buckets/%s/uploads", call->bucket_name);
    directory = open_directory(call->store->disk, path);
    while (directory != NULL && count < UPLOADS_MAX && (entry = readdir(directory)) != NULL) {
        struct object object = {0};
        if (strlen(entry->d_name) != UPLOAD_ID_SIZE - 1 ||
            text_format(path, sizeof(path), "buckets/%s/uploads/%s/upload", call->bucket_name,
                        entry->d_name) != 0)
            continue;
        int fd = disk_open_object(call->store->disk, path, &object);
        if (fd < 0)
            continue;
        (void)close(fd);
        if (text_starts_with(object.key, prefix)) {
            (void)text_copy(found[count].id, sizeof(found[count].id), entry->d_name);
            found[count].key = memory_copy_text(object.key);
            found[count].created_ms = object.modified_ms;
            count++;
        }
        object_clear(&object);
    }
    if (directory != NULL)
        (void)closedir(directory);
    if (count > 1)
        qsort(found, count, sizeof(found[0]), compare_uploads);
    return count;
}

struct upload_page {
    const char *prefix;
    const char *key_marker;
    const char *id_marker;
    uint64_t max;
};

static bool is_behind_marker(const struct upload_page *page, const struct found_upload *upload) {
    int order = strcmp(upload->key, page->key_marker);

    return page->key_marker[0] == '\0' || order > 0 ||
           (order == 0 && page->id_marker[0] != '\0' && strcmp(upload->id, page->id_marker) > 0);
}

static int append_upload(struct buffer *xml, const struct found_upload *upload) {
    int cut = buffer_append_text(xml, "<Upload>");

    cut |= xml_element(xml, "Key", upload->key);
    cut |= xml_element(xml, "UploadId", upload->id);
    cut |= buffer_append_text(xml, OWNERS);
    cut |= append_stamp(xml, "Initiated", upload->created_ms);
    cut |= buffer_append_text(xml, "</Upload>");
    return cut;
}

static int format_uploads(struct call *call, const struct upload_page *page, struct found_upload *found,
                          size_t count, struct buffer *xml) {
    const struct found_upload *last = NULL;
    uint64_t listed = 0;
    bool truncated = false;
    int cut =
        buffer_append_text(xml, XML_DECLARATION "<ListMultipartUploadsResult xmlns=\"" XML_NAMESPACE "\">");

    cut |= xml_element(xml, "Bucket", call->bucket_name);
    cut |= xml_element(xml, "KeyMarker", page->key_marker);
    cut |= xml_element(xml, "UploadIdMarker", page->id_marker);
    cut |= xml_element(xml, "Prefix", page->prefix);
    cut |= xml_element_number(xml, "MaxUploads", (long long)page->max);
    for (size_t i = 0; i < count && !truncated; i++) {
        if (!is_behind_marker(page, &found[i]))
            continue;
        truncated = listed == page->max;
        if (truncated)
            break;
        cut |= append_upload(xml, &found[i]);
        last = &found[i];
        listed++;
    }
    cut |= xml_element(xml, "IsTruncated", truncated ? "true" : "false");
    if (truncated && last != NULL) {
        cut |= xml_element(xml, "NextKeyMarker", last->key);
        cut |= xml_element(xml, "NextUploadIdMarker", last->id);
    }
    return cut | buffer_append_text(xml, "</ListMultipartUploadsResult>");
}

static const char *query_or_empty(const struct call *call, const char *name) {
    const char *value = call_query(call, name);

    return value != NULL ? value : "";
}

void list_uploads(struct call *call) {
    struct upload_page page = {.prefix = query_or_empty(call, "prefix"),
                               .key_marker = query_or_empty(call, "key-marker"),
                               .id_marker = query_or_empty(call, "upload-id-marker"),
                               .max = PAGE_MAX};
    struct found_upload *found;
    struct buffer xml;
    size_t count;

    if (call_bucket(call) == NULL)
        return;
    if (query_or_empty(call, "delimiter")[0] != '\0') {
        call_fail_words(call, S3_NOT_IMPLEMENTED, "Uploads are listed without a delimiter only.");
        return;
    }
    if (read_number(call, "max-uploads", PAGE_MAX, &page.max) != S3_OK) {
        call_fail(call, S3_INVALID_ARGUMENT);
        return;
    }
    found = memory_new_array(UPLOADS_MAX, sizeof(*found));
    count = find_uploads(call, page.prefix, found);
    buffer_init(&xml, 4 * CALL_XML_MAX);
    call_reply_document(call, &xml, format_uploads(call, &page, found, count, &xml));
    for (size_t i = 0; i < count; i++)
        free(found[i].key);
    free(found);
}
