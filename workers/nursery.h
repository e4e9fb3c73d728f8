/* SPDX-License-Identifier: MIT
 * The nursery: a single-threaded process with warm engines that forks a runner per document, watches it, ends
 * it when it must, and reports how it ended. It never reads a byte of a document, holds no credential and
 * opens no socket. When it has served enough documents it executes itself again, taking over the runners it
 * has. */
#ifndef WORKERS_NURSERY_H
#define WORKERS_NURSERY_H

#include "config/settings.h"
#include "workers/sandbox.h"

#define NURSERY_SOCKET 3
#define NURSERY_MAX_RUNNERS 256

struct nursery_start {
    const struct settings *settings;
    const struct sandbox *sandbox;
    bool namespaces;
    uint64_t generation; /* 0 at first, one more after each renewal */
    int carry;           /* descriptor of the carried runners, or -1 */
    int program;         /* this program's file, for the renewal */
};

/* Serves NURSERY_SOCKET until the worker closes it; returns the exit status. */
int nursery_serve(const struct nursery_start *start);

#endif
