/* SPDX-License-Identifier: MIT
 * Tasks are made when they are sent, so that their URLs are fresh. */
#include "scheduler/tasks.h"

#include <string.h>

#include "lib/counters.h"
#include "lib/log.h"
#include "lib/text.h"
#include "scheduler/children.h"
#include "scheduler/finish.h"
#include "scheduler/publish.h"
#include "scheduler/remember.h"
#include "scheduler/workers.h"
#include "storage/keyring.h"
#include "storage/keys.h"

#define PAYLOAD_MAX (48 * 1024) /* as a task's parameters */

/* Everything that a TASK's texts point to. */
struct task_texts {
    char input_url[STORAGE_URL_MAX];
    char keys[MESSAGE_MAX_OUTPUTS][KEY_MAX];
    char urls[MESSAGE_MAX_OUTPUTS][STORAGE_URL_MAX];
    char sources[MESSAGE_MAX_OUTPUTS][STORAGE_URL_MAX];
    /* secrets: wiped when the task is on its way */
    char input_key[ENVELOPE_KEY_TEXT];
    char data_keys[MESSAGE_MAX_OUTPUTS][ENVELOPE_KEY_TEXT], source_keys[MESSAGE_MAX_OUTPUTS][ENVELOPE_KEY_TEXT];
    char part_keys[MESSAGE_MAX_PARTS][ENVELOPE_KEY_TEXT];
    char seals[MESSAGE_MAX_OUTPUTS][KEYRING_SEAL_MAX];
};

void tasks_accept(struct scheduler *scheduler, struct lease *lease) {
    char code[96];

    if (lease->processor == NULL) {
        text_format(code, sizeof code, "unknown_job_type:%s", lease->type);
        finish_refused(scheduler, lease, code, NULL);
    } else if (publish_refuse(scheduler, lease)) {
        return;
    } else if (lease->file_gone) {
        finish_refused(scheduler, lease, "file_deleted", NULL);
    } else if (lease->attempts >= lease->max_attempts) {
        finish_refused(scheduler, lease, "attempts_exhausted", NULL);
    } else if (lease->crashes >= scheduler->retry.crash_budget) {
        counter_add(COUNT_JOBS_QUARANTINED, 1);
        finish_refused(scheduler, lease, "quarantined", "these bytes have crashed this processor before");
    } else if (lease->payload != NULL && strlen(lease->payload) > PAYLOAD_MAX) {
        finish_refused(scheduler, lease, "payload_too_large", NULL);
    } else if (!remember_look(scheduler, lease)) {
        leases_push_ready(scheduler->leases, lease);
    }
}

static int sign(const struct scheduler *scheduler, const char *method, const char *key, const char *mime,
                char url[STORAGE_URL_MAX]) {
    const struct storage_presign what = {.method = method,
                                         .key = key,
                                         .expires_s = TASK_URL_SECONDS,
                                         .internal = true,
                                         .content_type = mime,
                                         .content_length = -1};

    return storage_presign(scheduler->storage, &what, url, STORAGE_URL_MAX);
}

static int sign_input(const struct scheduler *scheduler, const struct lease *lease, char url[STORAGE_URL_MAX]) {
    return lease->outside ? publish_source_url(scheduler->settings, lease->key, url)
                          : sign(scheduler, "GET", lease->key, NULL, url);
}

static int sign_output(const struct scheduler *scheduler, const struct processor_output *output, const char *key,
                       char url[STORAGE_URL_MAX]) {
    return output->place == PLACE_PUBLISHED ? publish_sign(scheduler, key, output->mime, url)
                                            : sign(scheduler, "PUT", key, output->mime, url);
}

/* ---- sealed objects ---- */

/* What is published is for everybody. */
static bool is_sealed(const struct settings *settings, const struct processor_output *output) {
    if (strcmp(settings->encrypt_outputs, "all") == 0)
        return output->place != PLACE_PUBLISHED;
    return strcmp(settings->encrypt_outputs, "portal") == 0 &&
           (output->place == PLACE_MASTER || output->place == PLACE_STAMPED_OUTPUT);
}

int task_unseal(const struct scheduler *scheduler, const char *object, const char *seal,
                char target[ENVELOPE_KEY_TEXT]) {
    unsigned char key[ENVELOPE_KEY_BYTES];
    enum keyring_result result;

    target[0] = '\0';
    if (seal == NULL)
        return 0;
    result = keyring_unwrap(scheduler->keyring, object, seal, key);
    if (result != KEYRING_OK) {
        log_warn("object=%s state=key_unavailable key=%.*s cause=%s", object, (int)strcspn(seal, ":"), seal,
                 result == KEYRING_UNKNOWN ? "no such master key" : "broken seal");
        return -1;
    }
    text_hex_encode(target, key, sizeof key);
    explicit_bzero(key, sizeof key);
    return 0;
}

/* Names and signs one output; a sealed one gets a key that no other object has. */
static int task_sign_output(const struct scheduler *scheduler, const struct lease *lease,
                            const struct processor_output *row, struct task_texts *texts,
                            struct message_task *task) {
    size_t i = task->output_count;
    bool sealed = is_sealed(scheduler->settings, row);
    unsigned char key[ENVELOPE_KEY_BYTES];

    if ((sealed ? lease_sealed_key : lease_key)(texts->keys[i], lease, row, lease->epoch) != 0 ||
        sign_output(scheduler, row, texts->keys[i], texts->urls[i]) != 0)
        return -1;
    task->outputs[i] = (struct message_output){
        .kind = row->kind, .key = texts->keys[i], .mime = row->mime, .url = texts->urls[i]};
    if (sealed) {
        if (keyring_make(scheduler->keyring, texts->keys[i], key, texts->seals[i]) != 0)
            return -1;
        text_hex_encode(texts->data_keys[i], key, sizeof key);
        explicit_bzero(key, sizeof key);
        task->outputs[i].data_key = texts->data_keys[i];
        task->outputs[i].seal = texts->seals[i];
    }
    task->output_count++;
    return 0;
}

/* What was made before is fetched from where it lies, and nothing else. */
static int task_sign_copies(const struct scheduler *scheduler, const struct lease *lease,
                            struct task_texts *texts, struct message_task *task) {
    task->input_url = "";
    task->input_bytes = 0;
    for (size_t i = 0; i < lease->remembered->count; i++) {
        const struct remembered_output *old = &lease->remembered->outputs[i];
        struct message_output *output = &task->outputs[i];
        if (task_unseal(scheduler, old->key, old->seal, texts->source_keys[i]) != 0)
            return TASK_WITHOUT_KEY;
        if (task_sign_output(scheduler, lease, old->row, texts, task) != 0 ||
            sign(scheduler, "GET", old->key, NULL, texts->sources[i]) != 0)
            return -1;
        output->size_bytes = old->size_bytes;
        output->sha256 = old->sha256;
        output->metadata = old->metadata;
        output->source = texts->sources[i];
        output->source_key = texts->source_keys[i];
    }
    return 0;
}

static int task_sign(const struct scheduler *scheduler, const struct lease *lease, struct task_texts *texts,
                     struct message_task *task) {
    /* A processor that makes nothing of a file that holds nothing has nothing to fetch; one that only asks a
     * service looks at no file at all. */
    bool no_input = lease->processor->output_count == 0
                        ? lease->size_bytes == 0 || lease->class == CLASS_NETWORK
                        : lease->derived && lease->size_bytes == 0;

    if (lease->remembered != NULL)
        return task_sign_copies(scheduler, lease, texts, task);
    if (lease->key == NULL || (!no_input && sign_input(scheduler, lease, texts->input_url) != 0))
        return -1;
    if (task_unseal(scheduler, lease->key, lease->seal, texts->input_key) != 0)
        return TASK_WITHOUT_KEY;
    if (lease->outside)
        task->input_bytes = (uint64_t)scheduler->settings->source_max_bytes; /* at most */
    task->input_url = no_input ? "" : texts->input_url;
    if (no_input)
        task->input_bytes = 0;
    task->input_unmeasured = !no_input && lease->size_bytes < 0;
    if (task->input_unmeasured)
        task->input_bytes = (uint64_t)scheduler->settings->source_max_bytes;
    task->input_key = texts->input_key;
    for (size_t i = 0; i < lease->processor->output_count; i++) {
        if (task_sign_output(scheduler, lease, &lease->processor->outputs[i], texts, task) != 0)
            return -1;
    }
    return 0;
}

static uint64_t limit_of(int64_t setting, uint64_t row) {
    return setting > 0 ? (uint64_t)setting : row;
}

static void task_limit(const struct settings *settings, const struct processor_row *row,
                       struct message_task *task) {
    task->wall_ms = limit_of(settings->limit_wall_ms, row->wall_ms);
    task->no_progress_ms = limit_of(settings->limit_no_progress_ms, row->no_progress_ms);
    task->cpu_seconds = limit_of(settings->limit_cpu_seconds, row->cpu_seconds);
    task->memory_bytes = limit_of(settings->limit_memory_bytes, row->memory_bytes);
    task->output_bytes = limit_of(settings->limit_output_bytes, row->output_bytes);
    task->pages = (uint64_t)settings->limit_pages;
    task->pixels = (uint64_t)settings->limit_pixels;
    task->range_pages = (uint64_t)settings->range_pages;
    task->ranges = (uint64_t)settings->ranges;
}

static bool is_encodable(const struct message *message) {
    struct buffer buffer;
    int status;

    buffer_init(&buffer, MESSAGE_MAX_BYTES);
    status = message_encode(&buffer, message);
    buffer_clear(&buffer);
    return status == 0;
}

static void wipe(struct task_texts *texts) {
    explicit_bzero(texts->input_key, sizeof texts->input_key);
    explicit_bzero(texts->data_keys, sizeof texts->data_keys);
    explicit_bzero(texts->source_keys, sizeof texts->source_keys);
    explicit_bzero(texts->part_keys, sizeof texts->part_keys);
}

/* 0: sent. 1: the worker is gone, try another. -1, TASK_WITHOUT_KEY: this lease can't be sent. */
static int task_send(struct scheduler *scheduler, struct lease *lease, struct peer *worker) {
    static struct task_texts texts; /* 100 kB: not for the stack */
    int status;
    struct message message = {.type = MESSAGE_TASK};
    struct message_task *task = &message.task;

    *task = (struct message_task){
        .job = lease->job,
        .epoch = lease->epoch,
        .type = lease->type,
        .file = lease->file,
        .tenant = lease->tenant,
        .trace = lease->trace,
        .attempt = (uint64_t)lease->attempts + 1,
        .input_bytes = lease->size_bytes > 0 ? (uint64_t)lease->size_bytes : 0,
        .input_mime = lease->mime,
        .input_etag = lease->etag,
        .input_sha256 = lease->sha256,
        .parameters = lease->payload,
    };
    status = task_sign(scheduler, lease, &texts, task);
    if (status == 0)
        status = children_sign_parts(scheduler, lease, texts.part_keys, task);
    if (status != 0) {
        wipe(&texts);
        return status;
    }
    task_limit(scheduler->settings, lease->processor, task);
    if (lease->joins || lease->is_range || lease->remembered != NULL)
        task->range_pages = task->ranges = 0;
    if (channel_send(scheduler->channel, &worker->id, &message) != 0) {
        if (!is_encodable(&message))
            status = -1;
        else
            status = workers_send(scheduler->workers, worker, &message) == 0 ? 0 : 1;
    }
    wipe(&texts);
    return status;
}

/* Sends the first ready lease of its kind; false when there is none, or nobody has room for it. */
static bool dispatch_one(struct scheduler *scheduler, enum processor_class class) {
    struct lease *lease = leases_first_ready(scheduler->leases, class);
    struct peer *worker = lease == NULL ? NULL : workers_choose(scheduler->workers, class);
    int status;

    if (worker == NULL)
        return false;
    status = task_send(scheduler, lease, worker);
    if (status > 0)
        return true;
    leases_pop_ready(scheduler->leases, class);
    lease->state = LEASE_ENDING;
    if (status == TASK_WITHOUT_KEY) {
        finish_refused(scheduler, lease, "key_unavailable", "its object's key can't be unwrapped here");
        return true;
    }
    if (status < 0) {
        finish_refused(scheduler, lease, "bad_task", "its object can't be signed for");
        return true;
    }
    lease->state = LEASE_SENT;
    lease->confirmed = true;
    workers_assign(lease, worker);
    workers_charge(worker, class);
    lease_free_input(lease);
    log_debug("job=%s lease=%llu worker=%s state=sent trace=%s", lease->job, (unsigned long long)lease->epoch,
              worker->name, lease->trace);
    return true;
}

void tasks_dispatch(struct scheduler *scheduler) {
    while (dispatch_one(scheduler, CLASS_RUNNER) || dispatch_one(scheduler, CLASS_NETWORK) ||
           dispatch_one(scheduler, CLASS_LIGHT)) {
    }
    counter_set(COUNT_WORKER_CREDIT, workers_credit(scheduler->workers));
}
