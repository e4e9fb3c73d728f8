/* SPDX-License-Identifier: MIT
 * Embedded defaults: the secrets that the first start makes, and the settings that follow from running our
 * own Postgres and store. Secrets never leave but through settings to the services of their audience. */
#ifndef SUPERVISOR_EMBEDDED_H
#define SUPERVISOR_EMBEDDED_H

#include "supervisor/configuration.h"
#include "supervisor/layout.h"
#include "supervisor/variables.h"

/* Reads <state>/secrets and adds what is missing, which it writes back at once; -1 with one line. */
int embedded_secrets(struct variables *secrets, const struct layout *layout, char *error, size_t error_size);

/* Fills in what the configuration leaves to us: state directory, channel, and, as far as embedded, database
 * URLs, storage and the secret of tokens. */
void embedded_fill(struct configuration *configuration, const struct layout *layout,
                   const struct variables *secrets);

/* One statement per line, for a fresh cluster in single-user mode: roles, their passwords, the database.
 * Freed by the caller. */
char *embedded_bootstrap(const struct variables *secrets);

#endif
