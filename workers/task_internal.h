/* SPDX-License-Identifier: MIT
 * Shared by the parts of the tasks module: tasks.c (the list, admission, cancel and drain), task_steps.c (fetch,
 * run, store), task_call.c (ask a service) and task_answer.c (copies and answers). */
#ifndef WORKERS_TASK_INTERNAL_H
#define WORKERS_TASK_INTERNAL_H

#include "workers/remote.h"
#include "workers/task.h"
#include "workers/transfer.h"

struct task;
struct task_call;

struct task_output {
    struct task *task;
    struct http_transfer *transfer;
    size_t index; /* in the row's outputs */
    bool made;
    char sha256[65];
    struct transfer_target target; /* of a copy */
    struct envelope_source *sealed; /* NULL: it is stored as it is */
    uint64_t stored_bytes;
    char stored_sha256[65];
};

struct task_part {
    struct task *task;
    struct http_transfer *transfer;
    struct transfer_target target; /* its place in the document's parts */
};

struct task {
    struct tasks *tasks;
    struct task *previous, *next;
    enum task_state state;
    uint64_t id;                /* the nursery's */
    struct message_task order;  /* texts are owned */
    const struct processor_row *row;
    enum processor_class class;
    const struct remote *remote;         /* CLASS_NETWORK; else NULL */
    const struct processor_row *prepare; /* a runner's part that is still to come, or under way; NULL: none */
    struct task_call *call;
    struct nursery_limits limits;
    uint64_t cost;
    bool charged;
    struct document document;
    struct http_transfer *fetch;
    struct transfer_target target; /* of the fetch */
    struct task_part parts[MESSAGE_MAX_PARTS]; /* as in order.parts */
    size_t fetches_pending;
    struct task_output outputs[MESSAGE_MAX_OUTPUTS]; /* as in order.outputs */
    size_t stores_pending;

    const struct reason_row *reason; /* NULL: done */
    const char *stage;
    const char *release; /* not NULL: release with this word instead of a result */
    char detail[256];
    struct runner_result result;
    char *report; /* of a service, as JSON: metrics.report; NULL: none */
    char calls[MESSAGE_CALLS_SIZE]; /* of models: chat_note_call */
    char input_sha256[65];
    uint64_t input_bytes, cpu_ms, peak_rss_bytes, fetch_ms, parse_ms, store_ms;
    int64_t step_started_ms, answered_ms;
    uint64_t told_done;
};

struct tasks {
    struct tasks_host host;
    struct admission admission;
    struct task *first, *last;
    uint64_t counts[TASK_STATE_COUNT];
    uint64_t network_waiting, network_held; /* of CLASS_NETWORK: TASK_WAITING; begun and not ended */
    uint64_t next_id;
    bool draining;
    struct loop_timer *tick;
};

/* task_answer.c */
struct task *task_new(struct tasks *tasks, const struct message_task *order);
void task_free(struct task *task);
/* Tries to give the answer to the channel; on success the task is answered (or freed, if it was released). */
void task_answer(struct task *task);
int task_send_progress(struct task *task);
/* Answers without ever holding: RELEASE with `reason`. -1 when the channel takes nothing. */
int task_refuse(struct tasks *tasks, const struct message_task *order, const char *reason);
/* RESULT done for a task that needs no runner. */
int task_done_at_once(struct tasks *tasks, const struct message_task *order);

/* task_steps.c */
void task_begin(struct task *task); /* WAITING: fetches, or goes on to READY */
void task_run(struct task *task);   /* READY: hands it to the nursery; stays READY when that must wait */
void task_judge(struct task *task, const struct nursery_end *end);
/* The service's part went well, or failed for this reason: stores the outputs. */
void task_called(struct task *task, const struct reason_row *reason);
void task_stop_transfers(struct task *task);
void task_fail(struct task *task, const struct reason_row *reason, const char *stage, const char *detail);
void task_end(struct task *task); /* drops its bytes, returns its charge, answers */

/* task_call.c */
void task_call(struct task *task);      /* READY, nothing left to prepare: asks the service */
void task_call_drop(struct task *task); /* forgets the service's part, if there is one */

/* tasks.c */
void task_move(struct task *task, enum task_state state);
void tasks_advance(struct tasks *tasks); /* begins and runs what there is room for */

#endif
