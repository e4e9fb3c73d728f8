/* SPDX-License-Identifier: MIT
 * FETCH and UPLOAD. Objects are reached by URLs presigned here, for minutes; an artifact's URL comes from
 * outside and may lead to a public address only, unless it is the configured store's own or the operator has
 * said otherwise. The settings say where the store is; what they leave open, the payload may. */
#include <stdlib.h>
#include <string.h>

#include "http/client.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "oneshot/contract.h"

#define URL_SECONDS 3600
#define ANSWER_BYTES (64u * 1024u)
#define CONNECTIONS 2

struct contract_remote {
    struct oneshot *oneshot;
    const struct settings *settings;
    struct http_client *http;
    struct storage *storage; /* NULL: not configured */
    char problem[256];       /* then: why */
    char endpoint[300];      /* as it is configured by the operator; "" when it is not */
    bool by_payload;         /* the endpoint is the payload's */
};

struct answer {
    struct loop *loop;
    bool came;
    enum http_client_error error;
    int status;
    uint64_t bytes;
};

/* --- the store --------------------------------------------------------------------------------------------
 */

static char *first_of(char *left, const char *right) {
    return left != NULL ? left : (char *)(uintptr_t)right;
}

static void resolve(struct contract_remote *remote, const struct contract_payload *payload) {
    struct settings view = *remote->settings; /* borrows every text */

    remote->by_payload = view.storage_endpoint == NULL && view.spaces_region == NULL &&
                         view.b2_region == NULL && view.r2_account_id == NULL && payload->endpoint != NULL;
    if (remote->by_payload)
        view.storage_endpoint = (char *)(uintptr_t)payload->endpoint;
    view.storage_bucket = first_of(view.storage_bucket, payload->bucket);
    /* SPACES_REGION is every stand-in's region, too. */
    view.storage_region = first_of(first_of(view.storage_region, view.spaces_region), payload->region);
    remote->storage = storage_new(&view, remote->problem, sizeof remote->problem);
    if (view.storage_endpoint != NULL && !remote->by_payload)
        (void)text_copy(remote->endpoint, sizeof remote->endpoint, view.storage_endpoint);
}

struct contract_remote *contract_remote_new(struct oneshot *oneshot, const struct settings *settings,
                                            const struct contract_payload *payload) {
    struct contract_remote *remote = memory_new(sizeof *remote);

    remote->oneshot = oneshot;
    remote->settings = settings;
    remote->http = http_client_new(oneshot_loop(oneshot), CONNECTIONS);
    resolve(remote, payload);
    return remote;
}

void contract_remote_free(struct contract_remote *remote) {
    if (remote == NULL)
        return;
    http_client_free(remote->http);
    storage_free(remote->storage);
    free(remote);
}

/* --- one transfer -----------------------------------------------------------------------------------------
 */

static void on_answer(void *context, const struct http_client_reply *reply) {
    struct answer *answer = context;

    answer->came = true;
    answer->error = reply->error;
    answer->status = reply->status;
    answer->bytes = reply->received_bytes;
    loop_stop(answer->loop, 0);
}

/* false: a signal came first, or the URL can't be asked at all. */
static bool transfer(struct contract_remote *remote, const struct http_client_request *request,
                     struct answer *answer) {
    struct http_transfer *going;

    *answer = (struct answer){.loop = oneshot_loop(remote->oneshot)};
    if (oneshot_signal(remote->oneshot) != 0)
        return false;
    going = http_client_start(remote->http, request, on_answer, answer);
    if (going == NULL)
        return false;
    (void)loop_run(answer->loop);
    if (!answer->came)
        http_client_cancel(going);
    return answer->came;
}

/* --- FETCH ------------------------------------------------------------------------------------------------
 */

/* Does the URL lead to the store that the operator has configured? */
static bool is_own_store(const struct contract_remote *remote, const char *url) {
    size_t size = strlen(remote->endpoint);

    while (size > 0 && remote->endpoint[size - 1] == '/')
        size--;
    return size > 0 && strncmp(url, remote->endpoint, size) == 0 && url[size] == '/';
}

static int presign_raw(struct contract_remote *remote, const char *path, char *url,
                       struct contract_error *error) {
    const struct storage_presign what = {
        .method = "GET", .key = path, .expires_s = URL_SECONDS, .internal = true, .content_length = -1};

    if (remote->storage == NULL)
        return contract_fail(error, "FETCH_FAILED", "no storage: %s", remote->problem);
    if (storage_presign(remote->storage, &what, url, STORAGE_URL_MAX) != 0)
        return contract_fail(error, "FETCH_FAILED", "raw_path makes no URL");
    return 0;
}

static int judge_fetch(const struct contract_remote *remote, const struct answer *answer,
                       struct contract_error *error) {
    switch (answer->error) {
    case HTTP_CLIENT_OK:
        break;
    case HTTP_CLIENT_TIMEOUT:
    case HTTP_CLIENT_TOO_SLOW:
        return contract_fail(error, "FETCH_TIMEOUT", "the artifact did not come in time");
    case HTTP_CLIENT_TOO_LARGE:
        return contract_fail(error, "FETCH_FAILED", "the artifact is larger than %lld bytes",
                             (long long)remote->settings->run_max_input_bytes);
    case HTTP_CLIENT_BLOCKED:
        return contract_fail(
            error, "FETCH_FAILED",
            "the artifact's address is not public (FILEMILL_RUN_PRIVATE_ADDRESSES=on allows it)");
    default:
        return contract_fail(error, "FETCH_FAILED", "the artifact could not be fetched: %s",
                             http_client_error_name(answer->error));
    }
    if (answer->status != 200)
        return contract_fail(error, "FETCH_FAILED", "the artifact's server answered %d", answer->status);
    if (answer->bytes == 0)
        return contract_fail(error, "FETCH_FAILED", "the artifact is empty");
    return 0;
}

int contract_fetch(struct contract_remote *remote, const struct contract_payload *payload,
                   struct document *document, struct contract_error *error) {
    const struct settings *settings = remote->settings;
    char signed_url[STORAGE_URL_MAX];
    struct http_client_request request = {
        .method = "GET",
        .url = payload->url,
        .upload_fd = -1,
        .sink_fd = document->input,
        .max_bytes = (uint64_t)settings->run_max_input_bytes,
        .timeout_ms = settings->transfer_timeout_ms,
        .low_speed_ms = settings->transfer_low_speed_ms,
    };
    struct answer answer;

    if (payload->url != NULL) {
        request.global_only = !settings->run_private_addresses && !is_own_store(remote, payload->url);
    } else {
        if (presign_raw(remote, payload->raw_path, signed_url, error) != 0)
            return -1;
        request.url = signed_url;
        request.global_only = remote->by_payload && !settings->run_private_addresses;
    }
    if (!transfer(remote, &request, &answer))
        return contract_fail(error, "FETCH_FAILED",
                             oneshot_signal(remote->oneshot) != 0 ? "stopped by a signal"
                                                                  : "the artifact's URL can't be used");
    if (judge_fetch(remote, &answer, error) != 0)
        return -1;
    return document_seal_input(document, answer.bytes) == 0
               ? 0
               : contract_fail(error, "FETCH_FAILED", "the artifact is not as long as it was said to be");
}

/* --- UPLOAD -----------------------------------------------------------------------------------------------
 */

int contract_upload(struct contract_remote *remote, const struct document *document, size_t output,
                    const char *path, struct contract_error *error) {
    const char *mime = document->row->outputs[output].mime;
    const struct storage_presign what = {.method = "PUT",
                                         .key = path,
                                         .expires_s = URL_SECONDS,
                                         .internal = true,
                                         .content_type = mime,
                                         .content_length = (int64_t)document->output_bytes[output]};
    char url[STORAGE_URL_MAX], type[128];
    const char *headers[] = {type, NULL};
    struct http_client_request request = {
        .method = "PUT",
        .url = url,
        .headers = headers,
        .upload_fd = document->outputs[output],
        .upload_bytes = document->output_bytes[output],
        .sink_fd = -1,
        .max_bytes = ANSWER_BYTES,
        .timeout_ms = remote->settings->transfer_timeout_ms,
        .low_speed_ms = remote->settings->transfer_low_speed_ms,
        .global_only = remote->by_payload && !remote->settings->run_private_addresses,
    };
    struct answer answer;

    if (remote->storage == NULL)
        return contract_fail(error, "UPLOAD_FAILED", "no storage: %s", remote->problem);
    if (storage_presign(remote->storage, &what, url, sizeof url) != 0 ||
        text_format(type, sizeof type, "Content-Type: %s", mime) != 0)
        return contract_fail(error, "UPLOAD_FAILED", "%s makes no URL", path);
    if (!transfer(remote, &request, &answer))
        return contract_fail(error, "UPLOAD_FAILED", "stopped by a signal");
    if (answer.error != HTTP_CLIENT_OK)
        return contract_fail(error, "UPLOAD_FAILED", "%s: %s", path, http_client_error_name(answer.error));
    if (answer.status < 200 || answer.status > 204)
        return contract_fail(error, "UPLOAD_FAILED", "%s: the store answered %d", path, answer.status);
    return 0;
}
