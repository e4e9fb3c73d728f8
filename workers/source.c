/* SPDX-License-Identifier: MIT
 * See source.h. The header with the bearer is wiped when the client has copied it. */
#include "workers/source.h"

#include <string.h>

#include "lib/text.h"

#define BEARER_MAX 2048
#define ANSWER_KEPT_BYTES 512

static const struct {
    int first, last;
    const char *code; /* NULL: as it should be */
} statuses[] = {
    {200, 200, NULL},
    {300, 399, "source_refused"}, /* redirects are not followed: the bearer is for one origin */
    {404, 404, "source_missing"},
    {410, 410, "source_missing"},
    {408, 408, "source_unavailable"},
    {429, 429, "source_unavailable"},
    {400, 499, "source_refused"},
    {0, 999, "source_unavailable"},
};

bool source_is(const struct message_task *task) {
    return text_starts_with(task->input_url, MESSAGE_SOURCE);
}

struct http_transfer *source_fetch(struct http_client *client, const struct settings *settings,
                                   const struct message_task *task, const struct transfer_target *target,
                                   http_client_done_fn *done, void *context) {
    char bearer[BEARER_MAX];
    const char *headers[] = {bearer, NULL};
    const struct http_client_request request = {
        .method = "GET",
        .url = task->input_url + strlen(MESSAGE_SOURCE),
        .headers = settings->source_secret == NULL ? NULL : headers,
        .upload_fd = -1,
        .sink_fd = target->fd,
        .max_bytes = task->input_bytes,
        .max_body = ANSWER_KEPT_BYTES,
        .hash = true,
        .timeout_ms = settings->transfer_timeout_ms,
        .low_speed_ms = settings->transfer_low_speed_ms,
    };
    struct http_transfer *transfer = NULL;

    if (settings->source_endpoint == NULL || !text_has_same_origin(request.url, settings->source_endpoint))
        return NULL;
    if (text_format(bearer, sizeof bearer, "Authorization: Bearer %s",
                    settings->source_secret == NULL ? "" : settings->source_secret) == 0)
        transfer = http_client_start(client, &request, done, context);
    explicit_bzero(bearer, sizeof bearer);
    return transfer;
}

const struct reason_row *source_reason(const struct http_client_reply *reply) {
    if (reply->error == HTTP_CLIENT_TOO_LARGE)
        return reason_find("source_too_large");
    if (reply->error == HTTP_CLIENT_WRITE)
        return reason_find("memory_limit");
    if (reply->error != HTTP_CLIENT_OK)
        return reason_find("source_unavailable");
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (reply->status >= statuses[i].first && reply->status <= statuses[i].last)
            return statuses[i].code == NULL ? NULL : reason_find(statuses[i].code);
    }
    return reason_find("source_unavailable");
}
