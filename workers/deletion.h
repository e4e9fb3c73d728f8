/* SPDX-License-Identifier: MIT
 * Deleting objects by presigned URL, in batches that the scheduler asks for. */
#ifndef WORKERS_DELETION_H
#define WORKERS_DELETION_H

#include "config/settings.h"
#include "http/client.h"
#include "proto/message.h"

struct deletions;

typedef void deletions_answer_fn(void *context, const struct message *message);

struct deletions *deletions_new(struct http_client *http, const struct settings *settings,
                                deletions_answer_fn *answer, void *context);
void deletions_free(struct deletions *deletions); /* cancels, answers nothing */

/* Copies the batch and starts; DELETED is answered when the last object is decided. Too many batches at once
 * are dropped: the scheduler asks again. */
void deletions_start(struct deletions *deletions, const struct message_delete *batch);

#endif
