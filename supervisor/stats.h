/* SPDX-License-Identifier: MIT
 * The operators' socket: Unix, mode 0600, one line in, one text out, then it is closed. Bounded in clients,
 * line, answer and time. It parses; what a command does is the caller's. */
#ifndef SUPERVISOR_STATS_H
#define SUPERVISOR_STATS_H

#include "lib/loop.h"
#include "supervisor/command.h"
#include <stddef.h>

struct stats;
struct stats_client;

/* Must lead to exactly one stats_reply for this client, at once or later. */
typedef void stats_command_fn(void *context, const struct command *command, struct stats_client *client);

/* NULL with one line in `error`. */
struct stats *stats_new(struct loop *loop, const char *path, stats_command_fn *fn, void *context, char *error,
                        size_t error_size);
/* Also forgets clients that wait for a reply: nobody may reply to them afterwards. NULL is fine. */
void stats_free(struct stats *stats);

/* Sends a text (copied) and closes. */
void stats_reply(struct stats_client *client, const char *text);
/* "error ERROR" as a line. */
void stats_reply_error(struct stats_client *client, const char *error);

#endif
