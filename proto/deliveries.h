/* SPDX-License-Identifier: MIT
 * Webhooks on their way between scheduler and worker: part of message.h, which says how messages travel. */
#ifndef PROTO_DELIVERIES_H
#define PROTO_DELIVERIES_H

#include <stddef.h>
#include <stdint.h>

#define MESSAGE_MAX_DELIVERIES 16
#define MESSAGE_MAX_WEBHOOK 8192

/* A webhook, signed: the secret stays with the scheduler. */
struct message_delivery {
    const char *id; /* of the delivery: UUID */
    uint64_t epoch; /* echoed */
    /* DELIVER only */
    const char *url;
    const char *message; /* webhook-id */
    uint64_t timestamp;  /* webhook-timestamp */
    const char *signature;
    const char *body;
    uint64_t timeout_ms;
    /* DELIVERED only */
    uint64_t status;       /* of the answer; 0: none came */
    const char *error;     /* why none came: "timeout", "blocked" …; "overload", "drain": it was not sent */
    uint64_t latency_ms, retry_after_s;
    const char *excerpt;   /* of the answer's body */
    const char *trace; /* of the job that it tells of; may be empty */
};

struct message_deliveries {
    struct message_delivery items[MESSAGE_MAX_DELIVERIES];
    size_t count;
};

#endif
