/* SPDX-License-Identifier: MIT
 * Processors that have code for a runner, and ask a service instead where a setting names another backend.
 * The one table of which setting that is, and which URL it then needs. */
#ifndef CONFIG_BACKENDS_H
#define CONFIG_BACKENDS_H

#include "config/settings.h"

/* Whether the settings send this processor's work to a service. */
bool backend_is_elsewhere(const struct settings *settings, const char *processor);

/* 0, or -1 with one line that names the URL which a backend in force goes without. */
int backends_check(const struct settings *settings, char *error, size_t error_size);

#endif
