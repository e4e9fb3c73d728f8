/* SPDX-License-Identifier: MIT
 * Reading a classification's parameters; writing its output and facts. */
#include "workers/processors/classify_answer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/text.h"
#include "workers/processors/parameters.h"

#define LEAST_DEFAULT 35
#define NAME_MAX_BYTES 256
#define DESCRIPTION_MAX_BYTES 2000

static int read_label(const json_t *item, struct classify_label *label) {
    label->name = json_string_value(json_object_get(item, "name"));
    label->description = json_string_value(json_object_get(item, "description"));
    if (label->description == NULL)
        label->description = "";
    return label->name != NULL && label->name[0] != '\0' && strlen(label->name) <= NAME_MAX_BYTES &&
                   strlen(label->description) <= DESCRIPTION_MAX_BYTES
               ? 0
               : -1;
}

int classify_task_read(struct processor_context *context, struct classify_task *task) {
    const json_t *labels, *least;

    *task = (struct classify_task){.least = LEAST_DEFAULT, .parameters = parameters_parse(context)};
    if (task->parameters == NULL)
        return -1;
    labels = json_object_get(task->parameters, "labels");
    least = json_object_get(task->parameters, "least");
    if (json_array_size(labels) < 2 || json_array_size(labels) > CLASSIFY_MAX_LABELS)
        return processor_fail(context, "bad_parameters", "labels: expected 2 to %d", CLASSIFY_MAX_LABELS);
    if (json_is_integer(least) && json_integer_value(least) >= 0 && json_integer_value(least) <= 100)
        task->least = (unsigned)json_integer_value(least);
    for (; task->count < json_array_size(labels); task->count++)
        if (read_label(json_array_get(labels, task->count), &task->labels[task->count]) != 0)
            return processor_fail(context, "bad_parameters", "labels: a name is missing, or too long");
    task->model = json_object_get(task->parameters, "model");
    if (!json_is_object(task->model))
        task->model = NULL;
    return 0;
}

void classify_task_clear(struct classify_task *task) {
    json_decref(task->parameters);
    task->parameters = NULL;
}

static uint64_t share_of(double share) {
    return share > 0 ? (uint64_t)lround(share * CLASSIFY_SCORE_ONE) : 0;
}

static void tell(struct processor_context *context, const struct classify_task *task,
                 const struct classify_finding *finding, bool decided) {
    char name[PROCESSOR_FACT_NAME_SIZE];

    if (decided)
        processor_fact(context, -1, "label", finding->scores.best);
    processor_fact(context, -1, "confidence",
                   finding->known ? share_of(finding->scores.shares[finding->scores.best]) : 0);
    for (size_t i = 0; i < task->count && finding->known; i++) {
        (void)text_format(name, sizeof name, "score_%zu", i);
        processor_fact(context, -1, name, share_of(finding->scores.shares[i]));
    }
}

int classify_answer_write(struct processor_context *context, const struct classify_task *task,
                          const struct classify_finding *finding) {
    const double share = finding->known ? finding->scores.shares[finding->scores.best] : 0;
    const bool decided = finding->known && share * 100 >= task->least;
    json_t *scores = json_object();
    json_t *answer;
    char *text;
    int status;

    for (size_t i = 0; i < task->count && finding->known; i++)
        json_object_set_new(scores, task->labels[i].name,
                            json_real((double)share_of(finding->scores.shares[i]) / CLASSIFY_SCORE_ONE));
    answer = json_pack("{s:s, s:f, s:o, s:s, s:s}", "label",
                       decided ? task->labels[finding->scores.best].name : "unclassified", "confidence",
                       (double)share_of(share) / CLASSIFY_SCORE_ONE, "scores", scores, "backend", finding->backend,
                       "method", finding->method);
    text = answer == NULL ? NULL : json_dumps(answer, JSON_COMPACT | JSON_REAL_PRECISION(6));
    json_decref(answer);
    if (text == NULL)
        return processor_fail(context, "engine_failed", "the answer can't be written");
    tell(context, task, finding, decided);
    status = context->outputs[0] < 0 ? 0 : processor_write(context, 0, text, strlen(text));
    free(text);
    processor_progress(context, 1, 1);
    return status;
}
