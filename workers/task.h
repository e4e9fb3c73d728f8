/* SPDX-License-Identifier: MIT
 * The tasks that a worker holds, from the scheduler's TASK to the RESULT or RELEASE that answers it: exactly
 * one of the two for each. */
#ifndef WORKERS_TASK_H
#define WORKERS_TASK_H

#include "http/client.h"
#include "proto/message.h"
#include "workers/admission.h"
#include "workers/document.h"
#include "workers/nursery_client.h"
#include "workers/service.h"
#include <stdbool.h>
#include <stdint.h>

enum task_state {
    TASK_WAITING,  /* accepted, nothing done: over the budget */
    TASK_FETCHING, /* input on its way */
    TASK_READY,    /* input here, no slot free */
    TASK_RUNNING,  /* in a runner */
    TASK_CALLING,  /* a service is asked */
    TASK_STORING,  /* outputs on their way */
    TASK_ENDED,    /* answer not yet given to the channel */
    TASK_ANSWERED, /* kept for a scheduler that may have restarted before it read the answer */
    TASK_STATE_COUNT
};

struct tasks;

struct tasks_host {
    struct loop *loop;
    const struct settings *settings;
    struct http_client *http;
    struct nursery_client *nursery;
    struct services *services;
    /* Gives a message to the scheduler: 0, or -1 when it can't be taken now. */
    int (*send)(void *context, const struct message *message);
    /* Something ended or began: credit may have changed. */
    void (*changed)(void *context);
    void *context;
};

struct tasks *tasks_new(const struct tasks_host *host, uint64_t slots);
void tasks_free(struct tasks *tasks); /* forgets all, answers none */

/* Takes a copy. Tasks that need no runner are answered at once. */
void tasks_accept(struct tasks *tasks, const struct message_task *task);
/* Kills and releases; epoch 0: whatever epoch is here. Unknown jobs are ignored. */
void tasks_cancel(struct tasks *tasks, const char *job, uint64_t epoch);
/* Releases what has not begun to run and refuses new tasks. */
void tasks_drain(struct tasks *tasks);
/* Kills what is left and releases it. */
void tasks_abandon(struct tasks *tasks);
/* Sends again what a new scheduler may not have. */
void tasks_answer_again(struct tasks *tasks);

void tasks_runner_ended(struct tasks *tasks, const struct nursery_end *end);

/* What runs, for people: "ocr 12 s, thumbnail 0 s"; cut where it does not fit. "" when nothing does. */
void tasks_describe(const struct tasks *tasks, char *target, size_t size);
uint64_t tasks_held(const struct tasks *tasks); /* without the answered ones */
void tasks_credit(const struct tasks *tasks, struct message_credit *credit);

#endif
