/* SPDX-License-Identifier: MIT
 * One execution of a service's program, from its exec to its reaping: descriptors, environment, readiness,
 * death, and being stopped with a deadline. Knows nothing of restarts. */
#ifndef SUPERVISOR_RUN_H
#define SUPERVISOR_RUN_H

#include "lib/control.h"
#include "lib/counters.h"
#include "lib/loop.h"
#include "supervisor/services.h"
#include "supervisor/variables.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct run;

/* What every run of this node is made from; borrowed, and may be changed between runs. */
struct launch {
    struct loop *loop;
    const struct configuration *configuration;
    const struct layout *layout;
    const struct variables *secrets;
    int health_fd; /* the supervisor's own counters, read-only */
    /* Readiness has come. */
    void (*on_ready)(void *context, struct run *run);
    /* It is dead and reaped; `status` as from wait. The run is freed right after this call. */
    void (*on_death)(void *context, struct run *run, int status);
};

struct run {
    const struct launch *launch;
    const struct service *service;
    void *context;
    pid_t pid;
    int pidfd;
    unsigned index;
    unsigned generation;
    bool is_ready;
    int64_t started_ms;
    int64_t ready_ms;
    struct counters *counters; /* NULL: has none */
    struct control *control;   /* NULL: has none */
    /* private */
    int ready_fd;
    struct loop_watch *death;
    struct loop_watch *readiness;
    struct loop_timer *probe;
    struct loop_timer *deadline;
    bool forced;
};

/* Starts one process; `listen_fd` is -1 where the service needs none. A service that
 * NEEDS_INDEX gets its index as its only argument. NULL with errno and a log line. */
struct run *run_start(const struct launch *launch, const struct service *service, unsigned index,
                      int listen_fd, unsigned generation, void *context);
/* Sends a signal, and, unless grace_ms is negative, ends the process by force so much later. */
void run_stop(struct run *run, int signal_number, int64_t grace_ms);
/* If the process is dead, reaps it, calls on_death, frees the run and returns true. */
bool run_reap(struct run *run);

#endif
