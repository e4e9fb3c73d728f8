/* SPDX-License-Identifier: MIT
 * Rendering of states and counters. A full buffer cuts the text; its owner sees that by its size. */
#include "supervisor/report.h"

#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/text.h"
#include <string.h>
#include <unistd.h>

typedef void child_fn(const struct child *child, struct buffer *text);

static void each_child(const struct supervisor *supervisor, child_fn *fn, struct buffer *text) {
    for (unsigned i = 0; i < SERVICE_COUNT; i++) {
        for (unsigned j = 0; j < CHILDREN_MAX; j++) {
            if (supervisor->children[i][j] != NULL)
                fn(supervisor->children[i][j], text);
        }
    }
}

static void append_json_text(struct buffer *text, const char *value) {
    (void)buffer_append_text(text, "\"");
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        if (c == '"' || c == '\\')
            (void)buffer_append_format(text, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f) /* notes are cleaned to ASCII */
            (void)buffer_append_format(text, "\\u%04x", c);
        else
            (void)buffer_append(text, value, 1);
    }
    (void)buffer_append_text(text, "\"");
}

static void append_pair(struct buffer *text, const char *name, const char *value) {
    (void)buffer_append_format(text, "\"%s\":", name);
    append_json_text(text, value);
    (void)buffer_append_text(text, ",");
}

/* Ends a list whose items are each followed by a comma. */
static void end_list(struct buffer *text, const char *end) {
    if (text->size > 0 && text->data[text->size - 1] == ',')
        text->data[--text->size] = '\0';
    (void)buffer_append_text(text, end);
}

static double seconds_since(int64_t since_ms) {
    return (double)(clock_monotonic_ms() - since_ms) / 1000.0;
}

static void append_number(struct buffer *text, const struct counter_row *row, uint64_t value) {
    if (row->kind == COUNTER_SUM || row->kind == COUNTER_SECONDS)
        (void)buffer_append_format(text, "%llu.%06llu", (unsigned long long)(value / 1000000),
                                   (unsigned long long)(value % 1000000));
    else
        (void)buffer_append_format(text, "%llu", (unsigned long long)value);
}

static void append_child(const struct child *child, struct buffer *text) {
    const struct run *run = child->run;

    (void)buffer_append_text(text, "{");
    append_pair(text, "name", child->service->name);
    (void)buffer_append_format(text, "\"index\":%u,", child->index);
    append_pair(text, "state", child_state_names[child->state]);
    (void)buffer_append_format(text, "\"pid\":%d,\"restarts\":%u,", run != NULL ? (int)run->pid : 0,
                               child->restarts);
    if (run != NULL) {
        (void)buffer_append_format(text, "\"generation\":%u,\"uptime_seconds\":%.3f,", run->generation,
                                   seconds_since(run->started_ms));
        if (run->is_ready)
            (void)buffer_append_format(text, "\"ready_after_ms\":%lld,",
                                       (long long)(run->ready_ms - run->started_ms));
    }
    if (child->last_end[0] != '\0')
        append_pair(text, "last_end", child->last_end);
    if (run != NULL && run->counters != NULL && counters_note(run->counters)[0] != '\0')
        append_pair(text, "note", counters_note(run->counters));
    (void)buffer_append_text(text, "\"counters\":{");
    for (enum counter i = 0; i < COUNT_LAST; i++) {
        uint64_t value = child_counter(child, i);
        if (value == 0)
            continue;
        append_json_text(text, counter_rows[i].name);
        (void)buffer_append_text(text, ":");
        append_number(text, &counter_rows[i], value);
        (void)buffer_append_text(text, ",");
    }
    end_list(text, "}},");
}

void report_stats(const struct supervisor *supervisor, struct buffer *text) {
    char node[256] = "";

    if (supervisor->configuration.settings.node != NULL)
        (void)text_copy(node, sizeof node, supervisor->configuration.settings.node);
    else
        (void)gethostname(node, sizeof node - 1);
    (void)buffer_append_text(text, "{");
    append_pair(text, "version", FILEMILL_VERSION);
    append_pair(text, "node", node);
    append_pair(text, "status", supervisor_health(supervisor));
    (void)buffer_append_format(text, "\"pid\":%d,\"generation\":%u,\"uptime_seconds\":%.3f,", (int)getpid(),
                               supervisor->host.generation, seconds_since(supervisor->started_ms));
    (void)buffer_append_format(text, "\"failed_services\":%u,\"services\":[", supervisor_failed(supervisor));
    each_child(supervisor, append_child, text);
    end_list(text, "]}\n");
}

void report_health(const struct supervisor *supervisor, struct buffer *text) {
    (void)buffer_append_format(text, "{\"status\":\"%s\",\"failed_services\":%u}\n",
                               supervisor_health(supervisor), supervisor_failed(supervisor));
}

static void append_state(const struct child *child, struct buffer *text) {
    (void)buffer_append_format(text,
                               "filemill_service_state{service=\"%s\",instance=\"%u\",state=\"%s\"} 1\n",
                               child->service->name, child->index, child_state_names[child->state]);
}

static void append_up(const struct child *child, struct buffer *text) {
    bool up = child->state == CHILD_READY || child->state == CHILD_DONE;

    (void)buffer_append_format(text, "filemill_service_up{service=\"%s\",instance=\"%u\"} %d\n",
                               child->service->name, child->index, up ? 1 : 0);
}

static void append_restarts(const struct child *child, struct buffer *text) {
    (void)buffer_append_format(text, "filemill_service_restarts_total{service=\"%s\",instance=\"%u\"} %u\n",
                               child->service->name, child->index, child->restarts);
}

static void append_head(struct buffer *text, const char *name, size_t name_size, const char *kind,
                        const char *help) {
    (void)buffer_append_format(text, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)name_size, name, help,
                               (int)name_size, name, kind);
}

/* One line: the labels of the row's own name come first, then whose value it is. */
static void append_value(const struct child *child, enum counter counter, struct buffer *text) {
    const char *name = counter_rows[counter].name;
    size_t bare = strcspn(name, "{");
    size_t labels = name[bare] == '{' ? strlen(name) - bare - 2 : 0;

    (void)buffer_append_format(text, "%.*s{%.*s%sservice=\"%s\",instance=\"%u\"} ", (int)bare, name,
                               (int)labels, labels > 0 ? name + bare + 1 : "", labels > 0 ? "," : "",
                               child->service->name, child->index);
    append_number(text, &counter_rows[counter], child_counter(child, counter));
    (void)buffer_append_text(text, "\n");
}

static bool is_supervisors(enum counter counter) {
    return counter == COUNT_SUPERVISOR_FAILED || counter == COUNT_SUPERVISOR_STRANGERS;
}

static void append_counters(const struct supervisor *supervisor, struct buffer *text) {
    static const char *const kinds[] = {[COUNTER_TOTAL] = "counter",
                                        [COUNTER_GAUGE] = "gauge",
                                        [COUNTER_BUCKET] = "histogram",
                                        [COUNTER_SUM] = "histogram",
                                        [COUNTER_SECONDS] = "counter"};
    size_t last_size = 0;
    const char *last = "";

    for (enum counter i = 0; i < COUNT_LAST; i++) {
        const char *name = counter_rows[i].name;
        size_t size = counter_family_size(&counter_rows[i]);
        if (is_supervisors(i))
            continue;
        if (size != last_size || strncmp(name, last, size) != 0)
            append_head(text, name, size, kinds[counter_rows[i].kind], counter_rows[i].help);
        last = name;
        last_size = size;
        for (unsigned j = 0; j < SERVICE_COUNT; j++) {
            for (unsigned k = 0; k < CHILDREN_MAX && (services[j].needs & NEEDS_COUNTERS) != 0; k++) {
                if (supervisor->children[j][k] != NULL)
                    append_value(supervisor->children[j][k], i, text);
            }
        }
    }
}

void report_metrics(const struct supervisor *supervisor, struct buffer *text) {
    static const struct {
        const char *name;
        const char *kind;
        const char *help;
        child_fn *fn;
    } families[] = {
        {"filemill_service_up", "gauge", "Whether a process serves, or has done what it was for.", append_up},
        {"filemill_service_state", "gauge", "State of a process, as its label says.", append_state},
        {"filemill_service_restarts_total", "counter", "Deaths that nobody asked for.", append_restarts},
    };
    enum counter own[] = {COUNT_SUPERVISOR_FAILED, COUNT_SUPERVISOR_STRANGERS};
    uint64_t values[] = {supervisor_failed(supervisor), supervisor->strangers};

    append_head(text, "filemill_build_info", strlen("filemill_build_info"), "gauge",
                "The version that runs.");
    (void)buffer_append_format(text, "filemill_build_info{version=\"%s\"} 1\n", FILEMILL_VERSION);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        const struct counter_row *row = &counter_rows[own[i]];
        append_head(text, row->name, strlen(row->name), row->kind == COUNTER_TOTAL ? "counter" : "gauge",
                    row->help);
        (void)buffer_append_format(text, "%s %llu\n", row->name, (unsigned long long)values[i]);
    }
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        append_head(text, families[i].name, strlen(families[i].name), families[i].kind, families[i].help);
        each_child(supervisor, families[i].fn, text);
    }
    append_counters(supervisor, text);
}
