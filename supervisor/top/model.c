/* SPDX-License-Identifier: MIT
 * Sums over services, differences between samples, quantiles of histograms. */
#include "supervisor/top/model.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/memory.h"
#include "lib/text.h"

#define BOUNDS 15

const char *const top_phases[TOP_PHASES] = {"queue", "fetch", "parse", "store", "commit"};
static const char *const bound_names[BOUNDS] = {"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1",
                                                "2.5",   "5",    "10",    "30",   "60",  "300",  "+Inf"};
static const double bounds_s[BOUNDS] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
                                        2.5,   5,    10,    30,   60,  300,  300};

struct top_sample {
    json_t *document, *sums;
    double at_s;
};

/* Which sum a rate is of. */
static const struct rate_row {
    const char *name;
    size_t offset;
} rate_rows[] = {
#define RATE(member, counter)                                                                                \
    { counter, offsetof(struct top_rates, member) }
    RATE(claimed, "filemill_jobs_claimed_total"),
    RATE(done, "filemill_jobs_ended_total{outcome=\"done\"}"),
    RATE(failed, "filemill_jobs_ended_total{outcome=\"failed\"}"),
    RATE(retried, "filemill_jobs_ended_total{outcome=\"retry\"}"),
    RATE(cancelled, "filemill_jobs_ended_total{outcome=\"cancelled\"}"),
    RATE(http_2xx, "filemill_http_requests_total{class=\"2xx\"}"),
    RATE(http_3xx, "filemill_http_requests_total{class=\"3xx\"}"),
    RATE(http_4xx, "filemill_http_requests_total{class=\"4xx\"}"),
    RATE(http_5xx, "filemill_http_requests_total{class=\"5xx\"}"),
    RATE(http_refused, "filemill_http_refused_total{reason=\"guard\"}"),
    RATE(http_refused, "filemill_http_refused_total{reason=\"rate\"}"),
    RATE(http_refused, "filemill_http_refused_total{reason=\"overload\"}"),
    RATE(bytes_in, "filemill_transfer_bytes_total{direction=\"in\"}"),
    RATE(bytes_out, "filemill_transfer_bytes_total{direction=\"out\"}"),
    RATE(runners, "filemill_runners_started_total"),
    RATE(killed, "filemill_runners_ended_total{reason=\"violation\"}"),
    RATE(killed, "filemill_runners_ended_total{reason=\"cpu\"}"),
    RATE(killed, "filemill_runners_ended_total{reason=\"memory\"}"),
    RATE(killed, "filemill_runners_ended_total{reason=\"deadline\"}"),
    RATE(killed, "filemill_runners_ended_total{reason=\"crash\"}"),
    RATE(cores, "filemill_runners_cpu_seconds_total"),
    RATE(storage_errors, "filemill_storage_errors_total{provider=\"r2\"}"),
    RATE(storage_errors, "filemill_storage_errors_total{provider=\"aws\"}"),
    RATE(storage_errors, "filemill_storage_errors_total{provider=\"spaces\"}"),
    RATE(storage_errors, "filemill_storage_errors_total{provider=\"b2\"}"),
    RATE(storage_errors, "filemill_storage_errors_total{provider=\"minio\"}"),
    RATE(storage_errors, "filemill_storage_errors_total{provider=\"filemill\"}"),
    RATE(database_errors, "filemill_database_errors_total"),
};

static const struct gauge_row {
    const char *name;
    size_t offset;
} gauge_rows[] = {
#define GAUGE(member, counter)                                                                               \
    { counter, offsetof(struct top_model, member) }
    GAUGE(ready, "filemill_queue_jobs{state=\"ready\"}"),
    GAUGE(delayed, "filemill_queue_jobs{state=\"delayed\"}"),
    GAUGE(running, "filemill_queue_jobs{state=\"running\"}"),
    GAUGE(oldest_s, "filemill_queue_oldest_seconds"),
    GAUGE(slots, "filemill_worker_slots{state=\"all\"}"),
    GAUGE(busy, "filemill_worker_slots{state=\"busy\"}"),
    GAUGE(streams, "filemill_event_streams"),
    GAUGE(connections, "filemill_http_connections"),
};

static double sum_of(const struct top_sample *sample, const char *name) {
    return sample == NULL ? 0 : json_number_value(json_object_get(sample->sums, name));
}

static void add_counters(json_t *sums, json_t *counters) {
    const char *name;
    json_t *value;

    json_object_foreach(counters, name, value) {
        double before = json_number_value(json_object_get(sums, name));
        json_object_set_new(sums, name, json_real(before + json_number_value(value)));
    }
}

struct top_sample *top_sample_new(const char *text, double now_s) {
    json_t *document = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    size_t index;
    json_t *service;

    if (!json_is_object(document) || !json_is_array(json_object_get(document, "services"))) {
        json_decref(document);
        return NULL;
    }
    struct top_sample *sample = memory_new(sizeof *sample);
    *sample = (struct top_sample){.document = document, .sums = json_object(), .at_s = now_s};
    json_array_foreach(json_object_get(document, "services"), index, service)
        add_counters(sample->sums, json_object_get(service, "counters"));
    return sample;
}

void top_sample_free(struct top_sample *sample) {
    if (sample == NULL)
        return;
    json_decref(sample->document);
    json_decref(sample->sums);
    free(sample);
}

static void copy_text(char *target, size_t size, const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));

    (void)text_copy(target, size, text != NULL ? text : "");
}

static void fill_service(struct top_service *target, const json_t *service) {
    copy_text(target->name, sizeof target->name, service, "name");
    copy_text(target->state, sizeof target->state, service, "state");
    copy_text(target->note, sizeof target->note, service, "note");
    target->index = (unsigned)json_integer_value(json_object_get(service, "index"));
    target->restarts = (unsigned)json_integer_value(json_object_get(service, "restarts"));
    target->pid = (int)json_integer_value(json_object_get(service, "pid"));
    target->uptime_s = json_number_value(json_object_get(service, "uptime_seconds"));
}

/* A counter that went down began anew with its process. */
static double growth(const struct top_sample *sample, const struct top_sample *before, const char *name) {
    double now = sum_of(sample, name), then = sum_of(before, name);

    return now >= then ? now - then : now;
}

/* The value below which a share of what was counted lies, by linear interpolation within its bucket; -1:
 * nothing. */
static double quantile(const double counts[BOUNDS], double share) {
    double wanted = counts[BOUNDS - 1] * share;

    if (counts[BOUNDS - 1] <= 0)
        return -1;
    for (size_t i = 0; i < BOUNDS; i++) {
        double below = i > 0 ? counts[i - 1] : 0, from = i > 0 ? bounds_s[i - 1] : 0;
        if (counts[i] >= wanted)
            return counts[i] > below ? from + (bounds_s[i] - from) * (wanted - below) / (counts[i] - below)
                                     : from;
    }
    return bounds_s[BOUNDS - 1];
}

static void fill_latencies(struct top_model *model, const struct top_sample *sample,
                           const struct top_sample *before) {
    for (size_t phase = 0; phase < TOP_PHASES; phase++) {
        double counts[BOUNDS];
        for (size_t i = 0; i < BOUNDS; i++) {
            char name[96];
            (void)text_format(name, sizeof name, "filemill_job_seconds_bucket{phase=\"%s\",le=\"%s\"}",
                              top_phases[phase], bound_names[i]);
            counts[i] = growth(sample, before, name);
        }
        model->p50_s[phase] = quantile(counts, 0.5);
        model->p95_s[phase] = quantile(counts, 0.95);
    }
}

static void fill_rates(struct top_model *model, const struct top_sample *sample,
                       const struct top_sample *before) {
    double seconds = before != NULL ? sample->at_s - before->at_s : model->uptime_s;

    model->interval_s = before != NULL ? seconds : 0;
    for (size_t i = 0; seconds > 0 && i < sizeof rate_rows / sizeof rate_rows[0]; i++) {
        double *target = (double *)(void *)((char *)&model->rates + rate_rows[i].offset);
        *target += growth(sample, before, rate_rows[i].name) / seconds;
    }
}

void top_model_fill(struct top_model *model, const struct top_sample *sample,
                    const struct top_sample *before) {
    const json_t *services = json_object_get(sample->document, "services");
    const json_t *service;
    size_t index;

    memset(model, 0, sizeof *model);
    copy_text(model->version, sizeof model->version, sample->document, "version");
    copy_text(model->node, sizeof model->node, sample->document, "node");
    copy_text(model->status, sizeof model->status, sample->document, "status");
    model->uptime_s = json_number_value(json_object_get(sample->document, "uptime_seconds"));
    model->failed_services =
        (uint64_t)json_integer_value(json_object_get(sample->document, "failed_services"));
    json_array_foreach(services, index, service) {
        if (model->service_count < TOP_SERVICES_MAX)
            fill_service(&model->services[model->service_count++], service);
    }
    for (size_t i = 0; i < sizeof gauge_rows / sizeof gauge_rows[0]; i++)
        *(uint64_t *)(void *)((char *)model + gauge_rows[i].offset) =
            (uint64_t)sum_of(sample, gauge_rows[i].name);
    fill_rates(model, sample, before);
    fill_latencies(model, sample, before);
}
