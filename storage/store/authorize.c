/* SPDX-License-Identifier: MIT
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html. The canonical request
 * is rebuilt from the raw path and the parsed query, so what was signed is what is acted on. */
#include "storage/store/authorize.h"

#include "lib/clock.h"
#include "lib/text.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SKEW_MS (15 * 60 * 1000)
#define EXPIRES_MAX_S 604800
#define FIELD_MAX 2048
#define QUERY_MAX 8192
#define SCHEME "AWS4-HMAC-SHA256"

/* What the header or the query says, in one shape. */
struct claim {
    char credential[512];
    char signed_headers[FIELD_MAX];
    char signature[65];
    const char *date;
    uint64_t expires_s; /* presigned only */
};

struct check {
    const struct http_request *request;
    const struct sigv4_credentials *credentials;
    struct authorization *out;
    struct claim claim;
    struct http_header headers[128];
    size_t header_count;
    char query_text[QUERY_MAX]; /* decoded names and values, NUL-terminated */
    struct sigv4_pair query[SIGV4_MAX_HEADERS];
    size_t query_count;
};

static enum s3_error refuse(struct check *check, enum s3_error error, const char *words) {
    check->out->words = words;
    return error;
}

static bool is_hex(const char *text, size_t size) {
    return strlen(text) == size && text[strspn(text, "0123456789abcdef")] == '\0';
}

/* ---- the query, decoded with the rules that canonical requests are encoded with ---- */

static int decode_query(struct check *check) {
    const char *part = http_request_raw_query(check->request);
    size_t used = 0;

    while (*part != '\0') {
        size_t size = strcspn(part, "&");
        size_t name_size = strcspn(part, "=&");
        const char *value = part + name_size + (part[name_size] == '=' ? 1 : 0);
        size_t value_size = size - (size_t)(value - part);
        if (size > 0) {
            if (check->query_count == SIGV4_MAX_HEADERS || used + size + 2 > sizeof(check->query_text))
                return -1;
            char *name_text = check->query_text + used;
            if (text_percent_decode(name_text, name_size + 1, part, name_size, true) != 0)
                return -1;
            used += strlen(name_text) + 1;
            char *value_text = check->query_text + used;
            if (text_percent_decode(value_text, value_size + 1, value, value_size, true) != 0)
                return -1;
            used += strlen(value_text) + 1;
            check->query[check->query_count++] = (struct sigv4_pair){.name = name_text, .value = value_text};
        }
        part += size + (part[size] == '&' ? 1 : 0);
    }
    return 0;
}

static const char *query_value(const struct check *check, const char *name) {
    for (size_t i = 0; i < check->query_count; i++) {
        if (strcmp(check->query[i].name, name) == 0)
            return check->query[i].value;
    }
    return NULL;
}

static bool query_has_twice(const struct check *check) {
    for (size_t i = 0; i < check->query_count; i++) {
        for (size_t j = 0; j < i && strncasecmp(check->query[i].name, "x-amz-", 6) == 0; j++) {
            if (strcasecmp(check->query[i].name, check->query[j].name) == 0)
                return true;
        }
    }
    return false;
}

/* ---- reading the claim ---- */

static enum s3_error claim_from_query(struct check *check) {
    const char *algorithm = query_value(check, "X-Amz-Algorithm");
    const char *credential = query_value(check, "X-Amz-Credential");
    const char *signed_headers = query_value(check, "X-Amz-SignedHeaders");
    const char *signature = query_value(check, "X-Amz-Signature");
    const char *expires = query_value(check, "X-Amz-Expires");

    check->claim.date = query_value(check, "X-Amz-Date");
    if (algorithm == NULL || credential == NULL || signed_headers == NULL || signature == NULL ||
        expires == NULL || check->claim.date == NULL || query_has_twice(check))
        return refuse(check, S3_AUTHORIZATION_QUERY,
                      "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
                      "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.");
    if (strcmp(algorithm, SCHEME) != 0)
        return refuse(check, S3_AUTHORIZATION_QUERY, "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"");
    if (text_parse_u64(expires, 1, EXPIRES_MAX_S, &check->claim.expires_s) != 0)
        return refuse(check, S3_AUTHORIZATION_QUERY, "X-Amz-Expires must be between 1 and 604800 seconds");
    if (!is_hex(signature, 64) ||
        text_copy(check->claim.signature, sizeof(check->claim.signature), signature) != 0 ||
        text_copy(check->claim.credential, sizeof(check->claim.credential), credential) != 0 ||
        text_copy(check->claim.signed_headers, sizeof(check->claim.signed_headers), signed_headers) != 0)
        return S3_AUTHORIZATION_QUERY;
    return S3_OK;
}

/* One "name=value" of the Authorization header into its place. */
static int take_field(struct check *check, const char *field, size_t size) {
    struct {
        const char *name;
        char *target;
        size_t size;
    } fields[] = {
        {"Credential=", check->claim.credential, sizeof(check->claim.credential)},
        {"SignedHeaders=", check->claim.signed_headers, sizeof(check->claim.signed_headers)},
        {"Signature=", check->claim.signature, sizeof(check->claim.signature)},
    };

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        size_t name_size = strlen(fields[i].name);
        if (size < name_size || strncmp(field, fields[i].name, name_size) != 0)
            continue;
        if (fields[i].target[0] != '\0' || size - name_size >= fields[i].size)
            return -1;
        memcpy(fields[i].target, field + name_size, size - name_size);
        fields[i].target[size - name_size] = '\0';
        return 0;
    }
    return -1;
}

static enum s3_error claim_from_header(struct check *check, const char *value) {
    if (strncmp(value, SCHEME " ", strlen(SCHEME " ")) != 0)
        return refuse(check, S3_INVALID_REQUEST,
                      "The authorization mechanism you have provided is not supported. Please use "
                      "AWS4-HMAC-SHA256.");
    value += strlen(SCHEME);
    for (;;) {
        value += strspn(value, " ,");
        if (*value == '\0')
            break;
        size_t size = strcspn(value, " ,");
        if (take_field(check, value, size) != 0)
            return S3_AUTHORIZATION_MALFORMED;
        value += size;
    }
    if (check->claim.credential[0] == '\0' || check->claim.signed_headers[0] == '\0' ||
        !is_hex(check->claim.signature, 64))
        return S3_AUTHORIZATION_MALFORMED;
    check->claim.date = http_request_header(check->request, "x-amz-date");
    if (check->claim.date == NULL)
        return refuse(check, S3_ACCESS_DENIED, "AWS authentication requires a valid x-amz-date header");
    return S3_OK;
}

/* ---- judging it ---- */

static enum s3_error check_credential(struct check *check) {
    enum s3_error malformed = check->out->presigned ? S3_AUTHORIZATION_QUERY : S3_AUTHORIZATION_MALFORMED;
    char expected[512];
    const char *credential = check->claim.credential;
    const char *scope = strchr(credential, '/');

    if (scope == NULL)
        return malformed;
    size_t key_size = (size_t)(scope - credential);
    if (key_size != strlen(check->credentials->access_key) ||
        strncmp(credential, check->credentials->access_key, key_size) != 0)
        return S3_INVALID_ACCESS_KEY;
    if (text_format(expected, sizeof(expected), "/%.8s/%s/s3/aws4_request", check->claim.date,
                    check->credentials->region) != 0)
        return malformed;
    if (strcmp(scope, expected) != 0)
        return refuse(
            check, malformed,
            "The credential's scope must be <date of the request>/<region of the store>/s3/aws4_request.");
    return S3_OK;
}

static enum s3_error check_time(struct check *check, int64_t now_ms) {
    int64_t signed_ms;

    if (clock_parse_basic(check->claim.date, &signed_ms) != 0)
        return refuse(check, check->out->presigned ? S3_AUTHORIZATION_QUERY : S3_ACCESS_DENIED,
                      "The date of the signature must be in the ISO8601 form \"yyyyMMdd'T'HHmmss'Z'\"");
    if (!check->out->presigned)
        return signed_ms > now_ms + SKEW_MS || signed_ms < now_ms - SKEW_MS ? S3_REQUEST_TIME_SKEWED : S3_OK;
    if (signed_ms > now_ms + SKEW_MS)
        return refuse(check, S3_ACCESS_DENIED, "Request is not valid yet");
    if (now_ms >= signed_ms + (int64_t)check->claim.expires_s * 1000)
        return refuse(check, S3_ACCESS_DENIED, "Request has expired");
    return S3_OK;
}

static bool is_signed(const struct check *check, const char *name) {
    size_t size = strlen(name);

    for (const char *item = check->claim.signed_headers; *item != '\0';) {
        size_t length = strcspn(item, ";");
        if (length == size && strncasecmp(item, name, size) == 0)
            return true;
        item += length + (item[length] == ';' ? 1 : 0);
    }
    return false;
}

/* Host and every x-amz-* header must be under the signature, or a holder of a URL could add to it. */
static enum s3_error check_coverage(struct check *check) {
    if (!is_signed(check, "host"))
        return refuse(check, S3_ACCESS_DENIED, "The host header must be signed");
    for (size_t i = 0; i < check->header_count; i++) {
        if (strncasecmp(check->headers[i].name, "x-amz-", 6) == 0 &&
            !is_signed(check, check->headers[i].name))
            return refuse(check, S3_ACCESS_DENIED,
                          "There were headers present in the request which were not signed");
    }
    return S3_OK;
}

static enum s3_error find_payload_hash(struct check *check) {
    const char *hash = http_request_header(check->request, "x-amz-content-sha256");

    if (check->out->presigned) {
        const char *in_query = query_value(check, "X-Amz-Content-Sha256");
        hash = in_query != NULL ? in_query : hash;
        check->out->payload_hash = hash != NULL ? hash : SIGV4_UNSIGNED_PAYLOAD;
        if (in_query != NULL && strcmp(in_query, SIGV4_UNSIGNED_PAYLOAD) == 0)
            check->out->payload_hash = SIGV4_UNSIGNED_PAYLOAD; /* outlives the decoded query */
        else if (in_query != NULL)
            return refuse(check, S3_NOT_IMPLEMENTED,
                          "X-Amz-Content-Sha256 in the query must be UNSIGNED-PAYLOAD");
        return S3_OK;
    }
    if (hash == NULL)
        return refuse(check, S3_INVALID_REQUEST,
                      "Missing required header for this request: x-amz-content-sha256");
    check->out->payload_hash = hash;
    return S3_OK;
}

/* The signed headers as they came; one that is missing counts as empty and so spoils the signature. */
static int gather_signed(const struct check *check, char names[FIELD_MAX], struct sigv4_request *signing) {
    char *rest = NULL;

    (void)text_copy(names, FIELD_MAX, check->claim.signed_headers);
    for (char *name = strtok_r(names, ";", &rest); name != NULL; name = strtok_r(NULL, ";", &rest)) {
        bool found = false;
        for (size_t i = 0; i <= check->header_count; i++) {
            bool last = i == check->header_count;
            if (last ? found : strcasecmp(check->headers[i].name, name) != 0)
                continue;
            if (signing->header_count == SIGV4_MAX_HEADERS)
                return -1;
            signing->headers[signing->header_count++] =
                (struct sigv4_pair){.name = name, .value = last ? "" : check->headers[i].value};
            found = true;
        }
    }
    return 0;
}

static enum s3_error check_signature(struct check *check) {
    struct sigv4_request signing = {.method = http_request_method(check->request),
                                    .path = http_request_raw_path(check->request),
                                    .path_is_encoded = true,
                                    .payload_hash = check->out->payload_hash};
    char names[FIELD_MAX];
    char signed_headers[FIELD_MAX];
    char decoded_path[QUERY_MAX];
    char signature[65];
    struct buffer canonical;
    struct buffer to_sign;
    enum s3_error result = S3_SIGNATURE_MISMATCH;

    /* Clients differ in which characters of a path they escape on the wire, never in the canonical form. */
    if (text_percent_decode(decoded_path, sizeof(decoded_path), signing.path, strlen(signing.path), false) !=
        0)
        return S3_INVALID_URI;
    signing.path = decoded_path;
    signing.path_is_encoded = false;
    (void)text_copy(signing.date, sizeof(signing.date), check->claim.date);
    for (size_t i = 0; i < check->query_count; i++) {
        if (!check->out->presigned || strcmp(check->query[i].name, "X-Amz-Signature") != 0)
            signing.query[signing.query_count++] = check->query[i];
    }
    if (gather_signed(check, names, &signing) != 0)
        return refuse(check, S3_INVALID_REQUEST, "Too many signed headers");
    buffer_init(&canonical, 65536);
    buffer_init(&to_sign, 4096);
    if (sigv4_canonical_request(&signing, &canonical, signed_headers, sizeof(signed_headers)) == 0 &&
        strcmp(signed_headers, check->claim.signed_headers) == 0 &&
        sigv4_string_to_sign(check->credentials, signing.date, canonical.data, canonical.size, &to_sign) ==
            0) {
        sigv4_signature(check->credentials, signing.date, to_sign.data, signature);
        if (text_equal_secret(signature, check->claim.signature))
            result = S3_OK;
    }
    buffer_clear(&to_sign);
    buffer_clear(&canonical);
    return result;
}

bool authorize_is_anonymous(const struct http_request *request) {
    return http_request_header(request, "authorization") == NULL &&
           strcasestr(http_request_raw_query(request), "X-Amz-Signature") == NULL;
}

static enum s3_error judge(struct check *check, int64_t now_ms) {
    const char *header = http_request_header(check->request, "authorization");
    enum s3_error error;

    if (decode_query(check) != 0)
        return S3_INVALID_URI;
    check->header_count = http_request_headers(check->request, check->headers,
                                               sizeof(check->headers) / sizeof(check->headers[0]));
    check->out->presigned =
        query_value(check, "X-Amz-Signature") != NULL || query_value(check, "X-Amz-Algorithm") != NULL;
    if (header == NULL && !check->out->presigned)
        return S3_ACCESS_DENIED;
    if (header != NULL && check->out->presigned)
        return refuse(check, S3_INVALID_ARGUMENT, "Only one auth mechanism allowed");
    error = check->out->presigned ? claim_from_query(check) : claim_from_header(check, header);
    if (error == S3_OK)
        error = check_time(check, now_ms);
    if (error == S3_OK)
        error = check_credential(check);
    if (error == S3_OK)
        error = check_coverage(check);
    if (error == S3_OK)
        error = find_payload_hash(check);
    if (error == S3_OK)
        error = check_signature(check);
    if (error == S3_OK) {
        (void)text_copy(check->out->date, sizeof(check->out->date), check->claim.date);
        (void)text_copy(check->out->signature, sizeof(check->out->signature), check->claim.signature);
    }
    return error;
}

enum s3_error authorize(const struct http_request *request, const struct sigv4_credentials *credentials,
                        int64_t now_ms, struct authorization *authorization) {
    struct check *check = calloc(1, sizeof(*check));
    enum s3_error error;

    *authorization = (struct authorization){0};
    if (check == NULL)
        return S3_INTERNAL;
    check->request = request;
    check->credentials = credentials;
    check->out = authorization;
    error = judge(check, now_ms);
    free(check);
    return error;
}
