/* SPDX-License-Identifier: MIT
 * What a service outside says of a portal's job: the result of the payload contract (docs/run.md), checked
 * once for everybody who hears one, by its call (gateway) or by asking it (worker). Paths follow the rules of
 * portal_paths.h; what is neither asked for nor small is refused. Pure. */
#ifndef STORAGE_PORTAL_REPORT_H
#define STORAGE_PORTAL_REPORT_H

#include <jansson.h>
#include <stdbool.h>

#define PORTAL_EXTERNAL_MAX 200 /* bytes of a service's own name for a job */

/* `result` of `job` (a UUID in lower case), said to be a success or not. Adds to `detail`, as the function
 * compute_settle of the database takes it: on success "report" {quality_score, warnings, metrics},
 * "master_path", "master_user", "preview_path", "preview_user"; otherwise "error" {code, stage, message,
 * retryable}. NULL, or why it is not as described: one static line. */
const char *portal_report_read(const json_t *result, const char *job, bool success, json_t *detail);

/* The service's own name of a job in an answer or a call: camber_job_id or external_job_id. Borrowed; NULL
 * when there is none, or none that is short and plain enough for a path and a log. */
const char *portal_report_external(const json_t *said);

#endif
