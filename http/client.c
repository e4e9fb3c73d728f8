/* SPDX-License-Identifier: MIT
 * The client on one curl multi handle: sockets and timeouts are the loop's, curl only reads and writes when
 * told. Names are resolved by curl's own threads; they touch nothing of ours. Results are delivered from a
 * timer, so that no callback runs inside a call of curl's or of our caller's. */
#include "http/client.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "http/transfer.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"

#define DETAIL_MAX 160u
#define SHA256_BYTES 32u

struct http_client {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer *timer;
    struct loop_timer *finish_timer; /* delivers transfers that ended inside a call of curl's */
    struct http_transfer *first;
    struct transfer_socket *first_socket;
    int running;
};

struct transfer_socket {
    struct http_client *client;
    struct transfer_socket *next, **place;
    struct loop_watch *watch;
    curl_socket_t fd;
};

static const struct error_row {
    const char *name;
} error_rows[] = {
    [HTTP_CLIENT_OK] = {"ok"},
    [HTTP_CLIENT_BAD_URL] = {"bad_url"},
    [HTTP_CLIENT_RESOLVE] = {"resolve"},
    [HTTP_CLIENT_CONNECT] = {"connect"},
    [HTTP_CLIENT_TLS] = {"tls"},
    [HTTP_CLIENT_TIMEOUT] = {"timeout"},
    [HTTP_CLIENT_TOO_SLOW] = {"too_slow"},
    [HTTP_CLIENT_TOO_LARGE] = {"too_large"},
    [HTTP_CLIENT_TRUNCATED] = {"truncated"},
    [HTTP_CLIENT_BLOCKED] = {"blocked"},
    [HTTP_CLIENT_WRITE] = {"write"},
    [HTTP_CLIENT_OTHER] = {"other"},
};

const char *http_client_error_name(enum http_client_error error) {
    return error_rows[error].name;
}

/* CURLE_OPERATION_TIMEDOUT is also the low-speed limit's: see map_result. */
static const struct result_row {
    CURLcode result;
    enum http_client_error error;
} result_rows[] = {
    {CURLE_OK, HTTP_CLIENT_OK},
    {CURLE_URL_MALFORMAT, HTTP_CLIENT_BAD_URL},
    {CURLE_COULDNT_RESOLVE_HOST, HTTP_CLIENT_RESOLVE},
    {CURLE_COULDNT_CONNECT, HTTP_CLIENT_CONNECT},
    {CURLE_OPERATION_TIMEDOUT, HTTP_CLIENT_TIMEOUT},
    {CURLE_PARTIAL_FILE, HTTP_CLIENT_TRUNCATED},
    {CURLE_GOT_NOTHING, HTTP_CLIENT_TRUNCATED},
    {CURLE_RECV_ERROR, HTTP_CLIENT_TRUNCATED},
    {CURLE_FILESIZE_EXCEEDED, HTTP_CLIENT_TOO_LARGE},
    {CURLE_SSL_CONNECT_ERROR, HTTP_CLIENT_TLS},
    {CURLE_PEER_FAILED_VERIFICATION, HTTP_CLIENT_TLS},
    {CURLE_SSL_CERTPROBLEM, HTTP_CLIENT_TLS},
    {CURLE_SSL_CIPHER, HTTP_CLIENT_TLS},
    {CURLE_SSL_CACERT_BADFILE, HTTP_CLIENT_TLS},
    {CURLE_SSL_ISSUER_ERROR, HTTP_CLIENT_TLS},
};

static enum http_client_error map_result(const struct http_transfer *transfer) {
    if (transfer->error != HTTP_CLIENT_OK)
        return transfer->error;
    if (transfer->blocked && transfer->result == CURLE_COULDNT_CONNECT)
        return HTTP_CLIENT_BLOCKED;
    if (transfer->result == CURLE_OPERATION_TIMEDOUT && strstr(transfer->detail, "too slow") != NULL)
        return HTTP_CLIENT_TOO_SLOW;
    if (transfer->result == CURLE_OK && !transfer->head_complete)
        return HTTP_CLIENT_TRUNCATED;
    for (size_t i = 0; i < sizeof(result_rows) / sizeof(result_rows[0]); i++) {
        if (result_rows[i].result == transfer->result)
            return result_rows[i].error;
    }
    return HTTP_CLIENT_OTHER;
}

/* ---- ending ---- */

static void transfer_free(struct http_transfer *transfer) {
    *transfer->place = transfer->next;
    if (transfer->next != NULL)
        transfer->next->place = transfer->place;
    if (transfer->easy != NULL) {
        (void)curl_multi_remove_handle(transfer->client->multi, transfer->easy);
        curl_easy_cleanup(transfer->easy);
    }
    curl_slist_free_all(transfer->headers);
    EVP_MD_CTX_free(transfer->digest);
    buffer_clear(&transfer->kept);
    free(transfer->body);
    free(transfer);
}

static void finish_digest(struct http_transfer *transfer, char hex[2 * SHA256_BYTES + 1]) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    hex[0] = '\0';
    if (transfer->digest != NULL && EVP_DigestFinal_ex(transfer->digest, digest, &size) == 1 &&
        size == SHA256_BYTES)
        text_hex_encode(hex, digest, SHA256_BYTES);
}

/* curl's words, without anything that could hold the query of a signed URL. */
static void describe(const struct http_transfer *transfer, char target[DETAIL_MAX]) {
    const char *words = transfer->detail[0] != '\0' ? transfer->detail : curl_easy_strerror(transfer->result);

    if (transfer->error != HTTP_CLIENT_OK || strchr(words, '?') != NULL)
        words = http_client_error_name(map_result(transfer));
    (void)text_copy(target, DETAIL_MAX, words);
}

static void deliver(struct http_transfer *transfer) {
    char hex[2 * SHA256_BYTES + 1], detail[DETAIL_MAX];
    curl_off_t announced = -1;
    long status = 0;
    struct http_client_reply reply = {.error = map_result(transfer)};

    if (transfer->easy != NULL) {
        (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
        (void)curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
    }
    finish_digest(transfer, hex);
    describe(transfer, detail);
    reply.status = (int)status;
    reply.received_bytes = transfer->received_bytes;
    reply.sha256 = hex[0] != '\0' && status >= 200 && status <= 299 ? hex : NULL;
    reply.etag = transfer->etag;
    reply.content_type = transfer->content_type;
    reply.content_length = announced >= 0 ? (uint64_t)announced : UINT64_MAX;
    reply.retry_after = transfer->retry_after;
    reply.date = transfer->date;
    reply.body = transfer->kept.data != NULL ? transfer->kept.data : "";
    reply.body_size = transfer->kept.size;
    reply.detail = reply.error == HTTP_CLIENT_OK ? "" : detail;

    http_client_done_fn *done = transfer->done;
    void *context = transfer->context;
    transfer->done = NULL; /* a cancel from inside `done` must not free it twice */
    done(context, &reply);
    transfer_free(transfer);
}

static void collect_ended(struct http_client *client) {
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        struct http_transfer *transfer = NULL;
        if (message->msg != CURLMSG_DONE ||
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer) != CURLE_OK)
            continue;
        transfer->ended = true;
        transfer->result = message->data.result;
        loop_timer_set(client->finish_timer, 0);
    }
}

/* `done` may start and cancel transfers, so the list is read anew after each. */
static void deliver_ended(void *context) {
    struct http_client *client = context;
    struct http_transfer *transfer;

    do {
        transfer = client->first;
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): what was freed has unlinked itself by `place` */
        while (transfer != NULL && !(transfer->ended && transfer->done != NULL))
            transfer = transfer->next;
        if (transfer != NULL)
            deliver(transfer);
    } while (transfer != NULL);
}

/* ---- driving curl ---- */

static void act(struct http_client *client, curl_socket_t fd, int events) {
    (void)curl_multi_socket_action(client->multi, fd, events, &client->running);
    collect_ended(client);
}

static void on_time(void *context) {
    act(context, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer_wish(CURLM *multi, long timeout_ms, void *context) {
    struct http_client *client = context;

    if (timeout_ms < 0)
        loop_timer_stop(client->timer);
    else
        loop_timer_set(client->timer, timeout_ms);
    return 0;
}

static void on_socket(void *context, uint32_t events) {
    struct transfer_socket *socket = context;
    int bits = ((events & LOOP_READ) != 0 ? CURL_CSELECT_IN : 0) |
               ((events & LOOP_WRITE) != 0 ? CURL_CSELECT_OUT : 0) |
               ((events & LOOP_HANGUP) != 0 ? CURL_CSELECT_ERR : 0);

    act(socket->client, socket->fd, bits);
}

static void socket_free(struct transfer_socket *socket) {
    *socket->place = socket->next;
    if (socket->next != NULL)
        socket->next->place = socket->place;
    loop_watch_free(socket->watch);
    free(socket);
}

static int on_socket_wish(CURL *easy, curl_socket_t fd, int what, void *context, void *socket_context) {
    struct http_client *client = context;
    struct transfer_socket *socket = socket_context;
    uint32_t events =
        ((what & CURL_POLL_IN) != 0 ? LOOP_READ : 0) | ((what & CURL_POLL_OUT) != 0 ? LOOP_WRITE : 0);

    if (what == CURL_POLL_REMOVE) {
        if (socket != NULL)
            socket_free(socket);
        (void)curl_multi_assign(client->multi, fd, NULL);
        return 0;
    }
    if (socket != NULL) {
        loop_watch_set(socket->watch, events);
        return 0;
    }
    socket = memory_new(sizeof(*socket));
    *socket = (struct transfer_socket){
        .client = client, .next = client->first_socket, .place = &client->first_socket, .fd = fd};
    if (socket->next != NULL)
        socket->next->place = &socket->next;
    client->first_socket = socket;
    socket->watch = loop_watch_new(client->loop, fd, events, on_socket, socket);
    (void)curl_multi_assign(client->multi, fd, socket);
    return 0;
}

/* ---- public ---- */

struct http_client *http_client_new(struct loop *loop, unsigned max_connections) {
    struct http_client *client = memory_new(sizeof(*client));

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        fatal("event=curl_failed");
    client->loop = loop;
    client->multi = curl_multi_init();
    if (client->multi == NULL)
        fatal("event=curl_failed");
    client->timer = loop_timer_new(loop, on_time, client);
    client->finish_timer = loop_timer_new(loop, deliver_ended, client);
    (void)curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wish);
    (void)curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    (void)curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer_wish);
    (void)curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    (void)curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    (void)curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)max_connections);
    (void)curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)max_connections);
    return client;
}

void http_client_free(struct http_client *client) {
    if (client == NULL)
        return;
    for (struct http_transfer *transfer = client->first, *next; transfer != NULL; transfer = next) {
        next = transfer->next;
        transfer_free(transfer);
    }
    (void)curl_multi_cleanup(client->multi);
    for (struct transfer_socket *socket = client->first_socket, *next; socket != NULL; socket = next) {
        next = socket->next;
        socket_free(socket);
    }
    loop_timer_free(client->timer);
    loop_timer_free(client->finish_timer);
    free(client);
}

struct http_transfer *http_client_start(struct http_client *client, const struct http_client_request *request,
                                        http_client_done_fn *done, void *context) {
    struct http_transfer *transfer = memory_new(sizeof(*transfer));

    *transfer = (struct http_transfer){.client = client,
                                       .next = client->first,
                                       .place = &client->first,
                                       .request = *request,
                                       .done = done,
                                       .context = context};
    if (transfer->next != NULL)
        transfer->next->place = &transfer->next;
    client->first = transfer;
    buffer_init(&transfer->kept, request->max_body);
    transfer->error = transfer_set_up(transfer);
    if (transfer->error == HTTP_CLIENT_OK && curl_multi_add_handle(client->multi, transfer->easy) != CURLM_OK)
        transfer->error = HTTP_CLIENT_OTHER;
    if (transfer->error != HTTP_CLIENT_OK) {
        transfer->ended = true;
        loop_timer_set(client->finish_timer, 0);
    }
    return transfer;
}

void http_client_cancel(struct http_transfer *transfer) {
    /* From inside its own `done` there is nothing left to abort. */
    if (transfer != NULL && transfer->done != NULL)
        transfer_free(transfer);
}
