/* SPDX-License-Identifier: MIT
 * The nurseries beside the first: programs with engines of their own. The worker holds a line to each, whose
 * other end waits here. A packet on it, which is never read here, starts the program, that then serves the
 * line itself. */
#ifndef WORKERS_NURSERY_SIBLINGS_H
#define WORKERS_NURSERY_SIBLINGS_H

#include "lib/loop.h"
#include "workers/nursery.h"

struct siblings;

/* In the first nursery, whose process ids in `start` say which ran before a renewal. One that dies stops the
 * loop with status 1, so that the worker hears of it. */
struct siblings *siblings_new(struct loop *loop, const struct nursery_start *start);
void siblings_free(struct siblings *siblings);
/* 0 where none runs. */
pid_t siblings_pid(const struct siblings *siblings, enum processor_nursery which);

#endif
