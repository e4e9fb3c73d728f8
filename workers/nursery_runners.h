/* SPDX-License-Identifier: MIT
 * The nursery's table of runners: what is alive, until when, and its form when carried over a renewal. */
#ifndef WORKERS_NURSERY_RUNNERS_H
#define WORKERS_NURSERY_RUNNERS_H

#include "lib/loop.h"
#include "workers/deaths.h"
#include "workers/nursery.h"
#include "workers/progress.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The part that a renewal carries: plain numbers and descriptors that survive exec. */
struct runner_entry {
    uint64_t id; /* the worker's; 0: free */
    pid_t pid;
    int pidfd;
    int progress_fd;
    enum death_order order;
    int64_t started_ms, wall_deadline_ms; /* monotonic */
    int64_t quiet_since_ms;               /* last time that anything moved */
    int64_t next_look_ms;
    uint64_t no_progress_ms, cpu_limit_seconds;
    uint64_t last_done, last_cpu_ms;
    uint64_t step_cpu_ms; /* processor time at the last step of progress */
};

struct runner_slot {
    struct runner_entry entry;
    struct progress_page *progress;
    struct loop_watch *watch;
    struct nursery *nursery;
};

/* Looks at one runner at `now_ms`: kills it when it is over a deadline, has been quiet for too long (no
 * progress and no processor time), or has spent as much processor time on one step of its progress. */
void runner_look(struct runner_slot *slot, int64_t now_ms);
/* When runner_look wants to be called next. */
int64_t runner_next_look(const struct runner_slot *slot);
void runner_kill(struct runner_slot *slot, enum death_order order);

/* Writes all used slots to a new memfd that, like their descriptors, survives exec. -1 with errno. */
int runners_carry(struct runner_slot *slots, size_t count);
/* Reads them back; progress pages are mapped again. Returns how many, or -1. */
int runners_resume(struct runner_slot *slots, size_t count, int fd);

#endif
