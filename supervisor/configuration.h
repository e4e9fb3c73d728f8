/* SPDX-License-Identifier: MIT
 * Where settings come from: an optional file in .env syntax, the environment, and `--name value` flags; the
 * later win. Also decides what is embedded and which roles this node has. Touches nothing but that file. */
#ifndef SUPERVISOR_CONFIGURATION_H
#define SUPERVISOR_CONFIGURATION_H

#include "config/settings.h"
#include <stdbool.h>
#include <stddef.h>

enum role {
    ROLE_GATEWAY = 1u << 0,
    ROLE_SCHEDULER = 1u << 1,
    ROLE_WORKER = 1u << 2,
    ROLE_STORE = 1u << 3,
    ROLE_ALL = 0xfu,
};

#define SOURCES_FLAGS_MAX 128

/* Borrowed by nobody: the texts are argv's and environ's and live as long as the process. */
struct sources {
    char *const *environment;
    const char *file; /* NULL: none */
    const char *names[SOURCES_FLAGS_MAX];
    const char *values[SOURCES_FLAGS_MAX];
    size_t flag_count;
};

/* What is left of the arguments after the options, in order; the list is the caller's and large enough. */
struct words {
    char **list;
    size_t count;
};

struct configuration {
    struct settings settings;
    unsigned roles;
    bool embedded_postgres;
    bool embedded_store;
};

/* Picks the options (`--name value`, `--name=value`, `--config FILE`) out of the arguments and appends the
 * rest to `words`. -1 with one line in `error`. */
int sources_from_arguments(struct sources *sources, int argument_count, char **arguments, struct words *words,
                           char *error, size_t error_size);

/* Fills a zeroed configuration; -1 with one line that names the option. Clear it in either case. */
int configuration_load(struct configuration *configuration, const struct sources *sources, char *error,
                       size_t error_size);
void configuration_clear(struct configuration *configuration);

/* What can't change while the node runs; NULL if `fresh` may take the place of `running`, else the name of
 * the option that would need a restart. */
const char *configuration_obstacle(const struct configuration *running, const struct configuration *fresh);

#endif
