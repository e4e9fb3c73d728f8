/* SPDX-License-Identifier: MIT
 * Publishing: pictures of a source outside, or of files, for the bucket behind the CDN. What is of its own
 * here: which jobs can't begin, the URLs of the source (which the worker completes with its bearer) and of
 * the second bucket. */
#ifndef SCHEDULER_PUBLISH_H
#define SCHEDULER_PUBLISH_H

#include "lib/buffer.h"
#include "scheduler/lease.h"

#define PUBLISHED_URL_MAX 1024

/* The bucket; NULL where none is named. Ends the process when its variables make no sense. */
struct storage *publish_open(const struct settings *settings);

/* Ends a lease that publishing is not set up for, or whose source is none that may be asked; false: go on. */
bool publish_refuse(struct scheduler *scheduler, struct lease *lease);

/* Of a file with a source outside (`key` as in storage/keys.h), as TASK has it: MESSAGE_SOURCE and the URL.
 * 0, or -1 when it is of another origin than source-endpoint, or makes no URL. */
int publish_source_url(const struct settings *settings, const char *key, char url[STORAGE_URL_MAX]);

/* A PUT that binds type and Cache-Control. */
int publish_sign(const struct scheduler *scheduler, const char *key, const char *mime,
                 char url[STORAGE_URL_MAX]);

/* Where the CDN has an object; returns `target`, of PUBLISHED_URL_MAX. */
const char *published_url(char *target, const struct scheduler *scheduler, const char *key);
/* The member "cdn_urls" of a result, by kind. 0, or not 0 when it does not fit. */
int published_append_urls(struct buffer *buffer, const struct scheduler *scheduler,
                          const struct message_result *result);

#endif
