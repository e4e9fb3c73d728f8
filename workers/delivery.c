/* SPDX-License-Identifier: MIT
 * One transfer per webhook. An answer is its status line: what follows it is read only for an excerpt, and
 * may be too long, too slow or cut. Redirects are answers like any other. */
#include "workers/delivery.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http/client.h"
#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "lib/trace.h"
#include "workers/verdict.h"

#define REPLY_MAX_BYTES (1024u * 1024u)
#define EXCERPT_BYTES 1024
#define TIMEOUT_MAX_MS 120000

struct delivery {
    struct deliveries *deliveries;
    struct delivery *next;
    struct http_transfer *transfer;
    char id[UUID_TEXT_SIZE], trace[TRACE_ID_SIZE];
    uint64_t epoch;
    int64_t started_ms;
};

struct deliveries {
    struct http_client *http;
    const struct settings *settings;
    const struct outbound *outbound;
    deliveries_answer_fn *answer;
    void *context;
    struct delivery *first;
    int64_t count;
    bool draining;
};

struct deliveries *deliveries_new(struct loop *loop, const struct settings *settings,
                                  const struct outbound *outbound, deliveries_answer_fn *answer,
                                  void *context) {
    struct deliveries *deliveries = memory_new(sizeof *deliveries);

    *deliveries =
        (struct deliveries){.settings = settings, .outbound = outbound, .answer = answer, .context = context};
    deliveries->http = http_client_new(loop, (unsigned)settings->webhook_concurrency);
    return deliveries;
}

static void delivery_unlink(struct delivery *delivery) {
    struct delivery **link = &delivery->deliveries->first;

    while (*link != delivery)
        link = &(*link)->next;
    *link = delivery->next;
    delivery->deliveries->count--;
    free(delivery);
}

static void answer(struct deliveries *deliveries, const struct message_delivery *item) {
    struct message message = {.type = MESSAGE_DELIVERED, .deliveries = {.count = 1}};

    message.deliveries.items[0] = *item;
    deliveries->answer(deliveries->context, &message);
}

static void answer_unsent(struct deliveries *deliveries, const char *id, uint64_t epoch, const char *reason) {
    const struct message_delivery item = {.id = id, .epoch = epoch, .error = reason};

    answer(deliveries, &item);
}

void deliveries_free(struct deliveries *deliveries) {
    if (deliveries == NULL)
        return;
    while (deliveries->first != NULL) {
        struct delivery *delivery = deliveries->first;
        http_client_cancel(delivery->transfer);
        answer_unsent(deliveries, delivery->id, delivery->epoch, "drain");
        delivery_unlink(delivery);
    }
    http_client_free(deliveries->http);
    free(deliveries);
}

void deliveries_drain(struct deliveries *deliveries) {
    deliveries->draining = true;
}

/* The first bytes of an answer as a text: what is not printable becomes a blank, and it ends at a NUL. */
static void take_excerpt(char excerpt[EXCERPT_BYTES + 1], const struct http_client_reply *reply) {
    size_t size = reply->body_size < EXCERPT_BYTES ? reply->body_size : EXCERPT_BYTES;

    for (size_t i = 0; i < size; i++)
        excerpt[i] = (unsigned char)reply->body[i] < ' ' || reply->body[i] == 0x7f ? ' ' : reply->body[i];
    excerpt[size] = '\0';
}

static void on_answered(void *context, const struct http_client_reply *reply) {
    struct delivery *delivery = context;
    char excerpt[EXCERPT_BYTES + 1];
    struct message_delivery item = {.id = delivery->id, .epoch = delivery->epoch, .excerpt = excerpt};
    bool delivered = reply->status >= 200 && reply->status <= 299;
    int64_t retry_after_ms = verdict_retry_after(reply->retry_after, (int64_t)time(NULL));

    delivery->transfer = NULL;
    take_excerpt(excerpt, reply);
    item.status = reply->status > 0 && reply->status <= 999 ? (uint64_t)reply->status : 0;
    item.error = item.status > 0 ? "" : http_client_error_name(reply->error);
    item.latency_ms = (uint64_t)(clock_monotonic_ms() - delivery->started_ms);
    item.retry_after_s = retry_after_ms > 0 ? (uint64_t)retry_after_ms / 1000 : 0;
    counter_add(delivered ? COUNT_WEBHOOKS_SENT : COUNT_WEBHOOKS_FAILED, 1);
    log_info("webhook=%s epoch=%llu status=%d error=%s latency_ms=%llu state=%s trace=%s", delivery->id,
             (unsigned long long)delivery->epoch, reply->status, http_client_error_name(reply->error),
             (unsigned long long)item.latency_ms, delivered ? "delivered" : "not-delivered", delivery->trace);
    answer(delivery->deliveries, &item);
    delivery_unlink(delivery);
}

static void delivery_start(struct deliveries *deliveries, const struct message_delivery *item) {
    struct delivery *delivery = memory_new(sizeof *delivery);
    char id[96], timestamp[48], signature[300], trace[TRACE_LINE_SIZE];
    const char *const headers[] = {"Content-Type: application/json",
                                   id,
                                   timestamp,
                                   signature,
                                   trace_line(trace, item->trace) == 0 ? trace : NULL,
                                   NULL};
    const struct http_client_request request = {
        .method = "POST",
        .url = item->url,
        .headers = headers,
        .body = item->body,
        .body_size = strlen(item->body),
        .upload_fd = -1,
        .sink_fd = -1,
        .max_bytes = REPLY_MAX_BYTES,
        .max_body = EXCERPT_BYTES,
        .timeout_ms = item->timeout_ms < TIMEOUT_MAX_MS ? (int64_t)item->timeout_ms : TIMEOUT_MAX_MS,
        .outbound = deliveries->outbound,
    };

    (void)text_format(id, sizeof id, "webhook-id: %s", item->message);
    (void)text_format(timestamp, sizeof timestamp, "webhook-timestamp: %llu",
                      (unsigned long long)item->timestamp);
    (void)text_format(signature, sizeof signature, "webhook-signature: %s", item->signature);
    delivery->deliveries = deliveries;
    (void)text_copy(delivery->id, sizeof delivery->id, item->id);
    if (trace_is_id(item->trace))
        (void)text_copy(delivery->trace, sizeof delivery->trace, item->trace);
    delivery->epoch = item->epoch;
    delivery->started_ms = clock_monotonic_ms();
    delivery->next = deliveries->first;
    deliveries->first = delivery;
    deliveries->count++;
    delivery->transfer = http_client_start(deliveries->http, &request, on_answered, delivery);
}

void deliveries_start(struct deliveries *deliveries, const struct message_deliveries *batch) {
    for (size_t i = 0; i < batch->count; i++) {
        const struct message_delivery *item = &batch->items[i];
        const char *refusal = outbound_refuses_url(deliveries->outbound, item->url);
        if (deliveries->draining)
            answer_unsent(deliveries, item->id, item->epoch, "drain");
        else if (deliveries->count >= deliveries->settings->webhook_concurrency)
            answer_unsent(deliveries, item->id, item->epoch, "overload");
        else if (refusal != NULL)
            answer_unsent(deliveries, item->id, item->epoch, "blocked");
        else
            delivery_start(deliveries, item);
    }
}
