/* SPDX-License-Identifier: MIT
 * What a process gives up before it meets bytes from outside. Prepared once in the nursery (filters compiled,
 * Landlock rulesets opened), entered in each forked runner with a handful of system calls. The only user of
 * seccomp.h and linux/landlock.h. Entering is all or nothing: a layer that was prepared and cannot be
 * entered is an error, never a smaller sandbox. */
#ifndef WORKERS_SANDBOX_H
#define WORKERS_SANDBOX_H

#include "proto/processors.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define SANDBOX_LAYERS_SIZE 96

struct sandbox;

struct sandbox_limits {
    uint64_t memory_bytes; /* beyond mapped_bytes */
    uint64_t mapped_bytes; /* what the child has by itself: what the parent had, and its input */
    uint64_t cpu_seconds;
    uint64_t file_bytes; /* largest size of any one output */
    pid_t parent;        /* the nursery: the runner dies with it */
};

/* Compiles the filters and opens the rulesets. A layer that the host lacks is left out and shows in
 * sandbox_describe. Never NULL. */
struct sandbox *sandbox_new(void);
void sandbox_free(struct sandbox *sandbox);

/* Seccomp and Landlock are both there. */
bool sandbox_is_complete(const struct sandbox *sandbox);

/* "seccomp,landlock7,namespaces" or "none"; target of SANDBOX_LAYERS_SIZE. */
void sandbox_describe(const struct sandbox *sandbox, bool namespaces, char *target);

/* In the nursery, once: new network, IPC, host name and (without privileges) user namespaces. Returns 0, or
 * -1 with errno where the host does not permit them; nothing has changed then. */
int sandbox_unshare(void);
/* In the nursery, after each start: no new privileges, and only the capabilities to drop and end runners. */
int sandbox_drop_capabilities(void);

/* Address space of this process. For the parent to ask before it forks: in a child the file has to be made and taken
 * away again, and a parent that is asked later may have become another program. 0 where it can't be known. */
uint64_t sandbox_mapped_bytes(void);

/* In a runner: everything. The descriptors [0, keep_below) stay open, all others are closed. -1 with errno
 * leaves the process unfit for use. */
int sandbox_enter(const struct sandbox *sandbox, enum processor_profile profile,
                  const struct sandbox_limits *limits, unsigned keep_below);

/* The worker's own profile, which has no exec: for all threads of the process. Returns 0, or -1 with errno
 * where the host lacks seccomp. */
int sandbox_enter_worker(void);

/* One line per rule, "name number action [checks]": action 0 allows, another number is the errno answered;
 * every other call ends the process. */
void sandbox_print_policy(enum processor_profile profile, FILE *stream);

#endif
