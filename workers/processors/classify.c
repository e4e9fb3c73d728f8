/* SPDX-License-Identifier: MIT
 * Which of its tenant's labels a text has. The input is text that another processor made of the file; with examples of
 * the tenant's there is a model among the parameters (proto/classify.h), without it the words of the labels'
 * descriptions decide. */
#include <stdlib.h>
#include <string.h>

#include "lib/memory.h"
#include "workers/processors/classify_answer.h"

/* The model's labels may be others than today's: by name. */
static bool use_model(const struct classify_task *task, const struct classify_words *words,
                      struct classify_scores *scores) {
    const json_t *names = json_object_get(task->model, "labels");
    const char *weights = json_string_value(json_object_get(task->model, "weights"));
    struct classify_model *model = weights == NULL ? NULL : classify_model_parse(weights, json_array_size(names));
    struct classify_scores raw;
    double sum = 0;
    bool known = model != NULL && classify_score(model, words, &raw) == 0;

    *scores = (struct classify_scores){.best = 0};
    for (size_t i = 0; known && i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        for (size_t label = 0; name != NULL && label < task->count; label++)
            if (strcmp(task->labels[label].name, name) == 0)
                scores->shares[label] = raw.shares[i];
    }
    for (size_t label = 0; known && label < task->count; label++) {
        sum += scores->shares[label];
        scores->best = scores->shares[label] > scores->shares[scores->best] ? label : scores->best;
    }
    for (size_t label = 0; sum > 0 && label < task->count; label++)
        scores->shares[label] /= sum;
    classify_model_free(model);
    return sum > 0;
}

static bool use_descriptions(const struct classify_task *task, const struct classify_words *words,
                             struct classify_scores *scores) {
    struct classify_words *descriptions = memory_new_array(task->count, sizeof *descriptions);
    int status;

    for (size_t i = 0; i < task->count; i++) {
        char *text = memory_format("%s %s", task->labels[i].name, task->labels[i].description);
        classify_words_read(&descriptions[i], text, strlen(text));
        free(text);
    }
    status = classify_match(descriptions, task->count, words, scores);
    free(descriptions);
    return status == 0;
}

static int run(struct processor_context *context) {
    static struct classify_words words;
    struct classify_finding finding = {.backend = "embedded", .method = "none"};
    struct classify_task task;
    int status = classify_task_read(context, &task);

    if (status == 0) {
        classify_words_read(&words, (const char *)context->input,
                            context->input_size < CLASSIFY_TEXT_MOST ? context->input_size : CLASSIFY_TEXT_MOST);
        if (task.model != NULL && use_model(&task, &words, &finding.scores)) {
            finding.known = true;
            finding.method = "examples";
        } else if (use_descriptions(&task, &words, &finding.scores)) {
            finding.known = true;
            finding.method = "descriptions";
        }
        status = classify_answer_write(context, &task, &finding);
    }
    classify_task_clear(&task);
    return status;
}

const struct processor processor_classify = {.name = "classify", .run = run};
