/* SPDX-License-Identifier: MIT
 * What the supervisor tells operators: a JSON document for people and scripts, a text for Prometheus. Reads
 * shared counters; changes nothing. */
#ifndef SUPERVISOR_REPORT_H
#define SUPERVISOR_REPORT_H

#include "lib/buffer.h"
#include "supervisor/supervisor.h"

/* One JSON object; counters that are zero are left out. */
void report_stats(const struct supervisor *supervisor, struct buffer *text);
/* Prometheus text format 0.0.4; every service has service and instance labels. */
void report_metrics(const struct supervisor *supervisor, struct buffer *text);
/* {"status":"ready","failed_services":0} */
void report_health(const struct supervisor *supervisor, struct buffer *text);

#endif
