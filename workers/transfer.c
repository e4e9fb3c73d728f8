/* SPDX-License-Identifier: MIT
 * Requests for transfers, and what their answers mean. */
#include "workers/transfer.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/text.h"
#include "storage/envelope.h"

#define ANSWER_MAX_BYTES (64u * 1024u)
#define ANSWER_KEPT_BYTES 512
#define HASH_CHUNK (256u * 1024u)
#define HEADER_SIZE 512
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* What stood in the way before there was an answer. */
static const char *const error_codes[] = {
    [HTTP_CLIENT_BAD_URL] = "storage_refused",       [HTTP_CLIENT_RESOLVE] = "storage_unavailable",
    [HTTP_CLIENT_CONNECT] = "storage_unavailable",   [HTTP_CLIENT_TLS] = "storage_unavailable",
    [HTTP_CLIENT_TIMEOUT] = "storage_unavailable",   [HTTP_CLIENT_TOO_SLOW] = "storage_unavailable",
    [HTTP_CLIENT_TOO_LARGE] = "input_changed",       [HTTP_CLIENT_TRUNCATED] = "storage_unavailable",
    [HTTP_CLIENT_BLOCKED] = "storage_refused",       [HTTP_CLIENT_WRITE] = "memory_limit",
    [HTTP_CLIENT_OTHER] = "storage_unavailable",
};

static const struct {
    int first, last;
    const char *code; /* NULL: as it should be */
} input_statuses[] = {
    {200, 200, NULL},
    {404, 404, "input_missing"},
    {410, 410, "input_missing"},
    {412, 412, "input_changed"},
    {408, 408, "storage_unavailable"},
    {429, 429, "storage_unavailable"},
    {400, 499, "storage_refused"},
    {0, 999, "storage_unavailable"},
}, output_statuses[] = {
    {200, 204, NULL},
    {408, 409, "storage_unavailable"},
    {429, 429, "storage_unavailable"},
    {400, 499, "storage_refused"},
    {0, 999, "storage_unavailable"},
};

static const struct reason_row *error_reason(enum http_client_error error) {
    const char *code = (size_t)error < COUNT_OF(error_codes) ? error_codes[error] : NULL;

    return reason_find(code == NULL ? "storage_unavailable" : code);
}

const struct reason_row *transfer_input_reason(const struct http_client_reply *reply, uint64_t expected_bytes,
                                               const char *expected_sha256) {
    const char *code = NULL;

    if (reply->error != HTTP_CLIENT_OK)
        return error_reason(reply->error);
    for (size_t i = 0; i < COUNT_OF(input_statuses); i++) {
        if (reply->status >= input_statuses[i].first && reply->status <= input_statuses[i].last) {
            code = input_statuses[i].code;
            break;
        }
    }
    if (code != NULL)
        return reason_find(code);
    if (reply->received_bytes != expected_bytes)
        return reason_find("input_changed");
    if (expected_sha256[0] != '\0' && (reply->sha256 == NULL || strcasecmp(reply->sha256, expected_sha256) != 0))
        return reason_find("input_changed");
    return NULL;
}

const struct reason_row *transfer_output_reason(const struct http_client_reply *reply) {
    if (reply->error == HTTP_CLIENT_TOO_LARGE) /* an endless answer to a PUT */
        return reason_find("storage_unavailable");
    if (reply->error != HTTP_CLIENT_OK)
        return error_reason(reply->error);
    for (size_t i = 0; i < COUNT_OF(output_statuses); i++) {
        if (reply->status >= output_statuses[i].first && reply->status <= output_statuses[i].last)
            return output_statuses[i].code == NULL ? NULL : reason_find(output_statuses[i].code);
    }
    return reason_find("storage_unavailable");
}

/* ---- sealed objects ---- */

struct envelope_sink *transfer_sink(const char *key, int fd, uint64_t offset, uint64_t bytes) {
    unsigned char secret[ENVELOPE_KEY_BYTES];
    struct envelope_sink *sink;

    if (key == NULL || text_hex_decode(secret, sizeof secret, key) != 0)
        return NULL; /* the message's own check lets nothing but a key or "" through */
    sink = envelope_sink_new(secret, fd, offset, bytes);
    explicit_bzero(secret, sizeof secret);
    return sink;
}

struct envelope_source *transfer_sealed(const char *key, int fd, uint64_t bytes) {
    unsigned char secret[ENVELOPE_KEY_BYTES];
    struct envelope_source *source;

    if (text_hex_decode(secret, sizeof secret, key) != 0)
        return NULL;
    source = envelope_source_new(secret, fd, bytes);
    explicit_bzero(secret, sizeof secret);
    return source;
}

static int write_sink(void *stream, const void *bytes, size_t size) {
    return envelope_sink_write(stream, bytes, size);
}

static int64_t read_source(void *stream, uint64_t offset, void *target, size_t max) {
    return envelope_source_read(stream, offset, target, max);
}

const struct reason_row *transfer_target_reason(const struct transfer_target *target,
                                                const struct http_client_reply *reply, uint64_t expected_bytes,
                                                const char *expected_sha256, char *sha256) {
    const struct reason_row *reason;

    if (target->sink == NULL) {
        if (reply->sha256 != NULL)
            (void)text_copy(sha256, 65, reply->sha256);
        return transfer_input_reason(reply, expected_bytes, expected_sha256);
    }
    if (envelope_sink_is_broken(target->sink) || reply->error == HTTP_CLIENT_TOO_LARGE)
        return reason_find("decrypt_failed");
    reason = transfer_input_reason(reply, reply->received_bytes, "");
    if (reason != NULL)
        return reason;
    if (envelope_sink_end(target->sink) != 0)
        return reason_find("decrypt_failed");
    if (transfer_hash(target->fd, target->offset, expected_bytes, sha256) != 0)
        return reason_find("memory_limit");
    return expected_sha256[0] == '\0' || strcasecmp(sha256, expected_sha256) == 0 ? NULL
                                                                                  : reason_find("input_changed");
}

/* The most that an object of so many plain bytes may be as stored: chunks may be smaller than ours. */
static uint64_t most_bytes(const struct transfer_target *target, uint64_t plain) {
    if (target->sink != NULL)
        return envelope_sealed_bytes(plain, ENVELOPE_MIN_CHUNK_BYTES);
    return plain > 0 ? plain : 1; /* an empty input must still be empty */
}

struct http_transfer *transfer_fetch(struct http_client *client, const struct settings *settings,
                                     const struct message_task *task, const struct transfer_target *target,
                                     http_client_done_fn *done, void *context) {
    char condition[HEADER_SIZE];
    const char *headers[] = {condition, NULL};
    struct http_client_request request = {
        .method = "GET",
        .url = task->input_url,
        .upload_fd = -1,
        .sink_fd = target->sink == NULL ? target->fd : -1,
        .sink_offset = target->offset,
        .sink = target->sink == NULL ? NULL : write_sink,
        .stream = target->sink,
        .max_bytes = most_bytes(target, task->input_bytes),
        .max_body = ANSWER_KEPT_BYTES,
        .hash = target->sink == NULL,
        .timeout_ms = settings->transfer_timeout_ms,
        .low_speed_ms = settings->transfer_low_speed_ms,
    };

    if (task->input_etag[0] != '\0') {
        if (text_format(condition, sizeof condition, "If-Match: %s", task->input_etag) != 0)
            return NULL;
        request.headers = headers;
    }
    return http_client_start(client, &request, done, context);
}

struct http_transfer *transfer_copy(struct http_client *client, const struct settings *settings,
                                    const struct message_output *output, const struct transfer_target *target,
                                    http_client_done_fn *done, void *context) {
    const struct message_task task = {
        .input_url = output->source, .input_bytes = output->size_bytes, .input_etag = ""};

    return transfer_fetch(client, settings, &task, target, done, context);
}

struct http_transfer *transfer_fetch_part(struct http_client *client, const struct settings *settings,
                                          const struct message_part *part, const struct transfer_target *target,
                                          http_client_done_fn *done, void *context) {
    const struct message_task task = {
        .input_url = part->url, .input_bytes = part->size_bytes, .input_etag = ""};

    return transfer_fetch(client, settings, &task, target, done, context);
}

struct http_transfer *transfer_store(struct http_client *client, const struct settings *settings,
                                     const struct message_output *output, struct transfer_source source,
                                     http_client_done_fn *done, void *context) {
    char type[HEADER_SIZE];
    char cache[HEADER_SIZE];
    const char *headers[] = {type, NULL, NULL};
    struct http_client_request request = {
        .method = "PUT",
        .url = output->url,
        .headers = headers,
        .upload_fd = source.sealed == NULL ? source.fd : -1,
        .upload_read = source.sealed == NULL ? NULL : read_source,
        .stream = source.sealed,
        .upload_bytes = source.sealed == NULL ? source.bytes : envelope_source_bytes(source.sealed),
        .sink_fd = -1,
        .max_bytes = ANSWER_MAX_BYTES,
        .max_body = ANSWER_KEPT_BYTES,
        .timeout_ms = settings->transfer_timeout_ms,
        .low_speed_ms = settings->transfer_low_speed_ms,
    };

    if (text_format(type, sizeof type, "Content-Type: %s", output->mime) != 0)
        return NULL;
    if (source.cache_control != NULL) { /* as the URL's signature has it */
        if (text_format(cache, sizeof cache, "Cache-Control: %s", source.cache_control) != 0)
            return NULL;
        headers[1] = cache;
    }
    return http_client_start(client, &request, done, context);
}

int transfer_hash(int fd, uint64_t offset, uint64_t bytes, char *target) {
    static unsigned char chunk[HASH_CHUNK];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_size = 0;
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    int status = hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 ? 0 : -1;

    for (uint64_t at = 0; status == 0 && at < bytes;) {
        size_t wanted = bytes - at < HASH_CHUNK ? (size_t)(bytes - at) : HASH_CHUNK;
        ssize_t count = pread(fd, chunk, wanted, (off_t)(offset + at));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0 || EVP_DigestUpdate(hash, chunk, (size_t)count) != 1)
            status = -1;
        else
            at += (uint64_t)count;
    }
    if (status == 0 && EVP_DigestFinal_ex(hash, digest, &digest_size) == 1)
        text_hex_encode(target, digest, digest_size);
    else
        status = -1;
    EVP_MD_CTX_free(hash);
    return status;
}
