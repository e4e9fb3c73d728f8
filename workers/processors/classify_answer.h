/* SPDX-License-Identifier: MIT
 * What a classification says, and of what: shared by the runner's classifier and by the worker that asks a chat server.
 * Parameters come from the gateway's job; `model` is put in by the scheduler as the task is claimed. */
#ifndef WORKERS_PROCESSORS_CLASSIFY_ANSWER_H
#define WORKERS_PROCESSORS_CLASSIFY_ANSWER_H

#include <jansson.h>

#include "proto/classify.h"
#include "workers/processor.h"

struct classify_label {
    const char *name, *description; /* borrowed from the parameters */
};

struct classify_task {
    json_t *parameters; /* owned */
    struct classify_label labels[CLASSIFY_MAX_LABELS];
    size_t count;
    const json_t *model; /* {"labels": […], "weights": "…"}; NULL: none */
    unsigned least;      /* percent: below it a text is unclassified */
};

/* 0, or -1 after processor_fail; classify_task_clear in either case. */
int classify_task_read(struct processor_context *context, struct classify_task *task);
void classify_task_clear(struct classify_task *task);

/* What was found. */
struct classify_finding {
    const char *backend, *method; /* "embedded", "chat"; "examples", "descriptions", "model", "none" */
    struct classify_scores scores;
    bool known;        /* there are scores */
};

/* Writes the output and tells the facts: label (index, absent: unclassified), confidence, score_<index>. */
int classify_answer_write(struct processor_context *context, const struct classify_task *task,
                          const struct classify_finding *finding);

#endif
