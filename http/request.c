/* SPDX-License-Identifier: MIT
 * The texts of a request: target, query parameters, headers. The guard has bounded all of them. */
#include "http/request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/memory.h"
#include "lib/text.h"

/* Name and value decoded into one block, owned by `name`. */
static int add_query(struct http_request *request, const char *start, size_t size) {
    const char *equals = memchr(start, '=', size);
    size_t name_size = equals != NULL ? (size_t)(equals - start) : size;
    const char *value = equals != NULL ? equals + 1 : "";
    size_t value_size = equals != NULL ? size - name_size - 1 : 0;
    char *block = memory_new(size + 2);

    if (text_percent_decode(block, name_size + 1, start, name_size, true) != 0 ||
        text_percent_decode(block + name_size + 1, value_size + 1, value, value_size, true) != 0) {
        free(block);
        return -1;
    }
    request->queries[request->query_count++] = (struct http_header){block, block + name_size + 1};
    return 0;
}

static int split_query(struct http_request *request) {
    size_t count = 1;

    if (*request->raw_query == '\0')
        return 0;
    for (const char *at = request->raw_query; *at != '\0'; at++)
        count += *at == '&';
    request->queries = memory_new_array(count, sizeof(request->queries[0]));
    for (const char *at = request->raw_query; *at != '\0';) {
        size_t size = strcspn(at, "&");
        if (size > 0 && add_query(request, at, size) != 0)
            return -1;
        at += size + (at[size] == '&');
    }
    return 0;
}

int request_set_target(struct http_request *request, const char *target) {
    size_t size = strlen(target);
    size_t path_size = strcspn(target, "?");

    request->texts = memory_new(2 * size + 3);
    char *raw_path = request->texts;
    char *raw_query = raw_path + path_size + 1;
    char *path = raw_query + (size - path_size) + 1;
    memcpy(raw_path, target, path_size);
    if (target[path_size] == '?')
        memcpy(raw_query, target + path_size + 1, size - path_size - 1);
    request->raw_path = raw_path;
    request->raw_query = raw_query;
    request->path = path;
    if (text_percent_decode(path, path_size + 1, raw_path, path_size, false) != 0)
        return -1;
    return split_query(request);
}

/* RFC 9110 §5.5: blanks after a value are not part of it. libmicrohttpd strips only those before it. */
static const char *trim_value(struct http_request *request, const char *value) {
    size_t size = strlen(value), trimmed = size;

    while (trimmed > 0 && (value[trimmed - 1] == ' ' || value[trimmed - 1] == '\t'))
        trimmed--;
    if (trimmed == size)
        return value;
    if (request->trimmed == NULL)
        request->trimmed = memory_new_array(GUARD_FIELD_COUNT_MAX, sizeof(request->trimmed[0]));
    char *copy = memory_copy_bytes(value, trimmed);
    request->trimmed[request->trimmed_count++] = copy;
    return copy;
}

void request_add_header(struct http_request *request, const char *name, const char *value) {
    if (request->headers == NULL)
        request->headers = memory_new_array(GUARD_FIELD_COUNT_MAX, sizeof(request->headers[0]));
    if (request->header_count < GUARD_FIELD_COUNT_MAX)
        request->headers[request->header_count++] = (struct http_header){name, trim_value(request, value)};
}

void request_clear(struct http_request *request) {
    for (size_t i = 0; i < request->query_count; i++)
        free((void *)(uintptr_t)request->queries[i].name);
    for (size_t i = 0; i < request->trimmed_count; i++)
        free(request->trimmed[i]);
    free(request->trimmed);
    free(request->queries);
    free(request->headers);
    free(request->texts);
    buffer_clear(&request->body);
    buffer_clear(&request->stream.queue);
}

const char *http_request_method(const struct http_request *request) {
    return request->method;
}

const char *http_request_path(const struct http_request *request) {
    return request->path;
}

const char *http_request_raw_path(const struct http_request *request) {
    return request->raw_path;
}

const char *http_request_raw_query(const struct http_request *request) {
    return request->raw_query;
}

const char *http_request_header(const struct http_request *request, const char *name) {
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcasecmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    }
    return NULL;
}

static size_t copy_pairs(const struct http_header *from, size_t count, struct http_header *to, size_t max) {
    size_t copied = count < max ? count : max;

    if (copied > 0)
        memcpy(to, from, copied * sizeof(to[0]));
    return copied;
}

size_t http_request_headers(const struct http_request *request, struct http_header *headers, size_t max) {
    return copy_pairs(request->headers, request->header_count, headers, max);
}

const char *http_request_query(const struct http_request *request, const char *name) {
    for (size_t i = 0; i < request->query_count; i++) {
        if (strcmp(request->queries[i].name, name) == 0)
            return request->queries[i].value;
    }
    return NULL;
}

size_t http_request_queries(const struct http_request *request, struct http_header *parameters, size_t max) {
    return copy_pairs(request->queries, request->query_count, parameters, max);
}

const char *http_request_body(const struct http_request *request, size_t *size) {
    *size = request->body.size;
    return request->body.data != NULL ? request->body.data : "";
}

uint64_t http_request_body_length(const struct http_request *request) {
    return request->frame.chunked ? UINT64_MAX : request->frame.content_length;
}

void http_request_set_context(struct http_request *request, void *context) {
    request->context = context;
}

void *http_request_context(const struct http_request *request) {
    return request->context;
}
