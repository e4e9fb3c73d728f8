/* SPDX-License-Identifier: MIT
 * JSON for the statements of flows, parts for tasks, and the look after parents that nobody woke. */
#include "scheduler/children.h"

#include <stdlib.h>
#include <string.h>

#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "proto/plan.h"
#include "scheduler/claim.h"
#include "scheduler/json_text.h"
#include "scheduler/ranges.h"
#include "scheduler/tasks.h"
#include "scheduler/workers.h"
#include "storage/keyring.h"
#include "storage/keys.h"

#define ELEMENT_MAX (64 * 1024)
#define WAKE_MOST "200"

_Static_assert(RANGES_MAX <= MESSAGE_MAX_PARTS, "a task must hold a part of every range");

struct children {
    struct scheduler *scheduler;
    bool flying;
};

struct children *children_new(struct scheduler *scheduler) {
    struct children *children = memory_new(sizeof *children);

    children->scheduler = scheduler;
    return children;
}

void children_free(struct children *children) {
    free(children);
}

/* ---- cutting ---- */

static int append_child(struct buffer *buffer, const struct range *range) {
    char id[UUID_TEXT_SIZE], text[48];
    int broken = json_open(buffer, '{');

    text_uuid7(id);
    text_format(text, sizeof text, "%llu-%llu", (unsigned long long)range->first,
                (unsigned long long)range->last);
    broken |= json_member_text(buffer, "id", id) | json_member_text(buffer, "range", text);
    return broken | json_close(buffer, '}');
}

/* Ids are drawn here, once: a batch that is sent again inserts the same rows. */
char *children_write_split(const struct lease *lease, const struct message_result *result) {
    struct range ranges[RANGES_MAX];
    size_t count = ranges_read(ranges, result->split);
    uint64_t pages = 0;
    struct buffer buffer;
    int broken;

    if (count == 0 || lease->joins || lease->is_range)
        return NULL;
    for (size_t i = 0; i < count; i++)
        pages += ranges[i].pages;
    buffer_init(&buffer, ELEMENT_MAX);
    broken = json_open(&buffer, '{');
    broken |= json_member_text(&buffer, "job", lease->job);
    broken |= json_member_number(&buffer, "epoch", (int64_t)lease->epoch);
    broken |= json_member_number(&buffer, "pages", (int64_t)pages);
    broken |= json_name(&buffer, "children") | json_open(&buffer, '[');
    for (size_t i = 0; i < count; i++)
        broken |= append_child(&buffer, &ranges[i]);
    broken |= json_close(&buffer, ']') | json_close(&buffer, '}');
    return json_take(&buffer, broken);
}

/* ---- parts ---- */

/* Of a sealed one the seal and what lies there are told, too: it has a row in object_keys as any other. */
int children_append_part(struct buffer *buffer, const struct lease *lease, const struct message_output *output) {
    int broken = json_open(buffer, '{');

    broken |= json_member_text(buffer, "job", lease->job);
    broken |= json_member_number(buffer, "epoch", (int64_t)lease->epoch);
    broken |= json_member_text(buffer, "key", output->key);
    broken |= json_member_number(buffer, "size", (int64_t)output->size_bytes);
    broken |= json_member_text(buffer, "sha256", output->sha256);
    if (output->seal[0] != '\0') {
        broken |= json_member_text(buffer, "seal", output->seal);
        broken |= json_member_number(buffer, "stored_size", (int64_t)output->stored_bytes);
        broken |= json_member_text(buffer, "stored_sha256", output->stored_sha256);
    }
    return broken | json_close(buffer, '}');
}

/* Moves over one field of a line of lease->parts; false when it is too long. */
static bool take_field(const char **at, char *target, size_t size) {
    size_t length = strcspn(*at, " \n");
    int status = text_format(target, size, "%.*s", (int)length, *at);

    *at += length + ((*at)[length] != '\0');
    return status == 0 && length > 0;
}

int children_sign_parts(const struct scheduler *scheduler, const struct lease *lease,
                        char (*keys)[ENVELOPE_KEY_TEXT], struct message_task *task) {
    static char urls[MESSAGE_MAX_PARTS][STORAGE_URL_MAX]; /* half a megabyte: not for the stack */
    static char hashes[MESSAGE_MAX_PARTS][65];
    const char *at = lease->parts == NULL ? "" : lease->parts;

    task->joins = lease->joins;
    while (*at != '\0') {
        size_t i = task->part_count;
        char key[KEY_MAX], size[24], seal[KEYRING_SEAL_MAX];
        struct storage_presign get = {.method = "GET", .key = key, .expires_s = TASK_URL_SECONDS, .internal = true,
                                      .content_length = -1};
        if (i == MESSAGE_MAX_PARTS || !take_field(&at, key, sizeof key) || !take_field(&at, size, sizeof size) ||
            !take_field(&at, hashes[i], sizeof hashes[i]) || !take_field(&at, seal, sizeof seal) ||
            storage_presign(scheduler->storage, &get, urls[i], STORAGE_URL_MAX) != 0)
            return -1;
        if (task_unseal(scheduler, key, strcmp(seal, "-") == 0 ? NULL : seal, keys[i]) != 0)
            return TASK_WITHOUT_KEY;
        task->parts[task->part_count++] = (struct message_part){
            .url = urls[i], .size_bytes = strtoull(size, NULL, 10), .sha256 = hashes[i], .key = keys[i]};
    }
    return 0;
}

/* ---- followers ---- */

static bool is_wanted(const struct scheduler *scheduler, const struct plan_follower *follower) {
    return follower->option != PLAN_OCR_WHEN_NEEDED || scheduler->settings->ocr_when_needed;
}

char *children_write_followers(const struct scheduler *scheduler, const struct lease *lease) {
    const struct plan_follower *follower = plan_follower_of(lease->type);
    char id[UUID_TEXT_SIZE];
    struct buffer buffer;
    int broken;

    if (follower == NULL || lease->is_range || !is_wanted(scheduler, follower))
        return NULL;
    text_uuid7(id);
    buffer_init(&buffer, ELEMENT_MAX);
    broken = json_open(&buffer, '{');
    broken |= json_member_text(&buffer, "job", lease->job);
    broken |= json_member_number(&buffer, "epoch", (int64_t)lease->epoch);
    broken |= json_member_text(&buffer, "id", id);
    broken |= json_member_text(&buffer, "fact", follower->fact);
    broken |= json_member_text(&buffer, "type", follower->type);
    broken |= json_member_text(&buffer, "payload", follower->payload);
    broken |= json_member_number(&buffer, "priority", follower->priority);
    broken |= json_close(&buffer, '}');
    return json_take(&buffer, broken);
}

/* ---- those that were left ---- */

static void on_woken(void *context, const struct database_answer *answer) {
    struct children *children = context;

    children->flying = false;
    if (answer->outcome != DATABASE_OK) {
        scheduler_log_answer("wake_left", answer);
        return;
    }
    workers_send_events(children->scheduler->workers, answer->results[0]);
    if (result_rows(answer->results[0]) > 0)
        claims_due_in(children->scheduler->claims, 0);
}

void children_wake_left(struct children *children) {
    struct query query = {.statement = &statements[STATEMENT_WAKE_LEFT], .values = {WAKE_MOST}};

    if (children->flying || children->scheduler->draining)
        return;
    children->flying = true;
    scheduler_run(children->scheduler, &query, 1, on_woken, children);
}
