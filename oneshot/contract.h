/* SPDX-License-Identifier: MIT
 * `filemill run --contract`: exactly one JSON payload in, exactly one out, exit status 0 whatever happened to
 * the document. The stages are FETCH, DECODE, QUALITY, ENHANCE, OCR, SCHEMA (the five in one runner) and
 * UPLOAD; a failure has a code, and the code has its stage and says whether trying again can help. */
#ifndef ONESHOT_CONTRACT_H
#define ONESHOT_CONTRACT_H

#include "config/settings.h"
#include "oneshot/oneshot.h"
#include "storage/portal_paths.h"
#include "storage/storage.h"
#include <jansson.h>
#include <stdbool.h>

#define CONTRACT_MESSAGE_SIZE 256
#define CONTRACT_PAYLOAD_MAX (1u << 20)
#define CONTRACT_WARNINGS_MAX 32

struct contract_code {
    const char *code, *stage;
    bool retryable;
};

struct contract_error {
    const struct contract_code *code; /* NULL: none */
    char message[CONTRACT_MESSAGE_SIZE];
};

/* contract_payload.c: texts are the JSON's. */
struct contract_payload {
    json_t *root;
    const char *job, *user;                 /* UUIDs */
    const char *url, *raw_path;             /* exactly one */
    const char *mime;                       /* as declared; "" when it is not */
    json_t *schema;                         /* portal_schema: an object */
    const char *bucket, *region, *endpoint; /* NULL: not said */
};

/* Reads all of `fd`. 0, or -1 after contract_fail; `job` is then set if it was a UUID. Clear it in either
 * case. */
int contract_payload_read(struct contract_payload *payload, int fd, struct contract_error *error);
void contract_payload_clear(struct contract_payload *payload);

/* contract_transfer.c */
struct contract_remote;

/* Resolves the store from settings and, where they say nothing, the payload. A store is only asked for when
 * it is used: NULL never. */
struct contract_remote *contract_remote_new(struct oneshot *oneshot, const struct settings *settings,
                                            const struct contract_payload *payload);
void contract_remote_free(struct contract_remote *remote);
/* The artifact into the document's input, sealed. 0, or -1 after contract_fail. */
int contract_fetch(struct contract_remote *remote, const struct contract_payload *payload,
                   struct document *document, struct contract_error *error);
/* An output to its path. 0, or -1 after contract_fail. */
int contract_upload(struct contract_remote *remote, const struct document *document, size_t output,
                    const char *path, struct contract_error *error);

/* contract.c */

/* Notes code and message; returns -1. The first failure stands. */
int contract_fail(struct contract_error *error, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The whole of it; `refusal`: why nothing can be run (the configuration), or NULL. The exit status: 1 only
 * when the payload could not be written. */
int contract_serve(struct settings *settings, const char *refusal, int standard_output);

#endif
