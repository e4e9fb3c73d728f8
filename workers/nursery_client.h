/* SPDX-License-Identifier: MIT
 * A worker's side of its nurseries: starts them, hands them documents, hears how they ended. A nursery that dies is
 * not replaced: `gone` is called and the worker is expected to exit, its supervisor starts both anew. */
#ifndef WORKERS_NURSERY_CLIENT_H
#define WORKERS_NURSERY_CLIENT_H

#include "config/settings.h"
#include "lib/loop.h"
#include "workers/document.h"
#include "workers/sandbox.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct nursery_client;

struct nursery_limits {
    uint64_t wall_ms, no_progress_ms, cpu_seconds, memory_bytes, output_bytes, pages, pixels; /* 0: none */
    uint64_t range_pages, ranges; /* how a long document is cut; 0: not at all */
    uint64_t joins;               /* 1: it makes one of its parts */
};

struct nursery_end {
    uint64_t id;
    const struct reason_row *reason; /* NULL: ended by itself, judge the document */
    const char *detail;              /* "signal 11 (SEGV)" */
    uint64_t cpu_us, wall_ms, peak_rss_bytes;
    pid_t pid;
};

struct nursery_events {
    void (*ended)(void *context, const struct nursery_end *end);
    void (*gone)(void *context);                             /* the nursery died or broke the protocol */
    void (*started)(void *context, uint64_t id, pid_t runner); /* may be NULL */
    void (*renewed)(void *context, uint64_t generation);     /* may be NULL */
};

/* Spawns `program` (NULL: filemill-nursery beside this program) and waits until it is ready, at most 60 s.
 * NULL with a log line on failure. Must be called while this process has one thread. */
struct nursery_client *nursery_client_new(struct loop *loop, const struct settings *settings, const char *program,
                                          const struct nursery_events *events, void *context);
/* Those nurseries too that otherwise wait for their first document; until then nursery_client_engines doesn't know what
 * they have. Waits as nursery_client_new does. 0, or -1 with a log line. */
int nursery_client_start_all(struct nursery_client *client);
/* Closes the sockets: the nurseries end, and its runners with it. Waits for it. */
void nursery_client_free(struct nursery_client *client);

/* Layers as sandbox_describe words them; static while the client lives. */
const char *nursery_client_engines(const struct nursery_client *client); /* as processors_describe_engines says */
const char *nursery_client_layers(const struct nursery_client *client);
bool nursery_client_sandbox_is_complete(const struct nursery_client *client);
pid_t nursery_client_pid(const struct nursery_client *client);

/* Starts a runner for the document; `id` is the caller's, not 0. 0, or -1 with errno: EAGAIN when the nursery
 * is not reading now (try again soon), EMSGSIZE when the parameters are too long. */
int nursery_client_run(struct nursery_client *client, uint64_t id, const struct document *document,
                       const struct nursery_limits *limits, const char *mime, const char *parameters);
/* Kills the runner; `ended` comes with reason "cancelled" unless it ended before. */
void nursery_client_cancel(struct nursery_client *client, uint64_t id);

#endif
