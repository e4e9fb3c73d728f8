/* SPDX-License-Identifier: MIT
 * Classification, as its files share it: default labels, what becomes of a file, the requests' routes. */
#ifndef GATEWAY_CLASSIFY_H
#define GATEWAY_CLASSIFY_H

#include "config/settings.h"
#include "gateway/call.h"
#include "gateway/plan.h"
#include <jansson.h>

#define CLASSIFY_LABELS_MAX_BYTES 12000
/* Derivatives that are a file's text, as SQL lists them. */
#define CLASSIFY_TEXT_KINDS "'pdf_text', 'office_text', 'ocr_text', 'transcript_text'"

/* [{name, description}]: a tenant's labels, as its row has them; of NULL those of who has none of their own.
 * A new reference. */
json_t *classify_read_labels(const char *text);
/* NULL when the labels fit; else what is wrong. */
const char *classify_labels_wrong(const json_t *labels);

/* A file of a request. */
struct classify_file {
    const char *filename, *file_id, *media_type;
    const char *etag;   /* of a new file, else NULL */
    int64_t size_bytes; /* the same; else -1 */
    bool has_text;      /* its text is made already */
};

/* True when some processor makes text of such bytes. */
bool classify_takes(const char *media_type);
/* What classify_submit (sql/migrations/0044) takes for a file: its own jobs by its tenant's plan when it is
 * new, and one that classifies it when its text is there. A new reference. */
json_t *classify_item(const struct classify_file *file, const json_t *tenant_plan, const json_t *labels,
                      const struct settings *settings);
/* The same for a file that is processed anew: into its plan, as PLANNED_JOBS takes it. */
void classify_plan(struct file_plan *plan, const char *media_type, const json_t *labels,
                   const struct settings *settings);
json_t *classify_refused_item(const char *filename, const char *error);

/* Commits a request of these items and answers 202 {job_id, status}. Takes nothing; texts are copied. */
void classify_submit(struct call *call, const char *tenant, const json_t *labels, const json_t *items);

/* classify_upload.c */
void handle_classify_upload(struct call *call);
int stream_classify_upload(struct call *call, const char *bytes, size_t size);
/* classify_labels.c */
void handle_labels(struct call *call);
void handle_labels_put(struct call *call);
void handle_file_label(struct call *call);
void handle_classifier(struct call *call);

#endif
