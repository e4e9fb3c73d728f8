/* SPDX-License-Identifier: MIT
 * Counts by route; see measure.h. One row per route of the table, and one for paths that are none. */
#include "gateway/measure.h"

#include "lib/control.h"
#include "lib/memory.h"
#include "lib/text.h"
#include <stdlib.h>
#include <string.h>

#define CLASS_COUNT 4
#define TEXT_MAX (CONTROL_LINE_MAX - 4096)

/* Upper bounds in microseconds and as labels; the last is infinite. */
static const struct {
    int64_t most_us;
    const char *label;
} bounds[] = {{5000, "0.005"},  {25000, "0.025"}, {100000, "0.1"},    {500000, "0.5"},
              {2500000, "2.5"}, {10000000, "10"}, {INT64_MAX, "+Inf"}};
#define BOUND_COUNT (sizeof bounds / sizeof bounds[0])

struct measure {
    uint64_t classes[CLASS_COUNT]; /* 2xx to 5xx */
    uint64_t buckets[BOUND_COUNT]; /* each alone, not summed */
    uint64_t timed, sum_us;
};

struct measures {
    struct control *control; /* NULL: nobody asks */
    size_t count;
    struct measure rows[]; /* the last is of no route */
};

static void on_question(void *context, uint64_t id, const char *words) {
    struct measures *measures = context;
    struct buffer text;

    if (strcmp(words, "metrics") != 0) {
        control_answer(measures->control, id, "error not understood");
        return;
    }
    buffer_init(&text, TEXT_MAX);
    measures_append(measures, &text);
    control_answer(measures->control, id, text.size > 0 ? text.data : "");
    buffer_clear(&text);
}

struct measures *measures_new(struct loop *loop) {
    size_t count = routes_count() + 1;
    struct measures *measures = memory_new(sizeof *measures + count * sizeof measures->rows[0]);

    measures->count = count;
    measures->control = control_attach(loop, on_question, measures);
    return measures;
}

void measures_free(struct measures *measures) {
    control_free(measures->control);
    free(measures);
}

static struct measure *find(struct measures *measures, const struct route *route) {
    size_t i = 0;

    while (i + 1 < measures->count && (route == NULL || routes_at(i) != route))
        i++;
    return &measures->rows[i];
}

void measures_note(struct measures *measures, const struct route *route, int status, int64_t elapsed_us) {
    struct measure *row = find(measures, route);
    size_t bound = 0;

    if (status < 200 || status > 599)
        return; /* the client was gone first */
    row->classes[status / 100 - 2]++;
    if (elapsed_us < 0)
        return;
    while (elapsed_us > bounds[bound].most_us)
        bound++;
    row->buckets[bound]++;
    row->timed++;
    row->sum_us += (uint64_t)elapsed_us;
}

static void append_head(struct buffer *text, const char *name, const char *kind, const char *help) {
    (void)buffer_append_format(text, "# HELP %s %s|# TYPE %s %s|", name, help, name, kind);
}

/* The labels that name a row: method="GET",route="/v1/files/:id" */
static const char *labels_of(const struct measures *measures, size_t at, char *target, size_t size) {
    const struct route *route = at + 1 < measures->count ? routes_at(at) : NULL;

    (void)text_format(target, size, "method=\"%s\",route=\"%s\"", route != NULL ? route->method : "any",
                      route != NULL ? route->pattern : "none");
    return target;
}

static void append_counts(const struct measures *measures, struct buffer *text) {
    char labels[200];

    append_head(text, "filemill_http_route_requests_total", "counter",
                "HTTP requests answered, by route and class of status.");
    for (size_t i = 0; i < measures->count; i++) {
        for (size_t class = 0; class < CLASS_COUNT; class ++) {
            if (measures->rows[i].classes[class] > 0)
                (void)buffer_append_format(text,
                                           "filemill_http_route_requests_total{%s,class=\"%zuxx\"} %llu|",
                                           labels_of(measures, i, labels, sizeof labels), class + 2,
                                           (unsigned long long)measures->rows[i].classes[class]);
        }
    }
}

static void append_durations(const struct measures *measures, struct buffer *text) {
    static const char name[] = "filemill_http_route_seconds";
    char labels[200];

    append_head(text, name, "histogram", "Time to answer HTTP requests, by route; event streams left out.");
    for (size_t i = 0; i < measures->count; i++) {
        const struct measure *row = &measures->rows[i];
        uint64_t sum = 0;
        if (row->timed == 0)
            continue;
        (void)labels_of(measures, i, labels, sizeof labels);
        for (size_t j = 0; j < BOUND_COUNT; j++) {
            sum += row->buckets[j];
            (void)buffer_append_format(text, "%s_bucket{%s,le=\"%s\"} %llu|", name, labels, bounds[j].label,
                                       (unsigned long long)sum);
        }
        (void)buffer_append_format(text, "%s_sum{%s} %llu.%06llu|%s_count{%s} %llu|", name, labels,
                                   (unsigned long long)(row->sum_us / 1000000),
                                   (unsigned long long)(row->sum_us % 1000000), name, labels,
                                   (unsigned long long)row->timed);
    }
}

void measures_append(const struct measures *measures, struct buffer *text) {
    append_counts(measures, text);
    append_durations(measures, text);
}
