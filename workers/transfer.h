/* SPDX-License-Identifier: MIT
 * The two ways that a task's bytes go: the input from its presigned URL into a memory file, bounded and hashed
 * on the way; an output from its memory file to its presigned URL. No retries here: the scheduler retries the
 * task, with fresh URLs. */
#ifndef WORKERS_TRANSFER_H
#define WORKERS_TRANSFER_H

#include "config/settings.h"
#include "http/client.h"
#include "proto/message.h"
#include "storage/envelope.h"
#include "workers/deaths.h"

/* Why a transfer failed, or NULL when it did not. For inputs, `expected_bytes` and `expected_sha256` (may be
 * empty) are what the task named. */
const struct reason_row *transfer_input_reason(const struct http_client_reply *reply, uint64_t expected_bytes,
                                               const char *expected_sha256);
const struct reason_row *transfer_output_reason(const struct http_client_reply *reply);

/* Where an object goes: into `fd` from `offset` on, opened on the way where it is sealed. */
struct transfer_target {
    int fd;
    uint64_t offset;
    struct envelope_sink *sink; /* NULL: it is plain. Borrowed until done */
};

/* A sink for an object that is `bytes` long when opened; NULL for a plain one (`key` is "" or NULL). */
struct envelope_sink *transfer_sink(const char *key, int fd, uint64_t offset, uint64_t bytes);

/* Starts fetching; NULL when the URL is unusable. */
struct http_transfer *transfer_fetch(struct http_client *client, const struct settings *settings,
                                     const struct message_task *task, const struct transfer_target *target,
                                     http_client_done_fn *done, void *context);
/* The same for what an output is a copy of. */
struct http_transfer *transfer_copy(struct http_client *client, const struct settings *settings,
                                    const struct message_output *output, const struct transfer_target *target,
                                    http_client_done_fn *done, void *context);
/* The same for a part of what others made. */
struct http_transfer *transfer_fetch_part(struct http_client *client, const struct settings *settings,
                                          const struct message_part *part, const struct transfer_target *target,
                                          http_client_done_fn *done, void *context);
/* transfer_input_reason for either kind of object, of the plain bytes. `sha256` holds 65. */
const struct reason_row *transfer_target_reason(const struct transfer_target *target,
                                                const struct http_client_reply *reply, uint64_t expected_bytes,
                                                const char *expected_sha256, char *sha256);

/* The first `bytes` bytes of a file; sealed on the way where there is one to do it. */
struct transfer_source {
    int fd;
    uint64_t bytes;
    struct envelope_source *sealed; /* NULL: as it is. Borrowed until done */
    const char *cache_control; /* NULL: none */
};

/* One that seals with `key` (64 hex digits); NULL when that can't be. */
struct envelope_source *transfer_sealed(const char *key, int fd, uint64_t bytes);
/* Starts storing `source`. */
struct http_transfer *transfer_store(struct http_client *client, const struct settings *settings,
                                     const struct message_output *output, struct transfer_source source,
                                     http_client_done_fn *done, void *context);

/* Hex SHA-256 of `bytes` bytes of a file; `target` holds 65. -1 with errno. */
int transfer_hash(int fd, uint64_t offset, uint64_t bytes, char *target);

#endif
