/* SPDX-License-Identifier: MIT
 * What `filemill top` shows, from the answers to `stats`: services as they are, counters as rates between two
 * answers. Pure. */
#ifndef SUPERVISOR_TOP_MODEL_H
#define SUPERVISOR_TOP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOP_SERVICES_MAX 96
#define TOP_PHASES 5

extern const char *const top_phases[TOP_PHASES];

struct top_service {
    char name[24], state[16], note[256];
    unsigned index, restarts;
    int pid;
    double uptime_s;
};

struct top_rates {
    double claimed, done, failed, retried, cancelled;
    double http_2xx, http_3xx, http_4xx, http_5xx, http_refused;
    double bytes_in, bytes_out, runners, killed, cores, storage_errors, database_errors;
};

struct top_model {
    char version[24], node[64], status[16];
    double uptime_s;
    double interval_s; /* that the rates are of; 0: the node's life */
    struct top_service services[TOP_SERVICES_MAX];
    size_t service_count;
    struct top_rates rates;
    uint64_t ready, delayed, running, oldest_s, slots, busy, streams, connections, failed_services;
    double p50_s[TOP_PHASES], p95_s[TOP_PHASES]; /* below 0: nothing was measured */
};

struct top_sample; /* one answer's sums */

/* From the text of an answer; NULL when it is none. The caller frees it. */
struct top_sample *top_sample_new(const char *text, double now_s);
void top_sample_free(struct top_sample *sample);

/* `before` may be NULL: rates are then those of the node's whole life. */
void top_model_fill(struct top_model *model, const struct top_sample *sample,
                    const struct top_sample *before);

#endif
