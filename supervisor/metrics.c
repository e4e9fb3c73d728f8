/* SPDX-License-Identifier: MIT
 * Counters are read when the scheduler has answered, so that all samples are of about one moment. */
#include "supervisor/metrics.h"

#include <stdlib.h>

#include "lib/buffer.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "supervisor/report.h"

#define REPORT_MAX ((size_t)4 * 1024 * 1024)
#define ASK_MS 3000

struct collection {
    struct supervisor *supervisor;
    metrics_fn *done;
    void *context;
};

/* The scheduler answers with one line of samples, each ended by a bar, or with words. */
static void append_samples(struct buffer *text, const char *samples) {
    if (samples == NULL || !text_starts_with(samples, "# "))
        return;
    size_t begun = text->size;
    if (buffer_append_text(text, samples) != 0)
        return;
    for (size_t i = begun; i < text->size; i++) {
        if (text->data[i] == '|')
            text->data[i] = '\n';
    }
}

static void on_answer(void *context, const char *samples) {
    struct collection *collection = context;
    struct buffer text;

    buffer_init(&text, REPORT_MAX);
    report_metrics(collection->supervisor, &text);
    append_samples(&text, samples);
    collection->done(collection->context, text.data != NULL ? text.data : "");
    buffer_clear(&text);
    free(collection);
}

void metrics_collect(struct supervisor *supervisor, metrics_fn *done, void *context) {
    const struct child *scheduler = supervisor->children[SERVICE_SCHEDULER][0];
    struct collection *collection = memory_new(sizeof *collection);

    *collection = (struct collection){.supervisor = supervisor, .done = done, .context = context};
    if (scheduler == NULL || scheduler->run == NULL || scheduler->run->control == NULL ||
        control_ask(scheduler->run->control, "metrics", ASK_MS, on_answer, collection) != 0)
        on_answer(collection, NULL);
}
