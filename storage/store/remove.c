/* SPDX-License-Identifier: MIT
 * DeleteObject and DeleteObjects. A deletion is answered when the directories it changed are on the disk. */
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "storage/store/routes.h"
#include "storage/store/xml.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHARDS 256
#define KEYS_MAX 1000

struct removal {
    int directories[SHARDS]; /* that must be synced; -1: not changed */
    unsigned pending;
    bool failed;
    bool many; /* DeleteObjects */
    bool quiet;
    char *keys[KEYS_MAX];
    size_t key_count;
    struct buffer xml;
};

static void free_removal(struct call *call) {
    struct removal *removal = call->state;

    for (unsigned i = 0; i < SHARDS; i++) {
        if (removal->directories[i] >= 0)
            (void)close(removal->directories[i]);
    }
    for (size_t i = 0; i < removal->key_count; i++)
        free(removal->keys[i]);
    buffer_clear(&removal->xml);
    free(removal);
    call->state = NULL;
}

static struct removal *removal_new(struct call *call) {
    struct removal *removal = memory_new(sizeof(*removal));

    for (unsigned i = 0; i < SHARDS; i++)
        removal->directories[i] = -1;
    buffer_init(&removal->xml, CALL_XML_MAX * 2);
    call->state = removal;
    call->free_state = free_removal;
    return removal;
}

/* A key that is not there counts as deleted. */
static enum s3_error remove_key(struct call *call, struct bucket *bucket, const char *key) {
    struct removal *removal = call->state;
    char path[DISK_PATH_MAX];
    unsigned char shard;

    if (index_find(bucket->index, key) == NULL)
        return S3_OK;
    disk_object_path(path, bucket, key);
    char hex[3] = {strrchr(path, '/')[-2], strrchr(path, '/')[-1], '\0'};
    if (text_hex_decode(&shard, 1, hex) != 0)
        return S3_INTERNAL;
    if (removal->directories[shard] < 0)
        removal->directories[shard] = disk_sync_directory_of(call->store->disk, path);
    if (removal->directories[shard] < 0 ||
        (unlinkat(disk_root(call->store->disk), path, 0) != 0 && errno != ENOENT)) {
        log_warn_errno("request=%s event=unlink_failed path=%s", call->id, path);
        return S3_INTERNAL;
    }
    (void)index_remove(bucket->index, key);
    return S3_OK;
}

static void answer_removal(struct call *call) {
    struct removal *removal = call->state;

    if (removal->failed)
        call_fail(call, S3_INTERNAL);
    else if (removal->many)
        call_reply_xml(call, 200, &removal->xml);
    else
        call_reply(call, 204, NULL);
}

static void directory_synced(void *context, int error) {
    struct call *call = context;
    struct removal *removal = call->state;

    removal->failed = removal->failed || error != 0;
    if (--removal->pending > 0)
        return;
    answer_removal(call);
    call_end(call);
}

static void sync_and_answer(struct call *call) {
    struct removal *removal = call->state;

    for (unsigned i = 0; i < SHARDS; i++) {
        if (removal->directories[i] >= 0)
            removal->pending++;
    }
    if (removal->pending == 0) {
        answer_removal(call);
        return;
    }
    call_begin(call);
    for (unsigned i = 0; i < SHARDS; i++) {
        if (removal->directories[i] >= 0)
            syncer_start(call->store->syncer, removal->directories[i], directory_synced, call);
    }
}

void remove_object(struct call *call) {
    struct bucket *bucket = call_bucket(call);
    enum s3_error error;

    if (bucket == NULL)
        return;
    (void)removal_new(call);
    error = remove_key(call, bucket, call->key);
    if (error != S3_OK)
        call_fail(call, error);
    else
        sync_and_answer(call);
}

static int open_delete_element(void *context, const char *name, unsigned depth) {
    return depth != 1 || strcmp(name, "Delete") == 0 ? 0 : -1;
}

static int close_delete_element(void *context, const char *name, unsigned depth, const char *text) {
    struct removal *removal = context;

    if (depth == 2 && strcmp(name, "Quiet") == 0)
        return text_parse_bool(text, &removal->quiet);
    if (depth != 3 || strcmp(name, "Key") != 0)
        return 0;
    if (removal->key_count == KEYS_MAX || text[0] == '\0')
        return -1;
    removal->keys[removal->key_count++] = memory_copy_text(text);
    return 0;
}

static int append_result(struct removal *removal, const char *key, enum s3_error error) {
    if (error == S3_OK && removal->quiet)
        return 0;
    if (error == S3_OK)
        return buffer_append_text(&removal->xml, "<Deleted>") != 0 ||
                       xml_element(&removal->xml, "Key", key) != 0 ||
                       buffer_append_text(&removal->xml, "</Deleted>") != 0
                   ? -1
                   : 0;
    return buffer_append_text(&removal->xml, "<Error>") != 0 || xml_element(&removal->xml, "Key", key) != 0 ||
                   xml_element(&removal->xml, "Code", s3_error_code(error)) != 0 ||
                   xml_element(&removal->xml, "Message", s3_error_words(error)) != 0 ||
                   buffer_append_text(&removal->xml, "</Error>") != 0
               ? -1
               : 0;
}

void remove_objects(struct call *call) {
    static const struct xml_events events = {.open = open_delete_element, .close = close_delete_element};
    struct bucket *bucket = call_bucket(call);
    struct removal *removal;

    if (bucket == NULL)
        return;
    removal = removal_new(call);
    removal->many = true;
    if (call->body.size == 0 || xml_parse(call->body.data, call->body.size, &events, removal) != 0 ||
        removal->key_count == 0) {
        call_fail(call, S3_MALFORMED_XML);
        return;
    }
    int cut = buffer_append_text(&removal->xml, XML_DECLARATION "<DeleteResult xmlns=\"" XML_NAMESPACE "\">");
    for (size_t i = 0; i < removal->key_count; i++)
        cut |= append_result(removal, removal->keys[i], remove_key(call, bucket, removal->keys[i]));
    cut |= buffer_append_text(&removal->xml, "</DeleteResult>");
    removal->failed = cut != 0;
    sync_and_answer(call);
}
