/* SPDX-License-Identifier: MIT
 * Tasks are made when they are sent, so that their URLs are fresh. */
#include "scheduler/tasks.h"

#include <string.h>

#include "lib/counters.h"
#include "lib/log.h"
#include "lib/text.h"
#include "scheduler/children.h"
#include "scheduler/finish.h"
#include "scheduler/remember.h"
#include "scheduler/workers.h"
#include "storage/keys.h"

#define PAYLOAD_MAX (16 * 1024)

/* Everything that a TASK's texts point to. */
struct task_texts {
    char input_url[STORAGE_URL_MAX];
    char keys[MESSAGE_MAX_OUTPUTS][KEY_MAX];
    char urls[MESSAGE_MAX_OUTPUTS][STORAGE_URL_MAX];
    char sources[MESSAGE_MAX_OUTPUTS][STORAGE_URL_MAX];
};

void tasks_accept(struct scheduler *scheduler, struct lease *lease) {
    char code[96];

    if (lease->processor == NULL) {
        text_format(code, sizeof code, "unknown_job_type:%s", lease->type);
        finish_refused(scheduler, lease, code, NULL);
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

/* What was made before is fetched from where it lies, and nothing else. */
static int task_sign_copies(const struct scheduler *scheduler, const struct lease *lease,
                            struct task_texts *texts, struct message_task *task) {
    task->input_url = "";
    task->input_bytes = 0;
    for (size_t i = 0; i < lease->remembered->count; i++) {
        const struct remembered_output *old = &lease->remembered->outputs[i];
        if (lease_key(texts->keys[i], lease, old->row, lease->epoch) != 0 ||
            sign(scheduler, "PUT", texts->keys[i], old->row->mime, texts->urls[i]) != 0 ||
            sign(scheduler, "GET", old->key, NULL, texts->sources[i]) != 0)
            return -1;
        task->outputs[i] = (struct message_output){.kind = old->row->kind,
                                                   .key = texts->keys[i],
                                                   .mime = old->row->mime,
                                                   .url = texts->urls[i],
                                                   .size_bytes = old->size_bytes,
                                                   .sha256 = old->sha256,
                                                   .metadata = old->metadata,
                                                   .source = texts->sources[i]};
    }
    task->output_count = lease->remembered->count;
    return 0;
}

static int task_sign(const struct scheduler *scheduler, const struct lease *lease, struct task_texts *texts,
                     struct message_task *task) {
    /* A processor that makes nothing of a file that holds nothing has nothing to fetch. */
    bool no_input = lease->processor->output_count == 0 && lease->size_bytes == 0;

    if (lease->remembered != NULL)
        return task_sign_copies(scheduler, lease, texts, task);
    if (lease->key == NULL || (!no_input && sign(scheduler, "GET", lease->key, NULL, texts->input_url) != 0))
        return -1;
    task->input_url = no_input ? "" : texts->input_url;
    for (size_t i = 0; i < lease->processor->output_count; i++) {
        const struct processor_output *output = &lease->processor->outputs[i];
        if (lease_key(texts->keys[i], lease, output, lease->epoch) != 0 ||
            sign(scheduler, "PUT", texts->keys[i], output->mime, texts->urls[i]) != 0)
            return -1;
        task->outputs[i] = (struct message_output){
            .kind = output->kind, .key = texts->keys[i], .mime = output->mime, .url = texts->urls[i]};
    }
    task->output_count = lease->processor->output_count;
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

/* 0: sent. 1: the worker is gone, try another. -1: this lease can't be sent. */
static int task_send(struct scheduler *scheduler, struct lease *lease, struct peer *worker) {
    static struct task_texts texts; /* 100 kB: not for the stack */
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
    if (task_sign(scheduler, lease, &texts, task) != 0 || children_sign_parts(scheduler, lease, task) != 0)
        return -1;
    task_limit(scheduler->settings, lease->processor, task);
    if (lease->joins || lease->parent[0] != '\0' || lease->remembered != NULL)
        task->range_pages = task->ranges = 0;
    if (channel_send(scheduler->channel, &worker->id, &message) == 0)
        return 0;
    if (!is_encodable(&message))
        return -1;
    return workers_send(scheduler->workers, worker, &message) == 0 ? 0 : 1;
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
