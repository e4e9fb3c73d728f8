/* SPDX-License-Identifier: MIT
 * AWS Signature Version 4: the canonical request, the string to sign, and the two places a signature can be
 * put. Names are compared and sorted in their encoded form, as the specification asks. Holds no state and
 * never logs: secrets pass through here. */
#include "storage/sigv4.h"

#include "lib/text.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define DIGEST_SIZE 32
#define SCOPE_MAX 256
#define PRESIGN_EXPIRES_MAX 604800
#define CANONICAL_MAX 65536

static const char upper_hex[] = "0123456789ABCDEF";

static bool is_unreserved(unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static int append_encoded(struct buffer *out, const char *text, size_t size, bool keep_slash) {
    size_t plain = 0; /* since here nothing had to be escaped */

    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        char escape[3] = {'%', upper_hex[c >> 4], upper_hex[c & 15]};
        if (is_unreserved(c) || (keep_slash && c == '/'))
            continue;
        if (buffer_append(out, text + plain, i - plain) != 0 || buffer_append(out, escape, 3) != 0)
            return -1;
        plain = i + 1;
    }
    return buffer_append(out, text + plain, size - plain);
}

/* Dot segments and empty segments go, as other services than S3 want it (RFC 3986 §5.2.4). */
static int append_normalized(struct buffer *out, const char *path) {
    size_t start = out->size;
    bool directory = false;

    for (const char *segment = path; *segment == '/';) {
        size_t length = strcspn(segment + 1, "/");
        bool dot = length == 1 && segment[1] == '.';
        bool dots = length == 2 && segment[1] == '.' && segment[2] == '.';
        if (dots) {
            while (out->size > start && out->data[out->size - 1] != '/')
                out->size--;
            if (out->size > start)
                out->data[--out->size] = '\0';
        } else if (length > 0 && !dot && buffer_append(out, segment, length + 1) != 0) {
            return -1;
        }
        directory = dot || dots || length == 0;
        segment += length + 1;
    }
    if ((directory || out->size == start) && buffer_append_text(out, "/") != 0)
        return -1;
    return 0;
}

static int append_path(const struct sigv4_request *request, struct buffer *out) {
    struct buffer normalized;
    struct buffer encoded;
    const char *path = request->path;
    int result = -1;

    buffer_init(&normalized, out->max);
    buffer_init(&encoded, out->max);
    if (request->normalize_path) {
        if (append_normalized(&normalized, path) != 0)
            goto clear;
        path = normalized.data;
    }
    if (!request->path_is_encoded) {
        if (append_encoded(&encoded, path, strlen(path), true) != 0)
            goto clear;
        path = encoded.data;
    }
    result =
        request->encode_twice ? append_encoded(out, path, strlen(path), true) : buffer_append_text(out, path);
clear:
    buffer_clear(&encoded);
    buffer_clear(&normalized);
    return result;
}

struct encoded_pair {
    size_t name; /* offsets into one buffer of NUL-terminated texts */
    size_t value;
    const char *texts;
};

static int compare_encoded(const void *left, const void *right) {
    const struct encoded_pair *a = left;
    const struct encoded_pair *b = right;
    int order = strcmp(a->texts + a->name, b->texts + b->name);

    return order != 0 ? order : strcmp(a->texts + a->value, b->texts + b->value);
}

static int append_query(const struct sigv4_pair *query, size_t count, struct buffer *out) {
    struct encoded_pair pairs[SIGV4_MAX_HEADERS];
    struct buffer texts;
    int result = -1;

    if (count > SIGV4_MAX_HEADERS)
        return -1;
    buffer_init(&texts, out->max);
    for (size_t i = 0; i < count; i++) {
        pairs[i].name = texts.size;
        if (append_encoded(&texts, query[i].name, strlen(query[i].name), false) != 0 ||
            buffer_append(&texts, "", 1) != 0)
            goto clear;
        pairs[i].value = texts.size;
        if (append_encoded(&texts, query[i].value, strlen(query[i].value), false) != 0 ||
            buffer_append(&texts, "", 1) != 0)
            goto clear;
    }
    for (size_t i = 0; i < count; i++)
        pairs[i].texts = texts.data;
    if (count > 1)
        qsort(pairs, count, sizeof(pairs[0]), compare_encoded);
    for (size_t i = 0; i < count; i++) {
        if ((i > 0 && buffer_append_text(out, "&") != 0) ||
            buffer_append_text(out, texts.data + pairs[i].name) != 0 || buffer_append_text(out, "=") != 0 ||
            buffer_append_text(out, texts.data + pairs[i].value) != 0)
            goto clear;
    }
    result = 0;
clear:
    buffer_clear(&texts);
    return result;
}

/* Trims, and makes one space of every run of blanks (line folds included). */
static int append_header_value(struct buffer *out, const char *value) {
    static const char blanks[] = " \t\r\n";
    bool first = true;

    for (;;) {
        value += strspn(value, blanks);
        size_t length = strcspn(value, blanks);
        if (length == 0)
            return 0;
        if ((!first && buffer_append_text(out, " ") != 0) || buffer_append(out, value, length) != 0)
            return -1;
        first = false;
        value += length;
    }
}

/* A stable order by name: values of a name that comes twice keep their order. */
static void sort_headers(const struct sigv4_request *request, const struct sigv4_pair *sorted[]) {
    for (size_t i = 0; i < request->header_count; i++) {
        size_t place = i;
        while (place > 0 && strcasecmp(sorted[place - 1]->name, request->headers[i].name) > 0) {
            sorted[place] = sorted[place - 1];
            place--;
        }
        sorted[place] = &request->headers[i];
    }
}

static int append_lower(struct buffer *out, const char *name) {
    for (; *name != '\0'; name++) {
        char c = *name >= 'A' && *name <= 'Z' ? (char)(*name - 'A' + 'a') : *name;
        if (buffer_append(out, &c, 1) != 0)
            return -1;
    }
    return 0;
}

/* The header block without its closing line, and the list of names. */
static int append_headers(const struct sigv4_request *request, struct buffer *out, struct buffer *names) {
    const struct sigv4_pair *sorted[SIGV4_MAX_HEADERS];

    if (request->header_count == 0 || request->header_count > SIGV4_MAX_HEADERS)
        return -1;
    sort_headers(request, sorted);
    for (size_t i = 0; i < request->header_count; i++) {
        bool again = i > 0 && strcasecmp(sorted[i - 1]->name, sorted[i]->name) == 0;
        if (!again) {
            if (i > 0 && (buffer_append_text(out, "\n") != 0 || buffer_append_text(names, ";") != 0))
                return -1;
            if (append_lower(out, sorted[i]->name) != 0 || append_lower(names, sorted[i]->name) != 0)
                return -1;
        }
        if (buffer_append_text(out, again ? "," : ":") != 0 ||
            append_header_value(out, sorted[i]->value) != 0)
            return -1;
    }
    return buffer_append_text(out, "\n");
}

int sigv4_canonical_request(const struct sigv4_request *request, struct buffer *out, char *signed_headers,
                            size_t signed_headers_size) {
    struct buffer names;
    int result = -1;

    buffer_init(&names, signed_headers_size);
    if (buffer_append_format(out, "%s\n", request->method) != 0 || append_path(request, out) != 0 ||
        buffer_append_text(out, "\n") != 0 || append_query(request->query, request->query_count, out) != 0 ||
        buffer_append_text(out, "\n") != 0 || append_headers(request, out, &names) != 0 ||
        buffer_append_format(out, "\n%s\n%s", names.data, request->payload_hash) != 0)
        goto clear;
    result = text_copy(signed_headers, signed_headers_size, names.data);
clear:
    buffer_clear(&names);
    return result;
}

static int format_scope(const struct sigv4_credentials *credentials, const char *date,
                        char scope[SCOPE_MAX]) {
    return text_format(scope, SCOPE_MAX, "%.8s/%s/%s/aws4_request", date, credentials->region,
                       credentials->service);
}

int sigv4_string_to_sign(const struct sigv4_credentials *credentials, const char *date,
                         const char *canonical_request, size_t size, struct buffer *out) {
    unsigned char digest[DIGEST_SIZE];
    char hex[2 * DIGEST_SIZE + 1];
    char scope[SCOPE_MAX];

    if (format_scope(credentials, date, scope) != 0 ||
        EVP_Digest(canonical_request, size, digest, NULL, EVP_sha256(), NULL) != 1)
        return -1;
    text_hex_encode(hex, digest, sizeof(digest));
    return buffer_append_format(out, ALGORITHM "\n%s\n%s\n%s", date, scope, hex);
}

static void hmac_sha256(const void *key, size_t key_size, const char *text, size_t text_size,
                        unsigned char digest[DIGEST_SIZE]) {
    unsigned int size = DIGEST_SIZE;

    HMAC(EVP_sha256(), key, (int)key_size, (const unsigned char *)text, text_size, digest, &size);
}

static void derive_key(const struct sigv4_credentials *credentials, const char *date,
                       unsigned char key[DIGEST_SIZE]) {
    char secret[512];

    /* A secret that does not fit was refused when the settings were read. */
    (void)text_format(secret, sizeof(secret), "AWS4%s", credentials->secret_key);
    hmac_sha256(secret, strlen(secret), date, strnlen(date, 8), key);
    hmac_sha256(key, DIGEST_SIZE, credentials->region, strlen(credentials->region), key);
    hmac_sha256(key, DIGEST_SIZE, credentials->service, strlen(credentials->service), key);
    hmac_sha256(key, DIGEST_SIZE, "aws4_request", strlen("aws4_request"), key);
    OPENSSL_cleanse(secret, sizeof(secret));
}

void sigv4_signature(const struct sigv4_credentials *credentials, const char *date,
                     const char *string_to_sign, char signature[65]) {
    struct sigv4_key fresh = {.day = ""};
    struct sigv4_key *key = credentials->key != NULL ? credentials->key : &fresh;
    unsigned char digest[DIGEST_SIZE];

    if (key->day[0] == '\0' || strncmp(key->day, date, 8) != 0) {
        derive_key(credentials, date, key->bytes);
        (void)text_format(key->day, sizeof(key->day), "%.8s", date);
    }
    hmac_sha256(key->bytes, DIGEST_SIZE, string_to_sign, strlen(string_to_sign), digest);
    text_hex_encode(signature, digest, sizeof(digest));
    OPENSSL_cleanse(&fresh, sizeof(fresh));
}

static int sign(const struct sigv4_credentials *credentials, const struct sigv4_request *request,
                char *signed_headers, size_t signed_headers_size, char signature[65]) {
    struct buffer canonical;
    struct buffer to_sign;
    int result = -1;

    buffer_init(&canonical, CANONICAL_MAX);
    buffer_init(&to_sign, CANONICAL_MAX);
    if (sigv4_canonical_request(request, &canonical, signed_headers, signed_headers_size) == 0 &&
        sigv4_string_to_sign(credentials, request->date, canonical.data, canonical.size, &to_sign) == 0) {
        sigv4_signature(credentials, request->date, to_sign.data, signature);
        result = 0;
    }
    buffer_clear(&to_sign);
    buffer_clear(&canonical);
    return result;
}

int sigv4_authorization(const struct sigv4_credentials *credentials, const struct sigv4_request *request,
                        struct buffer *out) {
    char signed_headers[2048];
    char signature[65];
    char scope[SCOPE_MAX];

    if (format_scope(credentials, request->date, scope) != 0 ||
        sign(credentials, request, signed_headers, sizeof(signed_headers), signature) != 0)
        return -1;
    return buffer_append_format(out, ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s",
                                credentials->access_key, scope, signed_headers, signature);
}

static void add_query(struct sigv4_request *request, const char *name, const char *value) {
    request->query[request->query_count++] = (struct sigv4_pair){.name = name, .value = value};
}

/* The names of the headers that will be signed; the canonical form is computed once more with the query. */
static int list_signed_headers(const struct sigv4_request *request, char *target, size_t size) {
    struct buffer block;
    struct buffer names;
    int result = -1;

    buffer_init(&block, 65536);
    buffer_init(&names, size);
    if (append_headers(request, &block, &names) == 0)
        result = text_copy(target, size, names.data);
    buffer_clear(&names);
    buffer_clear(&block);
    return result;
}

int sigv4_presign_query(const struct sigv4_credentials *credentials, const struct sigv4_request *request,
                        int64_t expires_s, struct buffer *out) {
    struct sigv4_request full = *request;
    char signed_headers[2048];
    char signature[65];
    char scope[SCOPE_MAX];
    char credential[2 * SCOPE_MAX];
    char expires[24];

    if (expires_s < 1 || expires_s > PRESIGN_EXPIRES_MAX || full.query_count + 6 > SIGV4_MAX_HEADERS)
        return -1;
    if (format_scope(credentials, request->date, scope) != 0 ||
        text_format(credential, sizeof(credential), "%s/%s", credentials->access_key, scope) != 0 ||
        text_format(expires, sizeof(expires), "%lld", (long long)expires_s) != 0 ||
        list_signed_headers(request, signed_headers, sizeof(signed_headers)) != 0)
        return -1;
    add_query(&full, "X-Amz-Algorithm", ALGORITHM);
    add_query(&full, "X-Amz-Credential", credential);
    add_query(&full, "X-Amz-Date", request->date);
    add_query(&full, "X-Amz-Expires", expires);
    if (credentials->session_token != NULL)
        add_query(&full, "X-Amz-Security-Token", credentials->session_token);
    add_query(&full, "X-Amz-SignedHeaders", signed_headers);
    if (sign(credentials, &full, signed_headers, sizeof(signed_headers), signature) != 0)
        return -1;
    if (buffer_append_text(out, "?") != 0 || append_query(full.query, full.query_count, out) != 0)
        return -1;
    return buffer_append_format(out, "&X-Amz-Signature=%s", signature);
}
