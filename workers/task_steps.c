/* SPDX-License-Identifier: MIT
 * The steps of one task: fetch, run, store. Each step ends in the next one, in task_fail, or by a release. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/text.h"
#include "storage/provider.h"
#include "workers/source.h"
#include "workers/task_internal.h"
#include "workers/transfer.h"

/* Of a step that took place: at least 1, since 0 says that it did not. */
static uint64_t lap_ms(struct task *task) {
    int64_t now = clock_monotonic_ms();
    int64_t ms = now - task->step_started_ms;

    task->step_started_ms = now;
    return ms > 0 ? (uint64_t)ms : 1;
}

void task_stop_transfers(struct task *task) {
    if (task->fetch != NULL)
        http_client_cancel(task->fetch);
    task->fetch = NULL;
    for (size_t i = 0; i < task->order.part_count; i++) {
        if (task->parts[i].transfer != NULL)
            http_client_cancel(task->parts[i].transfer);
        task->parts[i].transfer = NULL;
        envelope_sink_free(task->parts[i].target.sink);
        task->parts[i].target.sink = NULL;
    }
    task->fetches_pending = 0;
    for (size_t i = 0; i < task->order.output_count; i++) {
        if (task->outputs[i].transfer != NULL)
            http_client_cancel(task->outputs[i].transfer);
        task->outputs[i].transfer = NULL;
        envelope_sink_free(task->outputs[i].target.sink);
        envelope_source_free(task->outputs[i].sealed);
        task->outputs[i].target.sink = NULL;
        task->outputs[i].sealed = NULL;
    }
    envelope_sink_free(task->target.sink);
    task->target.sink = NULL;
    task->stores_pending = 0;
}

static void take_charge(struct task *task) {
    struct tasks *tasks = task->tasks;

    task->charged = true;
    if (task->class == CLASS_NETWORK) {
        tasks->network_held++;
        admission_charge_beside(&tasks->admission, task->cost);
    } else {
        admission_charge(&tasks->admission, task->cost);
    }
}

static void give_back_charge(struct task *task) {
    struct tasks *tasks = task->tasks;

    if (!task->charged)
        return;
    task->charged = false;
    if (task->class == CLASS_NETWORK) {
        tasks->network_held--;
        admission_return_beside(&tasks->admission, task->cost);
    } else {
        admission_return(&tasks->admission, task->cost);
    }
}

/* Gives back the memory, the charge and the answer. The list moves on by itself. */
void task_end(struct task *task) {
    struct tasks *tasks = task->tasks;

    task_stop_transfers(task);
    task_call_drop(task);
    document_clear(&task->document);
    give_back_charge(task);
    task_move(task, TASK_ENDED);
    task_answer(task);
    tasks->host.changed(tasks->host.context);
}

void task_fail(struct task *task, const struct reason_row *reason, const char *stage, const char *detail) {
    task->reason = reason;
    task->stage = stage;
    (void)text_copy(task->detail, sizeof task->detail, detail);
    task_end(task);
}

/* --- fetch ------------------------------------------------------------------------------------------------ */

static void count_storage_error(const struct task *task, const char *url) {
    counter_add(provider_of_url(task->tasks->host.settings, url)->errors, 1);
}

static void fail_fetch(struct task *task, const struct reason_row *reason, const struct http_client_reply *reply,
                       const char *url) {
    char detail[200];

    if (!text_starts_with(url, MESSAGE_SOURCE))
        count_storage_error(task, url);
    (void)snprintf(detail, sizeof detail, "GET %s, status %d, %llu bytes", http_client_error_name(reply->error),
                   reply->status, (unsigned long long)reply->received_bytes);
    task_fail(task, reason, "fetch", detail);
}

static void one_fetched(struct task *task) {
    if (--task->fetches_pending > 0)
        return;
    task->fetch_ms = lap_ms(task);
    if (task->document.parts >= 0 && document_seal_parts(&task->document) != 0) {
        task_fail(task, reason_find("memory_limit"), "fetch", "parts not sealed");
        return;
    }
    task_move(task, TASK_READY);
    tasks_advance(task->tasks);
}

static void on_fetched(void *context, const struct http_client_reply *reply) {
    struct task *task = context;
    uint64_t expected_bytes =
        task->order.input_unmeasured ? reply->received_bytes : task->order.input_bytes;
    const struct reason_row *reason =
        source_is(&task->order) ? source_reason(reply)
                                : transfer_target_reason(&task->target, reply, expected_bytes,
                                                         task->order.input_sha256, task->input_sha256);

    task->fetch = NULL;
    task->input_bytes = task->target.sink == NULL ? reply->received_bytes : task->order.input_bytes;
    counter_add(COUNT_TRANSFER_BYTES_IN, reply->received_bytes);
    if (source_is(&task->order) && reply->sha256 != NULL)
        (void)text_copy(task->input_sha256, sizeof task->input_sha256, reply->sha256);
    if (reason == NULL && document_seal_input(&task->document, task->input_bytes) != 0)
        reason = reason_find("memory_limit");
    if (reason != NULL)
        fail_fetch(task, reason, reply, task->order.input_url);
    else
        one_fetched(task);
}

static void on_part_fetched(void *context, const struct http_client_reply *reply) {
    struct task_part *part = context;
    struct task *task = part->task;
    const struct message_part *order = &task->order.parts[part - task->parts];
    char sha256[65] = "";
    const struct reason_row *reason =
        transfer_target_reason(&part->target, reply, order->size_bytes, order->sha256, sha256);

    part->transfer = NULL;
    envelope_sink_free(part->target.sink);
    part->target.sink = NULL;
    counter_add(COUNT_TRANSFER_BYTES_IN, reply->received_bytes);
    if (reason != NULL)
        fail_fetch(task, reason, reply, order->url);
    else
        one_fetched(task);
}

/* All at once, each to its place in one file. -1: the task has failed. */
static int fetch_parts(struct task *task) {
    struct tasks *tasks = task->tasks;
    uint64_t bytes = 0;

    for (size_t i = 0; i < task->order.part_count; i++) {
        task->parts[i].target.offset = bytes;
        bytes += task->order.parts[i].size_bytes;
    }
    if (task->order.part_count > 0 && document_open_parts(&task->document, bytes) != 0) {
        task_fail(task, reason_find("memory_limit"), "fetch", "no room for parts");
        return -1;
    }
    for (size_t i = 0; i < task->order.part_count; i++) {
        struct task_part *part = &task->parts[i];
        const struct message_part *order = &task->order.parts[i];
        part->target.fd = task->document.parts;
        part->target.sink = transfer_sink(order->key, part->target.fd, part->target.offset, order->size_bytes);
        part->transfer =
            transfer_fetch_part(tasks->host.http, tasks->host.settings, order, &part->target, on_part_fetched, part);
        if (part->transfer == NULL) {
            task_fail(task, reason_find("storage_refused"), "fetch", "unusable URL of a part");
            return -1;
        }
        task->fetches_pending++;
    }
    return 0;
}

/* Which of the row's outputs the task wants; -1 if it names one that the row does not have. */
static int map_outputs(struct task *task, uint64_t *wanted) {
    *wanted = 0;
    for (size_t i = 0; i < task->order.output_count; i++) {
        size_t index = 0;
        while (index < task->row->output_count &&
               strcmp(task->row->outputs[index].kind, task->order.outputs[i].kind) != 0)
            index++;
        if (index == task->row->output_count || (*wanted >> index & 1) != 0)
            return -1;
        task->outputs[i].index = index;
        *wanted |= UINT64_C(1) << index;
    }
    return 0;
}

/* The preparing part makes all outputs of its own row. */
static int init_document(struct task *task, uint64_t wanted, bool with_input) {
    const struct processor_row *prepare = task->prepare;

    if (prepare != NULL)
        return document_init(&task->document, prepare, (UINT64_C(1) << prepare->output_count) - 1, with_input);
    return document_init(&task->document, task->row, wanted, with_input);
}

/* --- copy ------------------------------------------------------------------------------------------------- */

static void store_outputs(struct task *task);

static void on_copied(void *context, const struct http_client_reply *reply) {
    struct task_output *output = context;
    struct task *task = output->task;
    const struct message_output *order = &task->order.outputs[output - task->outputs];
    const struct reason_row *reason =
        transfer_target_reason(&output->target, reply, order->size_bytes, order->sha256, output->sha256);
    char detail[200];

    output->transfer = NULL;
    task->stores_pending--;
    counter_add(COUNT_TRANSFER_BYTES_IN, reply->received_bytes);
    if (reason == NULL && text_copy(task->result.metadata[output->index],
                                    sizeof task->result.metadata[output->index], order->metadata) != 0)
        reason = reason_find("bad_result");
    if (reason != NULL) {
        count_storage_error(task, order->source);
        (void)snprintf(detail, sizeof detail, "GET of a copy %s, status %d", http_client_error_name(reply->error),
                       reply->status);
        task_fail(task, reason, "fetch", detail);
        return;
    }
    task->document.output_bytes[output->index] = order->size_bytes;
    if (task->stores_pending > 0)
        return;
    task->fetch_ms = lap_ms(task);
    store_outputs(task);
}

/* What was made before takes the place of what a runner would make. */
static void copy_outputs(struct task *task) {
    struct tasks *tasks = task->tasks;

    task_move(task, TASK_FETCHING);
    for (size_t i = 0; i < task->order.output_count; i++) {
        struct task_output *output = &task->outputs[i];
        output->target.fd = task->document.outputs[output->index];
        output->target.sink = transfer_sink(task->order.outputs[i].source_key, output->target.fd, 0,
                                            task->order.outputs[i].size_bytes);
        output->transfer = transfer_copy(tasks->host.http, tasks->host.settings, &task->order.outputs[i],
                                         &output->target, on_copied, output);
        if (output->transfer == NULL) {
            task_fail(task, reason_find("storage_refused"), "fetch", "unusable URL");
            return;
        }
        task->stores_pending++;
    }
}

static bool is_copy(const struct task *task) {
    return task->order.output_count > 0 && task->order.outputs[0].source[0] != '\0';
}

void task_begin(struct task *task) {
    struct tasks *tasks = task->tasks;
    bool with_input = task->order.input_url[0] != '\0';
    uint64_t wanted;

    take_charge(task);
    task->step_started_ms = clock_monotonic_ms();
    if (map_outputs(task, &wanted) != 0) {
        task_fail(task, reason_find("unknown_type"), "fetch", "an output that the processor does not make");
        return;
    }
    if (init_document(task, wanted, with_input) != 0) {
        task_fail(task, reason_find("no_runner"), "fetch", strerror(errno));
        return;
    }
    if (is_copy(task)) {
        copy_outputs(task);
        return;
    }
    if (!with_input) {
        task_move(task, TASK_READY);
        return;
    }
    task_move(task, TASK_FETCHING);
    if (fetch_parts(task) != 0)
        return;
    task->fetches_pending++;
    task->target.fd = task->document.input;
    task->target.sink = transfer_sink(task->order.input_key, task->target.fd, 0, task->order.input_bytes);
    task->fetch = (source_is(&task->order) ? source_fetch : transfer_fetch)(
        tasks->host.http, tasks->host.settings, &task->order, &task->target, on_fetched, task);
    if (task->fetch == NULL)
        task_fail(task, reason_find(source_is(&task->order) ? "source_refused" : "storage_refused"), "fetch",
                  "unusable URL");
}

/* --- run -------------------------------------------------------------------------------------------------- */

static struct nursery_limits limits_of_prepare(const struct task *task) {
    const struct processor_row *row = task->prepare;

    if (row == NULL)
        return task->limits;
    return (struct nursery_limits){.wall_ms = row->wall_ms,
                                   .no_progress_ms = row->no_progress_ms,
                                   .cpu_seconds = row->cpu_seconds,
                                   .memory_bytes = row->memory_bytes,
                                   .output_bytes = row->output_bytes,
                                   .pages = task->limits.pages,
                                   .pixels = task->limits.pixels};
}

void task_run(struct task *task) {
    const struct nursery_limits preparing = limits_of_prepare(task);

    if (nursery_client_run(task->tasks->host.nursery, task->id, &task->document,
                           task->prepare == NULL ? &task->limits : &preparing, task->order.input_mime,
                           task->prepare == NULL ? task->order.parameters : "") == 0) {
        counter_add(COUNT_RUNNERS_STARTED, 1);
        task->stage = "parse";
        task->step_started_ms = clock_monotonic_ms();
        task_move(task, TASK_RUNNING);
    } else if (errno != EAGAIN && errno != ENOBUFS) {
        task_fail(task, reason_find(errno == EMSGSIZE ? "bad_parameters" : "no_runner"), "parse", strerror(errno));
    }
}

static const struct {
    const char *code;
    enum counter counter;
} death_counters[] = {
    {"sandbox_violation", COUNT_RUNNERS_KILLED_VIOLATION}, {"cpu_limit", COUNT_RUNNERS_KILLED_CPU},
    {"memory_limit", COUNT_RUNNERS_KILLED_MEMORY},         {"timeout", COUNT_RUNNERS_KILLED_DEADLINE},
    {"no_progress", COUNT_RUNNERS_KILLED_DEADLINE},        {"cancelled", COUNT_RUNNERS_KILLED_CANCEL},
    {"crash", COUNT_RUNNERS_CRASHED},                      {"output_limit", COUNT_RUNNERS_CRASHED},
};

static void count_death(const struct nursery_end *end) {
    enum counter counter = COUNT_RUNNERS_EXITED;

    for (size_t i = 0; end->reason != NULL && i < sizeof death_counters / sizeof death_counters[0]; i++) {
        if (strcmp(death_counters[i].code, end->reason->code) == 0)
            counter = death_counters[i].counter;
    }
    counter_add(counter, 1);
    counter_add(COUNT_RUNNERS_CPU_MICROSECONDS, end->cpu_us);
    counter_raise(COUNT_RUNNER_PEAK_BYTES, end->peak_rss_bytes);
}

/* --- store ------------------------------------------------------------------------------------------------ */

static void on_stored(void *context, const struct http_client_reply *reply) {
    struct task_output *output = context;
    struct task *task = output->task;
    const struct reason_row *reason = transfer_output_reason(reply);
    char detail[200];

    output->transfer = NULL;
    task->stores_pending--;
    if (reason != NULL) {
        count_storage_error(task, task->order.outputs[output - task->outputs].url);
        (void)snprintf(detail, sizeof detail, "PUT %s, status %d", http_client_error_name(reply->error), reply->status);
        task_fail(task, reason, "store", detail);
        return;
    }
    counter_add(COUNT_TRANSFER_BYTES_OUT, task->document.output_bytes[output->index]);
    if (task->stores_pending > 0)
        return;
    task->store_ms = lap_ms(task);
    task_end(task);
}

/* A processor may leave an output out (a PDF has no display picture): it then says nothing about it either. */
static bool was_made(const struct task *task, size_t index) {
    return task->document.output_bytes[index] > 0 || task->result.metadata[index][0] != '\0';
}

/* Plain bytes stay in this process' memory files. */
static int seal_output(struct task_output *output, const struct message_output *order, int fd, uint64_t bytes) {
    if (order->data_key[0] == '\0')
        return 0;
    output->sealed = transfer_sealed(order->data_key, fd, bytes);
    if (output->sealed == NULL)
        return -1;
    output->stored_bytes = envelope_source_bytes(output->sealed);
    return envelope_source_hash(output->sealed, output->stored_sha256);
}

static int store_output(struct task *task, size_t i) {
    struct task_output *output = &task->outputs[i];
    struct tasks *tasks = task->tasks;
    int fd = task->document.outputs[output->index];
    uint64_t bytes = task->document.output_bytes[output->index];
    bool published = task->row->outputs[output->index].place == PLACE_PUBLISHED;
    struct transfer_source source = {
        .fd = fd, .bytes = bytes, .cache_control = published ? tasks->host.settings->publish_cache_control : NULL};

    output->made = was_made(task, output->index);
    if (!output->made)
        return 0;
    if (transfer_hash(fd, 0, bytes, output->sha256) != 0)
        return -1;
    if (seal_output(output, &task->order.outputs[i], fd, bytes) != 0)
        return -1;
    source.sealed = output->sealed;
    output->transfer = transfer_store(tasks->host.http, tasks->host.settings, &task->order.outputs[i], source,
                                      on_stored, output);
    task->stores_pending += output->transfer != NULL;
    return output->transfer == NULL ? -1 : 0;
}

static void store_outputs(struct task *task) {
    task_move(task, TASK_STORING);
    task->stage = "store";
    for (size_t i = 0; i < task->order.output_count; i++) {
        if (store_output(task, i) != 0) {
            task_fail(task, reason_find("storage_refused"), "store", "an output that can't be sent");
            return;
        }
    }
    if (task->stores_pending == 0)
        task_end(task);
}

/* A result with an input but no trace of it in `input` is not possible: the descriptor is closed here. */
static void drop_input(struct task *task) {
    if (task->document.parts >= 0)
        close(task->document.parts);
    task->document.parts = -1;
    if (task->document.input >= 0)
        close(task->document.input);
    task->document.input = -1;
}

void task_called(struct task *task, const struct reason_row *reason) {
    char detail[sizeof task->result.detail];

    task->parse_ms += lap_ms(task);
    drop_input(task);
    memcpy(detail, task->result.detail, sizeof detail);
    if (reason != NULL)
        task_fail(task, reason, "call", detail);
    else
        store_outputs(task);
}

/* What was prepared, sealed by the judgement, becomes the input of the service's part. */
static void go_on_to_call(struct task *task) {
    int prepared = task->document.outputs[0];
    uint64_t bytes = task->document.output_bytes[0], wanted = 0;

    for (size_t i = 0; i < task->order.output_count; i++)
        wanted |= UINT64_C(1) << task->outputs[i].index;
    task->document.outputs[0] = -1;
    document_clear(&task->document);
    task->prepare = NULL;
    if (document_init(&task->document, task->row, wanted, 0) != 0) {
        close(prepared);
        task_fail(task, reason_find("no_runner"), "call", strerror(errno));
        return;
    }
    task->document.input = prepared;
    task->document.input_bytes = bytes;
    task_move(task, TASK_READY);
}

void task_judge(struct task *task, const struct nursery_end *end) {
    const struct reason_row *reason = end->reason;
    const char *detail = end->detail;

    count_death(end);
    task->parse_ms = lap_ms(task);
    task->cpu_ms = end->cpu_us / 1000;
    task->peak_rss_bytes = end->peak_rss_bytes;
    drop_input(task);
    if (task->release != NULL) {
        task_end(task);
        return;
    }
    if (reason == NULL) {
        uint64_t limit = task->prepare == NULL ? task->limits.output_bytes : task->prepare->output_bytes;
        reason = document_judge(&task->document, limit, &task->result);
        detail = task->result.detail;
    }
    if (reason != NULL)
        task_fail(task, reason, "parse", detail);
    else if (task->result.split[0] != '\0')
        task_end(task); /* to be cut: there is nothing yet */
    else if (task->prepare != NULL)
        go_on_to_call(task);
    else
        store_outputs(task);
    tasks_advance(task->tasks);
}
