/* SPDX-License-Identifier: MIT
 * GET /metrics over HTTP, for Prometheus, on the address and port of the settings. It is no web server: one request a
 * connection, a bounded head, one path, and it never reads a body. */
#ifndef SUPERVISOR_EXPORTER_H
#define SUPERVISOR_EXPORTER_H

#include "supervisor/supervisor.h"

struct exporter;

/* NULL with one line in `error`. */
struct exporter *exporter_new(struct supervisor *supervisor, char *error, size_t error_size);
/* NULL is fine. */
void exporter_free(struct exporter *exporter);

#endif
