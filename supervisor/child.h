/* SPDX-License-Identifier: MIT
 * A place for one process of a service: its states, restarts, renewal and counters. Runs come and go in it.
 */
#ifndef SUPERVISOR_CHILD_H
#define SUPERVISOR_CHILD_H

#include "lib/counters.h"
#include "supervisor/restart.h"
#include "supervisor/run.h"
#include "supervisor/services.h"
#include <stdbool.h>
#include <stdint.h>

#define CHILD_RELEASE_MS 3000 /* past the drain's deadline: for giving back what was not finished */

enum child_state {
    CHILD_STOPPED,  /* no process, none wanted now */
    CHILD_STARTING, /* process runs, not ready */
    CHILD_READY,
    CHILD_STOPPING, /* asked to go */
    CHILD_BACKOFF,  /* died; starts again when its timer runs out */
    CHILD_FAILED,   /* died too often; stays down until the configuration is reread */
    CHILD_DONE,     /* reached its goal */
    CHILD_STATE_COUNT
};
extern const char *const child_state_names[CHILD_STATE_COUNT];

struct child;

struct child_host {
    struct loop *loop;
    struct launch launch; /* on_ready and on_death are set by child_host_init */
    unsigned generation;  /* of runs started from now on */
    void *context;
    void (*changed)(void *context, struct child *child); /* after every change of state */
};

struct child {
    struct child_host *host;
    const struct service *service;
    unsigned index;
    enum child_state state;
    struct run *run;       /* the one that counts; NULL in STOPPED, BACKOFF, FAILED, DONE */
    struct run *successor; /* of the next generation, not ready yet */
    struct run *retiring;  /* of the generation before, finishing what it has */
    int listen_fd;         /* -1: none */
    bool starts_again;     /* when the stop is complete */
    bool renewal_failed;   /* the successor died before it was ready; whoever renews clears it */
    unsigned generation;   /* of the latest start */
    struct restart restart;
    struct loop_timer *timer;
    unsigned restarts;
    char last_end[64];           /* how the run before ended: "exit 1", "signal 9 (KILL)" */
    uint64_t totals[COUNT_LAST]; /* counted by runs that are gone */
};

void child_host_init(struct child_host *host);

struct child *child_new(struct child_host *host, const struct service *service, unsigned index);
void child_free(struct child *child); /* it must be gone */

/* From STOPPED, BACKOFF, FAILED or DONE: starts now, earlier deaths forgotten. */
void child_start(struct child *child);
/* Asks all its processes to go; force follows after grace_ms (negative: when somebody calls child_kill). */
void child_stop(struct child *child, int64_t grace_ms);
/* Repeats the stop signal to processes that are stopping, now with a limit. */
void child_press(struct child *child, int64_t grace_ms);
void child_kill(struct child *child);
/* Gives it a process of the host's generation, as its service's row says. */
void child_renew(struct child *child, int64_t grace_ms);

/* No process of it is left. */
bool child_is_gone(const struct child *child);
/* Later stages need not wait for it: ready, done or given up. */
bool child_is_settled(const struct child *child);
/* Its latest start was of the host's generation, or its row says that it is never renewed. */
bool child_is_current(const struct child *child);
/* Takes what runs for current, as it is not concerned by what has changed. */
void child_keep(struct child *child);
/* All runs together: totals over its whole life, gauges of its live processes. */
uint64_t child_counter(const struct child *child, enum counter counter);
/* Reaps whichever of its processes has this pid; false if none has. */
bool child_reap(struct child *child, pid_t pid);

#endif
