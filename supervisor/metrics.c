/* SPDX-License-Identifier: MIT
 * Counters are read when all that were asked have answered, so that all samples are of about one moment. */
#include "supervisor/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buffer.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "supervisor/report.h"

#define REPORT_MAX ((size_t)4 * 1024 * 1024)
#define ASK_MS 3000
#define FAMILY_HEAD "# HELP "

struct collection;

/* One who is asked, and what it said: lines of samples, each ended by a bar; families begin with "# HELP". */
struct source {
    struct collection *collection;
    unsigned index;
    char *samples; /* NULL: none came, or words */
};

struct collection {
    struct supervisor *supervisor;
    metrics_fn *done;
    void *context;
    size_t waiting;
    struct source scheduler;
    size_t gateway_count;
    struct source gateways[CHILDREN_MAX];
};

static void append_line(struct buffer *text, const char *line, size_t size) {
    (void)buffer_append(text, line, size);
    (void)buffer_append_text(text, "\n");
}

static void append_samples(struct buffer *text, const char *samples) {
    for (size_t size; samples != NULL && *samples != '\0'; samples += size + (samples[size] == '|')) {
        size = strcspn(samples, "|");
        append_line(text, samples, size);
    }
}

/* The n-th family of a source; NULL if it has no more. */
static const char *family_at(const char *samples, size_t number) {
    const char *at = samples;

    while (at != NULL && number-- > 0) {
        at = strstr(at + 1, "|" FAMILY_HEAD);
        at = at == NULL ? NULL : at + 1;
    }
    return at;
}

/* The samples of one family, each with whose it is as its first label; with its two lines of head, if wanted.
 */
static void append_family(struct buffer *text, const char *family, unsigned index, bool with_head) {
    size_t size;

    for (const char *line = family; *line != '\0'; line += size + (line[size] == '|')) {
        size_t bare = strcspn(line, "{|");
        size = strcspn(line, "|");
        if (line != family && text_starts_with(line, FAMILY_HEAD))
            return;
        if (line[0] == '#' && with_head) {
            append_line(text, line, size);
        } else if (line[0] != '#' && line[bare] == '{') {
            (void)buffer_append(text, line, bare + 1);
            (void)buffer_append_format(text, "service=\"gateway\",instance=\"%u\",", index);
            append_line(text, line + bare + 1, size - bare - 1);
        }
    }
}

/* A family stands together, whichever gateway its samples come from. All gateways tell the same families. */
static void append_gateways(struct buffer *text, const struct collection *collection) {
    bool more = true;

    for (size_t number = 0; more; number++) {
        more = false;
        for (size_t i = 0; i < collection->gateway_count; i++) {
            const char *family = family_at(collection->gateways[i].samples, number);
            if (family != NULL)
                append_family(text, family, collection->gateways[i].index, !more);
            more = more || family != NULL;
        }
    }
}

static void finish(struct collection *collection) {
    struct buffer text;

    buffer_init(&text, REPORT_MAX);
    report_metrics(collection->supervisor, &text);
    append_samples(&text, collection->scheduler.samples);
    append_gateways(&text, collection);
    collection->done(collection->context, text.data != NULL ? text.data : "");
    buffer_clear(&text);
    free(collection->scheduler.samples);
    for (size_t i = 0; i < collection->gateway_count; i++)
        free(collection->gateways[i].samples);
    free(collection);
}

static void on_answer(void *context, const char *samples) {
    struct source *source = context;

    if (samples != NULL && text_starts_with(samples, FAMILY_HEAD))
        source->samples = memory_copy_text(samples);
    if (--source->collection->waiting == 0)
        finish(source->collection);
}

static void ask(struct source *source, const struct child *child) {
    if (child != NULL && child->run != NULL && child->run->control != NULL &&
        control_ask(child->run->control, "metrics", ASK_MS, on_answer, source) == 0)
        source->collection->waiting++;
}

void metrics_collect(struct supervisor *supervisor, metrics_fn *done, void *context) {
    struct collection *collection = memory_new(sizeof *collection);

    *collection = (struct collection){.supervisor = supervisor, .done = done, .context = context};
    collection->scheduler.collection = collection;
    ask(&collection->scheduler, supervisor->children[SERVICE_SCHEDULER][0]);
    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        struct source *source = &collection->gateways[collection->gateway_count];
        if (supervisor->children[SERVICE_GATEWAY][i] == NULL)
            continue;
        *source = (struct source){.collection = collection, .index = i};
        collection->gateway_count++;
        ask(source, supervisor->children[SERVICE_GATEWAY][i]);
    }
    if (collection->waiting == 0)
        finish(collection);
}
