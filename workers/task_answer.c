/* SPDX-License-Identifier: MIT
 * Copies of orders, and the messages that answer them. */
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "workers/task_internal.h"

/* The texts of an order, each owned once copied. */
static const size_t order_texts[] = {
    offsetof(struct message_task, job),          offsetof(struct message_task, type),
    offsetof(struct message_task, file),         offsetof(struct message_task, tenant),
    offsetof(struct message_task, trace),        offsetof(struct message_task, input_url),
    offsetof(struct message_task, input_mime),   offsetof(struct message_task, input_etag),
    offsetof(struct message_task, input_sha256), offsetof(struct message_task, parameters),
    offsetof(struct message_task, input_key),
};
static const size_t output_texts[] = {
    offsetof(struct message_output, kind),     offsetof(struct message_output, key),
    offsetof(struct message_output, mime),     offsetof(struct message_output, url),
    offsetof(struct message_output, source),   offsetof(struct message_output, sha256),
    offsetof(struct message_output, metadata),
    offsetof(struct message_output, data_key), offsetof(struct message_output, source_key),
    offsetof(struct message_output, seal),     offsetof(struct message_output, stored_sha256),
};
static const size_t part_texts[] = {offsetof(struct message_part, url),
                                    offsetof(struct message_part, sha256),
                                    offsetof(struct message_part, key)};
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void copy_texts(void *base, const size_t *offsets, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const char **text = (const char **)(void *)((char *)base + offsets[i]);
        *text = memory_copy_text(*text == NULL ? "" : *text);
    }
}

static void free_texts(void *base, const size_t *offsets, size_t count) {
    for (size_t i = 0; i < count; i++)
        free(*(char **)(void *)((char *)base + offsets[i]));
}

struct task *task_new(struct tasks *tasks, const struct message_task *order) {
    struct task *task = memory_new(sizeof *task);

    task->tasks = tasks;
    task->id = ++tasks->next_id;
    task->order = *order;
    copy_texts(&task->order, order_texts, COUNT_OF(order_texts));
    for (size_t i = 0; i < order->output_count; i++) {
        copy_texts(&task->order.outputs[i], output_texts, COUNT_OF(output_texts));
        task->outputs[i].task = task;
    }
    for (size_t i = 0; i < order->part_count; i++) {
        copy_texts(&task->order.parts[i], part_texts, COUNT_OF(part_texts));
        task->parts[i].task = task;
    }
    memset(task->document.outputs, -1, sizeof task->document.outputs);
    task->document.parts = task->document.input = task->document.result = task->document.progress_fd = -1;
    task->stage = "fetch";
    return task;
}

static void wipe_text(const char *text) {
    explicit_bzero((char *)(uintptr_t)text, strlen(text));
}

/* Every key of the order, once nothing is to be opened or sealed any more. */
static void forget_keys(struct task *task) {
    wipe_text(task->order.input_key);
    for (size_t i = 0; i < task->order.output_count; i++) {
        wipe_text(task->order.outputs[i].data_key);
        wipe_text(task->order.outputs[i].source_key);
    }
    for (size_t i = 0; i < task->order.part_count; i++)
        wipe_text(task->order.parts[i].key);
}

void task_free(struct task *task) {
    task_stop_transfers(task);
    task_call_drop(task);
    document_clear(&task->document);
    free(task->report);
    forget_keys(task);
    for (size_t i = 0; i < task->order.output_count; i++)
        free_texts(&task->order.outputs[i], output_texts, COUNT_OF(output_texts));
    for (size_t i = 0; i < task->order.part_count; i++)
        free_texts(&task->order.parts[i], part_texts, COUNT_OF(part_texts));
    free_texts(&task->order, order_texts, COUNT_OF(order_texts));
    free(task);
}

static int send_to(struct tasks *tasks, const struct message *message) {
    return tasks->host.send(tasks->host.context, message);
}

static void fill_outputs(struct task *task, struct message_result *result) {
    for (size_t i = 0; i < task->order.output_count; i++) {
        const struct task_output *output = &task->outputs[i];
        if (!output->made)
            continue;
        result->outputs[result->output_count++] = (struct message_output){
            .kind = task->order.outputs[i].kind,
            .key = task->order.outputs[i].key,
            .mime = task->order.outputs[i].mime,
            .size_bytes = task->document.output_bytes[output->index],
            .sha256 = output->sha256,
            .metadata = task->result.metadata[output->index],
            .seal = task->order.outputs[i].seal,
            .stored_bytes = output->stored_bytes,
            .stored_sha256 = output->stored_sha256,
        };
    }
}

static int send_result(struct task *task) {
    struct message message = {.type = MESSAGE_RESULT};
    struct message_result *result = &message.result;
    char *report = task->report == NULL ? NULL : memory_format("{\"report\":%s}", task->report);
    int status;

    *result = (struct message_result){
        .job = task->order.job,
        .epoch = task->order.epoch,
        .outcome = task->reason == NULL ? OUTCOME_DONE : OUTCOME_FAILED,
        .error = task->reason == NULL ? "" : task->reason->code,
        .detail = task->detail,
        .stage = task->stage,
        .retryable = task->reason != NULL && task->reason->retryable,
        .crash = task->reason != NULL && task->reason->crash,
        .input_sha256 = task->input_sha256,
        .input_bytes = task->input_bytes,
        .cpu_ms = task->cpu_ms,
        .peak_rss_bytes = task->peak_rss_bytes,
        .fetch_ms = task->fetch_ms,
        .parse_ms = task->parse_ms,
        .store_ms = task->store_ms,
        .pages = task->result.pages,
        .metrics = report != NULL ? report : task->result.metrics,
        .split = task->result.split,
        .calls = task->calls,
    };
    if (task->reason == NULL)
        fill_outputs(task, result);
    status = send_to(task->tasks, &message);
    free(report);
    return status;
}

int task_refuse(struct tasks *tasks, const struct message_task *order, const char *reason) {
    struct message message = {.type = MESSAGE_RELEASE,
                              .release = {.job = order->job, .epoch = order->epoch, .reason = reason}};

    return send_to(tasks, &message);
}

int task_done_at_once(struct tasks *tasks, const struct message_task *order) {
    struct message message = {
        .type = MESSAGE_RESULT,
        .result = {.job = order->job, .epoch = order->epoch, .outcome = OUTCOME_DONE, .stage = "parse"}};

    return send_to(tasks, &message);
}

int task_send_progress(struct task *task) {
    const struct progress_page *page = task->document.progress;
    struct message message = {.type = MESSAGE_PROGRESS,
                              .progress = {.job = task->order.job, .epoch = task->order.epoch}};

    message.progress.done = atomic_load_explicit(&page->done, memory_order_relaxed);
    message.progress.total = atomic_load_explicit(&page->total, memory_order_relaxed);
    if (message.progress.done == task->told_done)
        return 0;
    task->told_done = message.progress.done;
    return send_to(task->tasks, &message);
}

static void log_answer(const struct task *task) {
    const char *state = task->release != NULL ? "released" : task->reason == NULL ? "done" : "failed";

    log_info("job=%s epoch=%llu type=%s state=%s reason=%s stage=%s detail=\"%s\" cpu_ms=%llu trace=%s",
             task->order.job, (unsigned long long)task->order.epoch, task->order.type, state,
             task->release != NULL  ? task->release
             : task->reason == NULL ? "-"
                                    : task->reason->code,
             task->stage, task->detail, (unsigned long long)task->cpu_ms, task->order.trace);
}

void task_answer(struct task *task) {
    int status =
        task->release != NULL ? task_refuse(task->tasks, &task->order, task->release) : send_result(task);

    if (status != 0)
        return; /* the tick tries again */
    if (task->state != TASK_ANSWERED)
        log_answer(task);
    task->answered_ms = clock_monotonic_ms();
    task_move(task, TASK_ANSWERED);
}
