/* SPDX-License-Identifier: MIT
 * JSON over the HTTP client: builds the headers, parses the answer, hands both on. */
#include "demo/api.h"
#include "lib/memory.h"
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX_BYTES (1u << 20)
#define CALL_TIMEOUT_MS 15000

struct call {
    api_done_fn *done;
    void *context;
};

static void call_done(void *context, const struct http_client_reply *reply) {
    struct call *call = context;
    json_t *body = NULL;
    int status = reply->error == HTTP_CLIENT_OK ? reply->status : 0;
    if (status != 0 && reply->body_size > 0)
        body = json_loadb(reply->body, reply->body_size, 0, NULL);
    call->done(call->context, status, body);
    json_decref(body);
    free(call);
}

void api_call(struct api *api, const char *method, const char *path, json_t *request, api_done_fn *done,
              void *context) {
    struct call *call = memory_new(sizeof *call);
    call->done = done;
    call->context = context;

    char *url = memory_format("%s%s", api->base_url, path);
    char *authorization = memory_format("Authorization: Bearer %s", api->token);
    char *body = request == NULL ? NULL : json_dumps(request, JSON_COMPACT);
    const char *headers[] = {authorization, body == NULL ? NULL : "Content-Type: application/json", NULL};
    const struct http_client_request transfer = {
        .method = method,
        .url = url,
        .headers = headers,
        .body = body,
        .body_size = body == NULL ? 0 : strlen(body),
        .upload_fd = -1,
        .sink_fd = -1,
        .max_bytes = ANSWER_MAX_BYTES,
        .max_body = ANSWER_MAX_BYTES,
        .timeout_ms = CALL_TIMEOUT_MS,
    };
    http_client_start(api->client, &transfer, call_done, call);
    json_decref(request);
    free(body);
    free(authorization);
    free(url);
}

const char *api_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}
