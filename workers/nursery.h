/* SPDX-License-Identifier: MIT
 * A nursery: a single-threaded process with warm engines that forks a runner per document, watches it, ends
 * it when it must, and reports how it ended. It never reads a byte of a document, holds no credential and
 * opens no socket. When it has served enough documents it executes itself again, taking over the runners it
 * has. There is one for each family of engines; the first starts the others (nursery_siblings.h). */
#ifndef WORKERS_NURSERY_H
#define WORKERS_NURSERY_H

#include "config/settings.h"
#include "workers/sandbox.h"

#define NURSERY_SOCKET 3 /* the first has the others' lines on the following numbers */
#define NURSERY_MAX_RUNNERS 256
#define NURSERY_STATE_SIZE 128

struct nursery_start {
    const struct settings *settings;
    const struct sandbox *sandbox;
    bool namespaces;
    uint64_t generation; /* 0 at first, one more after each renewal */
    int carry;           /* descriptor of the carried runners, or -1 */
    int program;         /* this program's file, for the renewal */
    pid_t siblings[NURSERY_COUNT]; /* those that the first has started; 0: not yet */
};

/* This program's one, by its build. */
enum processor_nursery nursery_which(void);

/* What a nursery that is started by another, or by itself for a renewal, is told: its only argument, a line of
 * numbers: carry (one more, so 0 is none), generation, namespaces and the siblings' process ids. -1 if malformed. */
void nursery_write_state(const struct nursery_start *start, char target[NURSERY_STATE_SIZE]);
int nursery_read_state(struct nursery_start *start, const char *state);

/* Serves NURSERY_SOCKET until the worker closes it; returns the exit status. */
int nursery_serve(const struct nursery_start *start);

#endif
