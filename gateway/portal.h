/* SPDX-License-Identifier: MIT
 * Document portals: jobs that make a photo as a form wants it, the schemas that say how, and what came out.
 * Spread over portal_*.c; everything that a job is to the queue, the other modules do. */
#ifndef GATEWAY_PORTAL_H
#define GATEWAY_PORTAL_H

#include "gateway/call.h"
#include "storage/portal_paths.h"
#include "storage/storage.h"

#define PORTAL_SCHEMA_NAME_MAX 63

/* portal_jobs.c, portal_documents.c, portal_schemas.c, portal_webhook.c */
void handle_portal_submit(struct call *call);
void handle_portal_job(struct call *call);
void handle_portal_documents(struct call *call);
void handle_portal_document(struct call *call);
void handle_portal_schemas(struct call *call);
void handle_portal_schema_add(struct call *call);
void handle_portal_webhook(struct call *call);

/* portal_webhook.c: what is kept of a service's own secret: SHA-256 in hex. -1 when it can't be had. */
#define PORTAL_DIGEST_SIZE 65
int portal_secret_digest(const char *secret, char digest[PORTAL_DIGEST_SIZE]);

/* portal_again.c: jobs go back into the queue, those that were outside with fresh links to their uploads.
 * `retry` is a statement of five values (tenant, job, type, error, since); its answer is the last of those
 * that `on_answer` gets. */
void portal_retry(struct call *call, const struct query *retry, call_query_fn *on_answer,
                  const struct call_refusal *refusals);

/* portal_definition.c */

/* True if the definition is one that a photo can be made by; else the call is answered. */
bool portal_definition_check(struct call *call, const json_t *definition);

/* What a schema's filename_pattern may name. */
struct portal_names {
    const char *job, *user, *schema, *original;
};
/* The file name for a photo made by this definition, cleaned, with its extension; `target` holds
 * PORTAL_FILENAME_MAX + 1. */
void portal_filename(char *target, const json_t *definition, const struct portal_names *names);

#endif
