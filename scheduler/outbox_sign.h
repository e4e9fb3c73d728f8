/* SPDX-License-Identifier: MIT
 * Signing webhooks by Standard Webhooks 1.0 (github.com/standard-webhooks/standard-webhooks): HMAC-SHA256
 * over "id.timestamp.body". The only place that reads secrets; they never leave the process. */
#ifndef SCHEDULER_OUTBOX_SIGN_H
#define SCHEDULER_OUTBOX_SIGN_H

#include <stddef.h>
#include <stdint.h>

#define OUTBOX_SIGNATURE_MAX 112 /* two of "v1," and 44 characters, a blank between */

struct outbox_text {
    const char *id;
    int64_t timestamp_s;
    const char *body;
};

/* The value of webhook-signature, for the secret "whsec_<base64>" and, unless NULL, the one before it. -1
 * when the secret is none. */
int outbox_sign(char signature[OUTBOX_SIGNATURE_MAX], const struct outbox_text *text, const char *secret,
                const char *previous);

#endif
