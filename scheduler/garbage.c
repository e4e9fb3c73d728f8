/* SPDX-License-Identifier: MIT
 * Two errands: writing keys down, and having them deleted, a batch of 64 at a time. */
#include "scheduler/garbage.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "scheduler/drain.h"
#include "scheduler/json_text.h"
#include "scheduler/workers.h"
#include "storage/keys.h"

#define WRITE_DELAY_MS 100
#define AGAIN_MS 1000
#define LOOK_MS 10000
#define LOOK_SOON_MS 200
#define PENDING_MAX (4 * 1024 * 1024)
#define DELETE_URL_SECONDS 300
#define GARBAGE_MAX 1024
#define UPLOAD "upload:"

struct garbage {
    struct scheduler *scheduler;
    struct buffer pending; /* JSON elements, joined by commas */
    size_t flying;         /* bytes of them that are being written */
    struct loop_timer *write, *look;
    bool looking;
    uint64_t batch;
};

/* ---- writing down ---- */

void garbage_add(struct garbage *garbage, char *elements) {
    size_t before = garbage->pending.size;

    if ((before > 0 && buffer_append_text(&garbage->pending, ",") != 0) ||
        buffer_append_text(&garbage->pending, elements) != 0) {
        log_warn("state=garbage_dropped keys=\"%s\"", elements);
        buffer_cut(&garbage->pending, before);
    }
    free(elements);
    if (garbage->flying == 0)
        loop_timer_set(garbage->write, WRITE_DELAY_MS);
}

static void garbage_on_written(void *context, const struct database_answer *answer) {
    struct garbage *garbage = context;
    size_t written = garbage->flying;

    garbage->flying = 0;
    if (answer->outcome != DATABASE_OK) {
        scheduler_log_answer("garbage", answer);
        loop_timer_set(garbage->write, AGAIN_MS);
        return;
    }
    buffer_consume(&garbage->pending, written < garbage->pending.size ? written + 1 : written);
    if (garbage->pending.size > 0)
        loop_timer_set(garbage->write, 0);
    drain_check(garbage->scheduler->drain);
}

static void garbage_on_write(void *context) {
    struct garbage *garbage = context;
    struct query query = {.statement = &statements[STATEMENT_GARBAGE]};
    char *array;

    if (garbage->flying > 0 || garbage->pending.size == 0)
        return;
    garbage->flying = garbage->pending.size;
    array = memory_format("[%s]", garbage->pending.data);
    query.values[0] = array;
    scheduler_run(garbage->scheduler, &query, 1, garbage_on_written, garbage);
    free(array);
}

bool garbage_is_settled(const struct garbage *garbage) {
    return garbage->pending.size == 0;
}

/* ---- having them deleted ---- */

struct deletion {
    struct message message;
    char keys[MESSAGE_MAX_URLS][GARBAGE_MAX];
    char urls[MESSAGE_MAX_URLS][STORAGE_URL_MAX];
};

/* "upload:<key>?<id>" is an upload in parts that never ended. */
static void deletion_add(const struct garbage *garbage, struct deletion *deletion, const char *text) {
    struct message_delete *objects = &deletion->message.delete_objects;
    size_t at = objects->object_count;
    const char *name = text_starts_with(text, UPLOAD) ? text + sizeof UPLOAD - 1 : text;
    const char *id = name != text ? strchr(name, '?') : NULL;
    char key[GARBAGE_MAX];
    struct storage_presign sign = {.method = "DELETE",
                                   .key = key,
                                   .expires_s = DELETE_URL_SECONDS,
                                   .internal = true,
                                   .content_length = -1,
                                   .upload_id = id != NULL ? id + 1 : NULL};
    const struct storage *storage =
        key_is_published(name) ? garbage->scheduler->published : garbage->scheduler->storage;
    bool whole = at < MESSAGE_MAX_URLS && text_copy(deletion->keys[at], GARBAGE_MAX, text) == 0 &&
                 text_copy(key, sizeof key, name) == 0;

    if (whole && id != NULL)
        key[id - name] = '\0';
    if (!whole || (name != text && id == NULL) || !key_is_valid(key) || storage == NULL ||
        storage_presign(storage, &sign, deletion->urls[at], STORAGE_URL_MAX) != 0) {
        log_warn("key=\"%s\" state=not_deleted reason=\"no key of ours\"", text);
        return;
    }
    objects->objects[at] = (struct message_url){.key = deletion->keys[at], .url = deletion->urls[at]};
    objects->object_count++;
}

static void garbage_on_leased(void *context, const struct database_answer *answer) {
    struct garbage *garbage = context;
    const struct database_result *leased;
    struct peer *worker = workers_any(garbage->scheduler->workers);
    struct deletion *deletion;

    garbage->looking = false;
    loop_timer_set(garbage->look, LOOK_MS);
    if (answer->outcome != DATABASE_OK) {
        scheduler_log_answer("garbage", answer);
        return;
    }
    leased = answer->results[0];
    if (result_rows(leased) == 0 || worker == NULL)
        return;
    deletion = memory_new(sizeof *deletion);
    deletion->message.type = MESSAGE_DELETE;
    deletion->message.delete_objects.batch = ++garbage->batch;
    for (size_t row = 0; row < result_rows(leased); row++)
        deletion_add(garbage, deletion, result_text(leased, row, "key"));
    if (deletion->message.delete_objects.object_count > 0)
        (void)workers_send(garbage->scheduler->workers, worker, &deletion->message);
    free(deletion);
    if (result_rows(leased) == MESSAGE_MAX_URLS)
        loop_timer_set(garbage->look, LOOK_SOON_MS);
}

static void garbage_on_look(void *context) {
    struct garbage *garbage = context;
    struct query query = {.statement = &statements[STATEMENT_LEASE_GARBAGE]};

    loop_timer_set(garbage->look, LOOK_MS);
    if (garbage->looking || garbage->scheduler->draining || workers_any(garbage->scheduler->workers) == NULL)
        return;
    garbage->looking = true;
    scheduler_run(garbage->scheduler, &query, 1, garbage_on_leased, garbage);
}

static void garbage_on_gone(void *context, const struct database_answer *answer) {
    if (answer->outcome != DATABASE_OK)
        scheduler_log_answer("garbage", answer); /* deleted once more later: no harm */
}

void garbage_on_deleted(struct garbage *garbage, const struct message_deleted *deleted) {
    struct query query = {.statement = &statements[STATEMENT_DELETED_GARBAGE]};
    struct buffer keys;

    buffer_init(&keys, MESSAGE_MAX_BYTES);
    (void)json_open(&keys, '[');
    for (size_t i = 0; i < deleted->object_count; i++) {
        (void)json_open(&keys, '{');
        (void)json_member_text(&keys, "key", deleted->objects[i].key);
        (void)json_close(&keys, '}');
    }
    (void)json_close(&keys, ']');
    query.values[0] = keys.data;
    if (deleted->object_count > 0)
        scheduler_run(garbage->scheduler, &query, 1, garbage_on_gone, garbage);
    buffer_clear(&keys);
}

struct garbage *garbage_new(struct scheduler *scheduler) {
    struct garbage *garbage = memory_new(sizeof *garbage);

    garbage->scheduler = scheduler;
    buffer_init(&garbage->pending, PENDING_MAX);
    garbage->write = loop_timer_new(scheduler->loop, garbage_on_write, garbage);
    garbage->look = loop_timer_new(scheduler->loop, garbage_on_look, garbage);
    loop_timer_set(garbage->look, LOOK_SOON_MS * 5);
    return garbage;
}

void garbage_free(struct garbage *garbage) {
    if (garbage == NULL)
        return;
    buffer_clear(&garbage->pending);
    loop_timer_free(garbage->write);
    loop_timer_free(garbage->look);
    free(garbage);
}
