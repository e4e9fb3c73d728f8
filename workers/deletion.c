/* SPDX-License-Identifier: MIT
 * One transfer per object; what answers 2xx, 404 or 410 is gone. What is not gone is left out of the answer and
 * comes back in a later batch. */
#include "workers/deletion.h"

#include <stdlib.h>

#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "storage/provider.h"

#define MOST_BATCHES 16
#define ANSWER_MAX_BYTES (64u * 1024u)

struct object {
    struct batch *batch;
    char *key;
    struct http_transfer *transfer;
    const struct provider *provider;
    bool gone;
};

struct batch {
    struct deletions *deletions;
    struct batch *next;
    uint64_t number;
    struct object objects[MESSAGE_MAX_URLS];
    size_t count, pending;
};

struct deletions {
    struct http_client *http;
    const struct settings *settings;
    deletions_answer_fn *answer;
    void *context;
    struct batch *first;
    size_t count;
};

struct deletions *deletions_new(struct http_client *http, const struct settings *settings,
                                deletions_answer_fn *answer, void *context) {
    struct deletions *deletions = memory_new(sizeof *deletions);

    *deletions = (struct deletions){.http = http, .settings = settings, .answer = answer, .context = context};
    return deletions;
}

static void free_batch(struct batch *batch) {
    struct batch **link = &batch->deletions->first;

    while (*link != batch)
        link = &(*link)->next;
    *link = batch->next;
    batch->deletions->count--;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->objects[i].transfer != NULL)
            http_client_cancel(batch->objects[i].transfer);
        free(batch->objects[i].key);
    }
    free(batch);
}

void deletions_free(struct deletions *deletions) {
    if (deletions == NULL)
        return;
    while (deletions->first != NULL)
        free_batch(deletions->first);
    free(deletions);
}

static void answer_if_done(struct batch *batch) {
    struct message message = {.type = MESSAGE_DELETED, .deleted = {.batch = batch->number}};

    if (batch->pending > 0)
        return;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->objects[i].gone)
            message.deleted.objects[message.deleted.object_count++].key = batch->objects[i].key;
    }
    batch->deletions->answer(batch->deletions->context, &message);
    free_batch(batch);
}

static void on_deleted(void *context, const struct http_client_reply *reply) {
    struct object *object = context;
    struct batch *batch = object->batch;

    object->transfer = NULL;
    object->gone = reply->error == HTTP_CLIENT_OK &&
                   ((reply->status >= 200 && reply->status < 300) || reply->status == 404 || reply->status == 410);
    if (!object->gone) {
        counter_add(object->provider->errors, 1);
        log_warn("key=%s state=not-deleted status=%d error=%s", object->key, reply->status,
                 http_client_error_name(reply->error));
    }
    batch->pending--;
    answer_if_done(batch);
}

void deletions_start(struct deletions *deletions, const struct message_delete *request) {
    struct batch *batch;

    if (deletions->count >= MOST_BATCHES) {
        log_warn("batch=%llu state=dropped", (unsigned long long)request->batch);
        return;
    }
    batch = memory_new(sizeof *batch);
    batch->deletions = deletions;
    batch->number = request->batch;
    batch->next = deletions->first;
    deletions->first = batch;
    deletions->count++;
    for (; batch->count < request->object_count; batch->count++) {
        struct object *object = &batch->objects[batch->count];
        const struct http_client_request transfer = {
            .method = "DELETE",
            .url = request->objects[batch->count].url,
            .upload_fd = -1,
            .sink_fd = -1,
            .max_bytes = ANSWER_MAX_BYTES,
            .timeout_ms = deletions->settings->transfer_low_speed_ms,
        };
        object->batch = batch;
        object->key = memory_copy_text(request->objects[batch->count].key);
        object->provider = provider_of_url(deletions->settings, transfer.url);
        object->transfer = http_client_start(deletions->http, &transfer, on_deleted, object);
        batch->pending += object->transfer != NULL;
    }
    answer_if_done(batch);
}
