/* SPDX-License-Identifier: MIT
 * What a verb's row holds, and the functions that rows name. */
#ifndef SUPERVISOR_VERBS_H
#define SUPERVISOR_VERBS_H

#include "supervisor/configuration.h"
#include <stddef.h>

struct cli;
typedef int verb_fn(struct cli *cli); /* the exit status */

struct verb {
    const char *name;
    const char *usage; /* NULL: takes nothing */
    const char *help;
    verb_fn *fn;
    const char *program; /* of verb_program */
    unsigned audience;
};

struct cli {
    const struct verb *verb;
    struct sources sources;
    struct words words;
};

verb_fn verb_serve, verb_health, verb_ask, verb_scale, verb_config, verb_env, verb_program, verb_run, verb_top;

/* Prints "filemill: …" to standard error and returns the status. */
int verb_complain(int status, const char *error);

#endif
