/* SPDX-License-Identifier: MIT
 * The list of tasks: admission, cancel, drain, and a tick that passes progress on and tries again what could
 * not be sent. A handful to a few hundred entries: plain walks, no index. */
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "workers/task_internal.h"

#define TICK_MS 250
#define PROGRESS_TICKS 4 /* once a second for each task, as the protocol says */
#define LIGHT_TASKS 2048 /* on their way here at a time: half of what the channel holds */
#define MOST_SURPLUS                                                                                         \
    1024 /* held beyond all credit; one more is released: that scheduler does not read credit */
#define MOST_PARTS_BYTES (UINT64_C(1) << 40)
#define KEEP_ANSWERED_MS 10000
#define KEEP_ANSWERED_MOST 256

static const char *const state_names[TASK_STATE_COUNT] = {
    [TASK_WAITING] = "waiting", [TASK_FETCHING] = "fetching", [TASK_READY] = "ready",
    [TASK_RUNNING] = "running", [TASK_CALLING] = "calling",   [TASK_STORING] = "storing",
    [TASK_ENDED] = "ended",     [TASK_ANSWERED] = "answered",
};

void task_move(struct task *task, enum task_state state) {
    struct tasks *tasks = task->tasks;

    if (task->state == state)
        return;
    log_debug("job=%s epoch=%llu state=%s->%s trace=%s", task->order.job,
              (unsigned long long)task->order.epoch, state_names[task->state], state_names[state],
              task->order.trace);
    tasks->counts[task->state]--;
    tasks->counts[state]++;
    if (task->class == CLASS_NETWORK)
        tasks->network_waiting -= task->state == TASK_WAITING;
    task->state = state;
    counter_set(COUNT_SLOTS_BUSY, tasks->counts[TASK_RUNNING]);
}

static void append(struct tasks *tasks, struct task *task) {
    task->previous = tasks->last;
    if (tasks->last != NULL)
        tasks->last->next = task;
    else
        tasks->first = task;
    tasks->last = task;
    tasks->counts[task->state]++;
    tasks->network_waiting += task->class == CLASS_NETWORK;
}

static void discard(struct task *task) {
    struct tasks *tasks = task->tasks;

    if (task->previous != NULL)
        task->previous->next = task->next;
    else
        tasks->first = task->next;
    if (task->next != NULL)
        task->next->previous = task->previous;
    else
        tasks->last = task->previous;
    tasks->counts[task->state]--;
    if (task->class == CLASS_NETWORK)
        tasks->network_waiting -= task->state == TASK_WAITING;
    task_free(task);
}

static bool may_begin(const struct tasks *tasks, const struct task *task) {
    if (task->class == CLASS_NETWORK)
        return tasks->network_held < services_room(tasks->host.settings) &&
               admission_fits_beside(&tasks->admission, task->cost);
    return admission_fits(&tasks->admission, task->cost);
}

void tasks_advance(struct tasks *tasks) {
    for (struct task *task = tasks->first; task != NULL; task = task->next) {
        if (task->state == TASK_WAITING && may_begin(tasks, task))
            task_begin(task);
        if (task->state == TASK_READY && task->remote != NULL && task->prepare == NULL)
            task_call(task);
        if (task->state == TASK_READY && tasks->counts[TASK_RUNNING] < tasks->admission.slots)
            task_run(task);
    }
}

/* --- the tick ---------------------------------------------------------------------------------------------
 */

static void on_tick(void *context) {
    struct tasks *tasks = context;
    static unsigned ticks;
    int64_t now = clock_monotonic_ms();
    struct task *next;

    ticks++;
    for (struct task *task = tasks->first; task != NULL; task = next) {
        next = task->next;
        if (task->state == TASK_RUNNING && ticks % PROGRESS_TICKS == 0)
            (void)task_send_progress(task);
        else if (task->state == TASK_ENDED)
            task_answer(task);
        else if (task->state == TASK_ANSWERED && (now - task->answered_ms >= KEEP_ANSWERED_MS ||
                                                  tasks->counts[TASK_ANSWERED] > KEEP_ANSWERED_MOST))
            discard(task);
    }
    tasks_advance(tasks);
    if (tasks->first != NULL)
        loop_timer_set(tasks->tick, TICK_MS);
    else
        memory_give_back();
}

struct tasks *tasks_new(const struct tasks_host *host, uint64_t slots) {
    struct tasks *tasks = memory_new(sizeof *tasks);

    tasks->host = *host;
    tasks->admission = (struct admission){
        .slots = slots,
        .prefetch = host->settings->worker_prefetch > 0 ? (uint64_t)host->settings->worker_prefetch : slots,
        .budget_bytes = (uint64_t)host->settings->worker_memory_bytes};
    tasks->tick = loop_timer_new(host->loop, on_tick, tasks);
    counter_set(COUNT_SLOTS_TOTAL, slots);
    return tasks;
}

void tasks_free(struct tasks *tasks) {
    if (tasks == NULL)
        return;
    while (tasks->first != NULL)
        discard(tasks->first);
    loop_timer_free(tasks->tick);
    free(tasks);
}

/* --- from the scheduler -----------------------------------------------------------------------------------
 */

static uint64_t first_set(uint64_t wanted, uint64_t fallback) {
    return wanted != 0 ? wanted : fallback;
}

static struct nursery_limits limits_of(const struct message_task *order, const struct processor_row *row) {
    return (struct nursery_limits){
        .wall_ms = first_set(order->wall_ms, row->wall_ms),
        .no_progress_ms = first_set(order->no_progress_ms, row->no_progress_ms),
        .cpu_seconds = first_set(order->cpu_seconds, row->cpu_seconds),
        .memory_bytes = first_set(order->memory_bytes, row->memory_bytes),
        .output_bytes = first_set(order->output_bytes, row->output_bytes),
        .pages = order->pages,
        .pixels = order->pixels,
        .range_pages = order->range_pages,
        .ranges = order->ranges,
        .joins = order->joins,
    };
}

static int choose_remote(struct task *task) {
    task->remote = remote_find(task->row->name);
    if (task->remote == NULL)
        return -1;
    task->prepare = task->remote->prepare == NULL ? NULL : processor_find(task->remote->prepare);
    return task->prepare == NULL && task->remote->prepare != NULL ? -1 : 0;
}

/* Of all parts together; more than any document can have when the sum makes no sense. */
static uint64_t parts_bytes(const struct message_task *order) {
    uint64_t bytes = 0;

    for (size_t i = 0; i < order->part_count; i++) {
        if (order->parts[i].size_bytes > MOST_PARTS_BYTES - bytes)
            return MOST_PARTS_BYTES;
        bytes += order->parts[i].size_bytes;
    }
    return bytes;
}

static void hold(struct tasks *tasks, const struct message_task *order, const struct processor_row *row) {
    struct task *task = task_new(tasks, order);

    task->row = row;
    task->class = processor_class(row, tasks->host.settings);
    append(tasks, task);
    loop_timer_set(tasks->tick, TICK_MS);
    if (row == NULL) {
        task_fail(task, reason_find("unknown_type"), "fetch", "this worker does not know the type");
        return;
    }
    if (row->profile == PROFILE_NONE) {
        task_end(task); /* done, but the channel did not take the answer */
        return;
    }
    if (task->class == CLASS_NETWORK && choose_remote(task) != 0) {
        task_fail(task, reason_find("unknown_type"), "fetch", "this worker asks no service for the type");
        return;
    }
    task->limits = limits_of(order, row);
    task->cost = admission_cost(order->input_bytes + parts_bytes(order), task->limits.memory_bytes);
    tasks_advance(tasks);
}

static bool is_overloaded(const struct tasks *tasks) {
    return tasks_held(tasks) >= tasks->admission.slots + tasks->admission.prefetch + MOST_SURPLUS;
}

void tasks_accept(struct tasks *tasks, const struct message_task *order) {
    const struct processor_row *row = processor_find(order->type);
    const char *refusal = tasks->draining ? "drain" : is_overloaded(tasks) ? "overload" : NULL;

    if (refusal != NULL)
        (void)task_refuse(tasks, order, refusal);
    else if (row != NULL && row->profile == PROFILE_NONE && task_done_at_once(tasks, order) == 0)
        tasks->host.changed(tasks->host.context);
    else
        hold(tasks, order, row);
}

/* Answers with a release, now or when its runner is gone. */
static void give_back(struct task *task, const char *reason) {
    if (task->state >= TASK_ENDED)
        return;
    task->release = reason;
    if (task->state == TASK_RUNNING)
        nursery_client_cancel(task->tasks->host.nursery, task->id);
    else
        task_end(task);
}

void tasks_cancel(struct tasks *tasks, const char *job, uint64_t epoch) {
    for (struct task *task = tasks->first; task != NULL; task = task->next) {
        if (strcmp(task->order.job, job) == 0 && (epoch == 0 || epoch == task->order.epoch))
            give_back(task, "cancelled");
    }
}

void tasks_drain(struct tasks *tasks) {
    tasks->draining = true;
    for (struct task *task = tasks->first; task != NULL; task = task->next) {
        if (task->state < TASK_RUNNING)
            give_back(task, "drain");
    }
}

void tasks_abandon(struct tasks *tasks) {
    tasks->draining = true;
    for (struct task *task = tasks->first; task != NULL; task = task->next)
        give_back(task, "drain");
}

void tasks_answer_again(struct tasks *tasks) {
    for (struct task *task = tasks->first; task != NULL; task = task->next) {
        if (task->state >= TASK_ENDED)
            task_answer(task);
    }
}

void tasks_runner_ended(struct tasks *tasks, const struct nursery_end *end) {
    for (struct task *task = tasks->first; task != NULL; task = task->next) {
        if (task->id == end->id && task->state == TASK_RUNNING) {
            task_judge(task, end);
            return;
        }
    }
    log_warn("document=%llu state=unknown", (unsigned long long)end->id);
}

void tasks_describe(const struct tasks *tasks, char *target, size_t size) {
    int64_t now = clock_monotonic_ms();
    size_t used = 0;

    target[0] = '\0';
    for (const struct task *task = tasks->first; task != NULL; task = task->next) {
        if (task->state != TASK_RUNNING && task->state != TASK_CALLING)
            continue;
        if (text_format(target + used, size - used, "%s%s %lld s", used > 0 ? ", " : "", task->order.type,
                        (long long)((now - task->step_started_ms) / 1000)) != 0) {
            target[used] = '\0';
            return;
        }
        used += strlen(target + used);
    }
}

uint64_t tasks_held(const struct tasks *tasks) {
    uint64_t held = 0;

    for (int state = 0; state < TASK_ANSWERED; state++)
        held += tasks->counts[state];
    return held;
}

void tasks_credit(const struct tasks *tasks, struct message_credit *credit) {
    uint64_t waiting = tasks->counts[TASK_WAITING] - tasks->network_waiting;

    credit->tasks = tasks->draining ? 0 : admission_credit(&tasks->admission, waiting);
    credit->memory_bytes = admission_free_bytes(&tasks->admission);
    credit->light = tasks->draining ? 0 : LIGHT_TASKS;
    credit->network = tasks->draining ? 0 : services_room(tasks->host.settings);
}
