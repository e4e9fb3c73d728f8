/* SPDX-License-Identifier: MIT
 * The instance that a CLI verb speaks of: its state directory, whether it runs, its settings, its socket. */
#ifndef SUPERVISOR_INSTANCE_H
#define SUPERVISOR_INSTANCE_H

#include "supervisor/configuration.h"
#include "supervisor/layout.h"
#include <stddef.h>
#include <sys/types.h>

struct instance {
    struct configuration configuration; /* the running instance's own if it runs, else what it would have */
    struct layout layout;
    pid_t pid; /* 0: not running */
};

/* -1 with one line. Clear it in either case. */
int instance_find(struct instance *instance, const struct sources *sources, char *error, size_t error_size);
void instance_clear(struct instance *instance);

/* Sends one line to the running instance and gives back its whole answer, which the caller frees; NULL with
 * one line in `error` when there is none. */
char *instance_ask(const struct instance *instance, const char *line, char *error, size_t error_size);

/* Becomes another program of ours, which is told the settings of `audience`. Returns -1 with one line. */
int instance_exec(const struct instance *instance, const char *program, const struct words *arguments,
                  unsigned audience, char *error, size_t error_size);

#endif
