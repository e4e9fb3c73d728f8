/* SPDX-License-Identifier: MIT
 * The client on one curl multi handle: sockets and timeouts are the loop's, curl only reads and writes when told.
 * Names are resolved by curl's own threads; they touch nothing of ours. What a transfer may do is fixed in
 * set_rules; what it asks for in set_method. The only user of curl. */
#include "http/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/buffer.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"

#define CONNECT_TIMEOUT_MS 10000L
#define LOW_SPEED_BYTES_PER_SECOND 1000L
#define PROGRESS_INTERVAL_MS 250
#define REPLY_HEADER_MAX 1024u
#define REPLY_HEADERS_BYTES_MAX 65536u
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

struct http_transfer {
    struct http_client *client;
    struct http_transfer *next, **place;
    CURL *easy;
    struct http_client_request request; /* its pointers are only used while starting, but for descriptors */
    struct curl_slist *headers;
    char *body;
    http_client_done_fn *done;
    void *context;
    enum http_client_error error; /* known before curl ends; HTTP_CLIENT_OK: curl's result decides */
    bool ended;
    CURLcode result;
    uint64_t received_bytes, header_bytes, sent_bytes, written_bytes;
    int64_t progress_ms;
    EVP_MD_CTX *digest;
    struct buffer kept;
    char etag[REPLY_HEADER_MAX], content_type[REPLY_HEADER_MAX], retry_after[REPLY_HEADER_MAX];
    char detail[CURL_ERROR_SIZE];
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
    {CURLE_UNSUPPORTED_PROTOCOL, HTTP_CLIENT_BAD_URL},
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
    if (transfer->result == CURLE_OPERATION_TIMEDOUT && strstr(transfer->detail, "too slow") != NULL)
        return HTTP_CLIENT_TOO_SLOW;
    for (size_t i = 0; i < sizeof(result_rows) / sizeof(result_rows[0]); i++) {
        if (result_rows[i].result == transfer->result)
            return result_rows[i].error;
    }
    return HTTP_CLIENT_OTHER;
}

/* ---- what curl calls for a transfer ---- */

static int fail(struct http_transfer *transfer, enum http_client_error error) {
    if (transfer->error == HTTP_CLIENT_OK)
        transfer->error = error;
    return -1;
}

static bool is_success(const struct http_transfer *transfer) {
    long status = 0;

    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status <= 299;
}

static int write_sink(struct http_transfer *transfer, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = pwrite(transfer->request.sink_fd, bytes, size, (off_t)transfer->written_bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            log_warn_errno("event=http_client_sink_failed offset=%llu", (unsigned long long)transfer->written_bytes);
            return -1;
        }
        transfer->written_bytes += (uint64_t)written;
        bytes += written;
        size -= (size_t)written;
    }
    return 0;
}

static void keep_bytes(struct http_transfer *transfer, const char *bytes, size_t size) {
    size_t space = transfer->kept.max - transfer->kept.size;

    (void)buffer_append(&transfer->kept, bytes, size < space ? size : space);
}

static int take_bytes(struct http_transfer *transfer, const char *bytes, size_t size) {
    bool success = is_success(transfer);

    if (size > transfer->request.max_bytes - transfer->received_bytes)
        return fail(transfer, HTTP_CLIENT_TOO_LARGE);
    transfer->received_bytes += size;
    if (success && transfer->digest != NULL && EVP_DigestUpdate(transfer->digest, bytes, size) != 1)
        return fail(transfer, HTTP_CLIENT_OTHER);
    if (success && transfer->request.sink_fd >= 0)
        return write_sink(transfer, bytes, size) == 0 ? 0 : fail(transfer, HTTP_CLIENT_WRITE);
    keep_bytes(transfer, bytes, size);
    return 0;
}

static size_t on_body(char *bytes, size_t unit, size_t count, void *context) {
    size_t size = unit * count;

    if (take_bytes(context, bytes, size) != 0)
        return size == 0 ? 1 : 0; /* anything but `size` ends the transfer */
    return size;
}

/* A value is kept whole or not at all: a cut ETag would be another one. */
static void keep_header(char target[REPLY_HEADER_MAX], const char *value, size_t size) {
    while (size > 0 && (*value == ' ' || *value == '\t')) {
        value++;
        size--;
    }
    while (size > 0 && strchr(" \t\r\n", value[size - 1]) != NULL && value[size - 1] != '\0')
        size--;
    if (size >= REPLY_HEADER_MAX || memchr(value, '\0', size) != NULL)
        size = 0;
    memcpy(target, value, size);
    target[size] = '\0';
}

static size_t on_header(char *bytes, size_t unit, size_t count, void *context) {
    struct http_transfer *transfer = context;
    size_t size = unit * count;
    const struct {
        const char *name;
        char *target;
    } wanted[] = {{"ETag:", transfer->etag},
                  {"Content-Type:", transfer->content_type},
                  {"Retry-After:", transfer->retry_after}};

    transfer->header_bytes += size;
    if (transfer->header_bytes > REPLY_HEADERS_BYTES_MAX) {
        (void)fail(transfer, HTTP_CLIENT_TOO_LARGE);
        return 0;
    }
    if (size >= 5 && memcmp(bytes, "HTTP/", 5) == 0) { /* a new head, after 100 Continue */
        for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
            wanted[i].target[0] = '\0';
    }
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        size_t name_size = strlen(wanted[i].name);
        if (size > name_size && strncasecmp(bytes, wanted[i].name, name_size) == 0)
            keep_header(wanted[i].target, bytes + name_size, size - name_size);
    }
    return size;
}

static size_t on_upload(char *target, size_t unit, size_t count, void *context) {
    struct http_transfer *transfer = context;
    size_t space = unit * count;
    uint64_t left = transfer->request.upload_bytes - transfer->sent_bytes;
    size_t size = left < space ? (size_t)left : space;
    ssize_t got;

    if (size == 0)
        return 0;
    do {
        got = pread(transfer->request.upload_fd, target, size, (off_t)transfer->sent_bytes);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) { /* unreadable, or shorter than was said */
        (void)fail(transfer, HTTP_CLIENT_OTHER);
        return CURL_READFUNC_ABORT;
    }
    transfer->sent_bytes += (uint64_t)got;
    return (size_t)got;
}

/* curl rewinds when a reused connection turned out dead before anything was answered. */
static int on_seek(void *context, curl_off_t offset, int origin) {
    struct http_transfer *transfer = context;

    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > transfer->request.upload_bytes)
        return CURL_SEEKFUNC_FAIL;
    transfer->sent_bytes = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static int on_progress(void *context, curl_off_t total_in, curl_off_t in, curl_off_t total_out, curl_off_t out) {
    struct http_transfer *transfer = context;
    int64_t now_ms = clock_monotonic_ms();

    (void)total_in;
    (void)total_out;
    if (now_ms - transfer->progress_ms >= PROGRESS_INTERVAL_MS) {
        transfer->progress_ms = now_ms;
        transfer->request.progress(transfer->context, (uint64_t)in, (uint64_t)out);
    }
    return 0;
}

/* The check is on the address about to be dialled, after all resolving. */
static curl_socket_t on_open(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    struct http_transfer *transfer = context;

    (void)purpose;
    if (!http_address_is_global(&address->addr)) {
        (void)fail(transfer, HTTP_CLIENT_BLOCKED);
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- setting up ---- */

/* The rules that hold for every transfer. */
static CURLcode set_rules(struct http_transfer *transfer) {
    CURL *easy = transfer->easy;
    const char *authorities = getenv("SSL_CERT_FILE");
    const struct {
        CURLoption option;
        long value;
    } numbers[] = {
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_SSL_VERIFYPEER, 1},
        {CURLOPT_SSL_VERIFYHOST, 2},
        {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
        {CURLOPT_HTTP09_ALLOWED, 0},
        {CURLOPT_NETRC, CURL_NETRC_IGNORED},
        {CURLOPT_EXPECT_100_TIMEOUT_MS, 1},
        {CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS},
        {CURLOPT_TCP_NODELAY, 1},
        {CURLOPT_BUFFERSIZE, 128L << 10},
        {CURLOPT_UPLOAD_BUFFERSIZE, 128L << 10},
    };
    CURLcode failed = CURLE_OK;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && failed == CURLE_OK; i++)
        failed = curl_easy_setopt(easy, numbers[i].option, numbers[i].value);
    if (failed == CURLE_OK)
        failed = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    if (failed == CURLE_OK)
        failed = curl_easy_setopt(easy, CURLOPT_PROXY, "");
    if (failed == CURLE_OK)
        failed = curl_easy_setopt(easy, CURLOPT_USERAGENT, "filemill/" FILEMILL_VERSION);
    if (failed == CURLE_OK && authorities != NULL && *authorities != '\0')
        failed = curl_easy_setopt(easy, CURLOPT_CAINFO, authorities);
    return failed;
}

static void set_callbacks(struct http_transfer *transfer) {
    CURL *easy = transfer->easy;

    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->detail);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    if (transfer->request.global_only) {
        (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
        (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
        /* A connection that another transfer opened without the check must not be borrowed. */
        (void)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    }
    if (transfer->request.progress != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
        (void)curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
        (void)curl_easy_setopt(easy, CURLOPT_XFERINFODATA, transfer);
    }
}

static curl_off_t clamp_offset(uint64_t bytes) {
    return bytes < (uint64_t)INT64_MAX ? (curl_off_t)bytes : INT64_MAX;
}

static void set_limits(struct http_transfer *transfer) {
    const struct http_client_request *request = &transfer->request;

    (void)curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, (long)(request->timeout_ms > 0 ? request->timeout_ms : 1));
    /* Refuses what is announced as too large before reading it; take_bytes counts what really comes. */
    if (strcmp(request->method, "HEAD") != 0)
        (void)curl_easy_setopt(transfer->easy, CURLOPT_MAXFILESIZE_LARGE, clamp_offset(request->max_bytes));
    if (request->low_speed_ms > 0) {
        (void)curl_easy_setopt(transfer->easy, CURLOPT_LOW_SPEED_LIMIT, LOW_SPEED_BYTES_PER_SECOND);
        (void)curl_easy_setopt(transfer->easy, CURLOPT_LOW_SPEED_TIME, (long)((request->low_speed_ms + 999) / 1000));
    }
}

static void set_body(struct http_transfer *transfer) {
    const struct http_client_request *request = &transfer->request;
    CURL *easy = transfer->easy;

    if (request->upload_fd >= 0) {
        (void)curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->upload_bytes);
        (void)curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_upload);
        (void)curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
        (void)curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
        (void)curl_easy_setopt(easy, CURLOPT_SEEKDATA, transfer);
        return;
    }
    transfer->body = memory_copy_bytes(request->body != NULL ? request->body : "", request->body_size);
    (void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->body);
}

static void set_method(struct http_transfer *transfer, const char *method) {
    const struct http_client_request *request = &transfer->request;
    bool has_body = request->upload_fd >= 0 || request->body_size > 0 || strcmp(method, "PUT") == 0 ||
                    strcmp(method, "POST") == 0;

    if (has_body)
        set_body(transfer);
    if (strcmp(method, "HEAD") == 0)
        (void)curl_easy_setopt(transfer->easy, CURLOPT_NOBODY, 1L);
    else
        (void)curl_easy_setopt(transfer->easy, CURLOPT_CUSTOMREQUEST, method);
}

static int add_header(struct http_transfer *transfer, const char *line) {
    struct curl_slist *longer;

    if (strpbrk(line, "\r\n") != NULL)
        return -1;
    longer = curl_slist_append(transfer->headers, line);
    if (longer == NULL)
        return -1;
    transfer->headers = longer;
    return 0;
}

static int set_headers(struct http_transfer *transfer, const char *const *headers) {
    /* Without these rows curl would add headers that a signature does not cover, or wait for a 100. */
    static const char *const removed[] = {"Expect:", "Accept:"};
    bool has_type = false;

    for (size_t i = 0; i < sizeof(removed) / sizeof(removed[0]); i++) {
        if (add_header(transfer, removed[i]) != 0)
            return -1;
    }
    for (; headers != NULL && *headers != NULL; headers++) {
        has_type = has_type || strncasecmp(*headers, "Content-Type:", 13) == 0;
        if (add_header(transfer, *headers) != 0)
            return -1;
    }
    if (!has_type && add_header(transfer, "Content-Type:") != 0)
        return -1;
    return curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers) == CURLE_OK ? 0 : -1;
}

/* A URL with credentials in it, a fragment, or bytes that curl would have to repair, is nothing we ever make. */
static int check_url(const char *url) {
    CURLU *parts = curl_url();
    char *user = NULL, *password = NULL;
    int result = -1;

    for (const char *at = url; *at != '\0'; at++) {
        if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f || *at == '\\')
            goto free_parts;
    }
    if (parts == NULL || curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK)
        goto free_parts;
    if (curl_url_get(parts, CURLUPART_USER, &user, 0) != CURLUE_NO_USER ||
        curl_url_get(parts, CURLUPART_PASSWORD, &password, 0) != CURLUE_NO_PASSWORD)
        goto free_parts;
    result = 0;

free_parts:
    curl_free(user);
    curl_free(password);
    curl_url_cleanup(parts);
    return result;
}

static enum http_client_error set_up(struct http_transfer *transfer, const struct http_client_request *request) {
    if (check_url(request->url) != 0)
        return HTTP_CLIENT_BAD_URL;
    transfer->easy = curl_easy_init();
    if (transfer->easy == NULL || set_rules(transfer) != CURLE_OK || set_headers(transfer, request->headers) != 0)
        return HTTP_CLIENT_OTHER;
    if (curl_easy_setopt(transfer->easy, CURLOPT_URL, request->url) != CURLE_OK)
        return HTTP_CLIENT_BAD_URL;
    set_callbacks(transfer);
    set_limits(transfer);
    set_method(transfer, request->method);
    if (request->hash) {
        transfer->digest = EVP_MD_CTX_new();
        if (transfer->digest == NULL || EVP_DigestInit_ex(transfer->digest, EVP_sha256(), NULL) != 1)
            return HTTP_CLIENT_OTHER;
    }
    if (curl_multi_add_handle(transfer->client->multi, transfer->easy) != CURLM_OK)
        return HTTP_CLIENT_OTHER;
    return HTTP_CLIENT_OK;
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
    if (transfer->digest != NULL && EVP_DigestFinal_ex(transfer->digest, digest, &size) == 1 && size == SHA256_BYTES)
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

    (void)multi;
    if (timeout_ms < 0)
        loop_timer_stop(client->timer);
    else
        loop_timer_set(client->timer, timeout_ms);
    return 0;
}

static void on_socket(void *context, uint32_t events) {
    struct transfer_socket *socket = context;
    int bits = ((events & LOOP_READ) != 0 ? CURL_CSELECT_IN : 0) | ((events & LOOP_WRITE) != 0 ? CURL_CSELECT_OUT : 0) |
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
    uint32_t events = ((what & CURL_POLL_IN) != 0 ? LOOP_READ : 0) | ((what & CURL_POLL_OUT) != 0 ? LOOP_WRITE : 0);

    (void)easy;
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
    while (client->first != NULL)
        transfer_free(client->first);
    (void)curl_multi_cleanup(client->multi);
    while (client->first_socket != NULL)
        socket_free(client->first_socket);
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
    transfer->error = set_up(transfer, request);
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
