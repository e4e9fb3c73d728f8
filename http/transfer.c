/* SPDX-License-Identifier: MIT
 * What a transfer may do is fixed in set_rules; what it asks for in set_method; what comes is counted, hashed
 * and written in the callbacks. */
#include "http/transfer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/outbound.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"

#define CONNECT_TIMEOUT_MS 10000L
#define LOW_SPEED_BYTES_PER_SECOND 1000L
#define PROGRESS_INTERVAL_MS 250
#define REPLY_HEADERS_BYTES_MAX 65536u

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
        ssize_t written = pwrite(transfer->request.sink_fd, bytes, size,
                                 (off_t)(transfer->request.sink_offset + transfer->written_bytes));
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            log_warn_errno("event=http_client_sink_failed offset=%llu",
                           (unsigned long long)transfer->written_bytes);
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
    if (success && transfer->request.sink != NULL)
        return transfer->request.sink(transfer->request.stream, bytes, size) == 0
                   ? 0
                   : fail(transfer, HTTP_CLIENT_WRITE);
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
                  {"Retry-After:", transfer->retry_after},
                  {"Date:", transfer->date}};

    transfer->header_bytes += size;
    if (transfer->header_bytes > REPLY_HEADERS_BYTES_MAX) {
        (void)fail(transfer, HTTP_CLIENT_TOO_LARGE);
        return 0;
    }
    if (size >= 5 && memcmp(bytes, "HTTP/", 5) == 0) { /* a new head, after 100 Continue */
        for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
            wanted[i].target[0] = '\0';
        transfer->head_complete = false;
    }
    if (size > 0 && (bytes[0] == '\r' || bytes[0] == '\n'))
        transfer->head_complete = true;
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
    int64_t got;

    if (size == 0)
        return 0;
    if (transfer->request.upload_read != NULL) {
        got = transfer->request.upload_read(transfer->request.stream, transfer->sent_bytes, target, size);
    } else {
        do {
            got = pread(transfer->request.upload_fd, target, size, (off_t)transfer->sent_bytes);
        } while (got < 0 && errno == EINTR);
    }
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

static int on_progress(void *context, curl_off_t total_in, curl_off_t in, curl_off_t total_out,
                       curl_off_t out) {
    struct http_transfer *transfer = context;
    int64_t now_ms = clock_monotonic_ms();

    if (now_ms - transfer->progress_ms >= PROGRESS_INTERVAL_MS) {
        transfer->progress_ms = now_ms;
        transfer->request.progress(transfer->context, (uint64_t)in, (uint64_t)out);
    }
    return 0;
}

/* The check is on the address about to be dialled, after all resolving. */
static curl_socket_t on_open(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    struct http_transfer *transfer = context;

    if (transfer->request.outbound != NULL
            ? !outbound_allows_address(transfer->request.outbound, &address->addr)
            : !http_address_is_global(&address->addr)) {
        transfer->blocked = true; /* another address of the name may do */
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
    if (transfer->request.global_only || transfer->request.outbound != NULL) {
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

    (void)curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS,
                           (long)(request->timeout_ms > 0 ? request->timeout_ms : 1));
    if (request->connect_timeout_ms > 0)
        (void)curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_timeout_ms);
    /* Refuses what is announced as too large before reading it; take_bytes counts what really comes. */
    if (strcmp(request->method, "HEAD") != 0)
        (void)curl_easy_setopt(transfer->easy, CURLOPT_MAXFILESIZE_LARGE, clamp_offset(request->max_bytes));
    if (request->low_speed_ms > 0) {
        (void)curl_easy_setopt(transfer->easy, CURLOPT_LOW_SPEED_LIMIT, LOW_SPEED_BYTES_PER_SECOND);
        (void)curl_easy_setopt(transfer->easy, CURLOPT_LOW_SPEED_TIME,
                               (long)((request->low_speed_ms + 999) / 1000));
    }
}

static void set_body(struct http_transfer *transfer) {
    const struct http_client_request *request = &transfer->request;
    CURL *easy = transfer->easy;

    if (request->upload_fd >= 0 || request->upload_read != NULL) {
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
    bool has_body = request->upload_fd >= 0 || request->upload_read != NULL || request->body_size > 0 ||
                    strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0;

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

static bool has_plain_bytes(const char *url) {
    for (; *url != '\0'; url++) {
        if ((unsigned char)*url <= ' ' || (unsigned char)*url >= 0x7f || *url == '\\')
            return false;
    }
    return true;
}

/* Credentials in a URL, another scheme, or bytes that curl would have to repair: nothing we ever make. */
static int check_url(const char *url) {
    CURLU *parts = curl_url();
    char *scheme = NULL, *user = NULL, *password = NULL;
    int result = -1;

    if (parts != NULL && has_plain_bytes(url) && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
        curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_NO_USER &&
        curl_url_get(parts, CURLUPART_PASSWORD, &password, 0) == CURLUE_NO_PASSWORD)
        result = 0;
    curl_free(scheme);
    curl_free(user);
    curl_free(password);
    curl_url_cleanup(parts);
    return result;
}

enum http_client_error transfer_set_up(struct http_transfer *transfer) {
    const struct http_client_request *request = &transfer->request;

    if (check_url(request->url) != 0)
        return HTTP_CLIENT_BAD_URL;
    transfer->easy = curl_easy_init();
    if (transfer->easy == NULL || set_rules(transfer) != CURLE_OK ||
        set_headers(transfer, request->headers) != 0)
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
    return HTTP_CLIENT_OK;
}
