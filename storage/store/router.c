/* SPDX-License-Identifier: MIT
 * From a request's head to its row, and its body through the payload check into the row's hands. Nothing runs
 * before the signature has been checked, but /health and CORS preflights. */
#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "storage/store/cors.h"
#include "storage/store/routes.h"
#include "storage/store/xml.h"
#include <string.h>
#include <strings.h>

#define OBJECT_MAX_BYTES (5ull << 30)
#define FRAMING_MAX_BYTES (512ull << 20) /* of aws-chunked, over the object */
#define IGNORED_BODY_MAX_BYTES 65536

static void run_health(struct call *call) {
    call_reply(call, 200, NULL);
}

static void run_unknown(struct call *call) {
    call_fail(call, S3_METHOD_NOT_ALLOWED);
}

static const struct route health_route = {.operation = "Health", .run = run_health};
static const struct route preflight_route = {.operation = "Preflight", .run = cors_preflight};
static const struct route unknown_route = {.operation = "Unknown", .run = run_unknown};
static const struct route subresource_route = {.operation = "GetSubresource", .run = get_subresource};

static const struct route routes[] = {
    {.operation = "ListBuckets", .method = "GET", .level = ON_SERVICE, .run = list_buckets},
    {.operation = "GetBucketLocation",
     .method = "GET",
     .level = ON_BUCKET,
     .query = "location",
     .run = get_location},
    {.operation = "ListMultipartUploads",
     .method = "GET",
     .level = ON_BUCKET,
     .query = "uploads",
     .run = list_uploads},
    {.operation = "DeleteObjects",
     .method = "POST",
     .level = ON_BUCKET,
     .query = "delete",
     .body = BODY_XML,
     .run = remove_objects},
    {.operation = "ListParts", .method = "GET", .level = ON_OBJECT, .query = "uploadId", .run = list_parts},
    {.operation = "CreateMultipartUpload",
     .method = "POST",
     .level = ON_OBJECT,
     .query = "uploads",
     .begin = create_upload_begin,
     .run = create_upload},
    {.operation = "CompleteMultipartUpload",
     .method = "POST",
     .level = ON_OBJECT,
     .query = "uploadId",
     .body = BODY_XML,
     .run = complete_upload},
    {.operation = "AbortMultipartUpload",
     .method = "DELETE",
     .level = ON_OBJECT,
     .query = "uploadId",
     .run = abort_upload},
    {.operation = "UploadPartCopy",
     .method = "PUT",
     .level = ON_OBJECT,
     .query = "uploadId",
     .header = "x-amz-copy-source",
     .run = copy_part},
    {.operation = "UploadPart",
     .method = "PUT",
     .level = ON_OBJECT,
     .query = "uploadId",
     .body = BODY_OBJECT,
     .begin = put_part_begin,
     .run = put_part},
    /* Everything below has no subresource. */
    {.operation = "HeadBucket", .method = "HEAD", .level = ON_BUCKET, .run = head_bucket},
    {.operation = "CreateBucket",
     .method = "PUT",
     .level = ON_BUCKET,
     .body = BODY_XML,
     .run = create_bucket},
    {.operation = "DeleteBucket", .method = "DELETE", .level = ON_BUCKET, .run = remove_bucket},
    {.operation = "ListObjects", .method = "GET", .level = ON_BUCKET, .run = list_objects},
    {.operation = "HeadObject", .method = "HEAD", .level = ON_OBJECT, .run = get_object},
    {.operation = "GetObject", .method = "GET", .level = ON_OBJECT, .run = get_object},
    {.operation = "CopyObject",
     .method = "PUT",
     .level = ON_OBJECT,
     .header = "x-amz-copy-source",
     .run = copy_object},
    {.operation = "PutObject",
     .method = "PUT",
     .level = ON_OBJECT,
     .body = BODY_OBJECT,
     .begin = put_object_begin,
     .run = put_object},
    {.operation = "DeleteObject", .method = "DELETE", .level = ON_OBJECT, .run = remove_object},
};

/* A subresource that no row serves must not fall through to the plain operation: PUT ?acl is no upload. */
static bool has_subresource(const struct call *call) {
    struct http_header parameters[SIGV4_MAX_HEADERS];
    size_t count = http_request_queries(call->request, parameters, SIGV4_MAX_HEADERS);

    for (size_t i = 0; i < count && i < SIGV4_MAX_HEADERS; i++) {
        if (is_subresource(parameters[i].name))
            return true;
    }
    return false;
}

static const struct route *find_route(const struct call *call) {
    enum route_level level = call->bucket_name[0] == '\0' ? ON_SERVICE
                             : call->key[0] == '\0'       ? ON_BUCKET
                                                          : ON_OBJECT;
    bool subresource = has_subresource(call);

    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        const struct route *route = &routes[i];
        if (route->level == level && strcmp(route->method, http_request_method(call->request)) == 0 &&
            (route->query == NULL ? !subresource : call_query(call, route->query) != NULL) &&
            (route->header == NULL || call_header(call, route->header) != NULL))
            return route;
    }
    return subresource ? &subresource_route : &unknown_route;
}

/* ---- what is addressed ---- */

/* Whether Host is <bucket>.<something> of a bucket that exists, and no endpoint of ours. */
static size_t bucket_in_host(const struct call *call, char bucket[BUCKET_NAME_SIZE]) {
    const char *host = call_header(call, "host");
    size_t found = 0;

    if (host == NULL || host[strspn(host, "0123456789.:[]")] == '\0' || host[0] == '[')
        return 0;
    for (size_t i = 0; i < 2; i++) {
        if (call->store->endpoint_hosts[i] != NULL && strcasecmp(host, call->store->endpoint_hosts[i]) == 0)
            return 0;
    }
    for (size_t size = strcspn(host, "."); host[size] == '.' && size < BUCKET_NAME_SIZE;
         size += 1 + strcspn(host + size + 1, ".")) {
        char name[BUCKET_NAME_SIZE];
        memcpy(name, host, size);
        name[size] = '\0';
        if (disk_bucket(call->store->disk, name) != NULL) {
            (void)text_copy(bucket, BUCKET_NAME_SIZE, name);
            found = size;
        }
    }
    return found;
}

static enum s3_error parse_target(struct call *call) {
    const char *path = http_request_raw_path(call->request);
    const char *key = path + 1;

    if (path[0] != '/')
        return S3_INVALID_URI;
    if (bucket_in_host(call, call->bucket_name) == 0) {
        size_t size = strcspn(path + 1, "/");
        if (size >= sizeof(call->bucket_name))
            return S3_INVALID_BUCKET_NAME;
        memcpy(call->bucket_name, path + 1, size);
        call->bucket_name[size] = '\0';
        if (size > 0 && !disk_bucket_name_is_valid(call->bucket_name)) {
            call->bucket_name[0] = '\0';
            return S3_INVALID_BUCKET_NAME;
        }
        key = path + 1 + size + (path[1 + size] == '/' ? 1 : 0);
    }
    if (strlen(key) > 3 * OBJECT_KEY_MAX)
        return S3_KEY_TOO_LONG;
    char decoded[3 * OBJECT_KEY_MAX + 1];
    if (text_percent_decode(decoded, sizeof(decoded), key, strlen(key), false) != 0 ||
        !text_is_utf8(decoded, strlen(decoded)))
        return S3_INVALID_URI;
    return text_copy(call->key, sizeof(call->key), decoded) == 0 ? S3_OK : S3_KEY_TOO_LONG;
}

/* ---- the three steps of a request ---- */

static int refuse(struct call *call, enum s3_error error) {
    call_fail_words(call, error,
                    call->authorization.words != NULL ? call->authorization.words : s3_error_words(error));
    return -1;
}

static const struct route *open_route(const struct call *call) {
    if (strcmp(http_request_method(call->request), "OPTIONS") == 0)
        return &preflight_route;
    if (strcmp(http_request_raw_path(call->request), "/health") == 0 && authorize_is_anonymous(call->request))
        return &health_route;
    return NULL;
}

static int begin_route(struct call *call, struct http_plan *plan) {
    enum s3_error error =
        payload_start(&call->payload, call->request, &call->authorization, &call->store->credentials);

    if (error != S3_OK)
        return refuse(call, error);
    if (call->route->body == BODY_OBJECT) {
        plan->max_body_bytes = OBJECT_MAX_BYTES + FRAMING_MAX_BYTES;
        if (call->payload.expected_size == UINT64_MAX)
            return refuse(call, S3_MISSING_CONTENT_LENGTH);
        if (call->payload.expected_size > OBJECT_MAX_BYTES)
            return refuse(call, S3_ENTITY_TOO_LARGE);
    } else if (call->route->body == BODY_XML) {
        plan->max_body_bytes = CALL_XML_MAX;
    }
    return call->route->begin != NULL ? call->route->begin(call) : 0;
}

static int begin_call(void *context, struct http_request *request, struct http_plan *plan) {
    struct store *store = context;
    struct call *call = memory_new(sizeof(*call));
    unsigned char random[8];
    enum s3_error error;

    text_random(random, sizeof(random));
    text_hex_encode(call->id, random, sizeof(random));
    call->store = store;
    call->request = request;
    buffer_init(&call->body, CALL_XML_MAX);
    store->calls++;
    http_request_set_context(request, call);
    plan->streamed = true;
    plan->max_body_bytes = IGNORED_BODY_MAX_BYTES;
    call->route = open_route(call);
    if (call->route != NULL)
        return 0;
    error = parse_target(call);
    if (error == S3_OK)
        error = authorize(request, &store->credentials, clock_wall_ms(), &call->authorization);
    if (error != S3_OK)
        return refuse(call, error);
    call->route = find_route(call);
    log_debug("request=%s operation=%s bucket=%s", call->id, call->route->operation, call->bucket_name);
    return begin_route(call, plan);
}

static int keep_body(void *context, const char *bytes, size_t size) {
    struct call *call = context;

    if (call->route->body == BODY_OBJECT)
        return writer_append(call->writer, bytes, size);
    return call->route->body == BODY_XML ? buffer_append(&call->body, bytes, size) : 0;
}

static int feed_call(void *context, struct http_request *request, const char *bytes, size_t size) {
    struct call *call = http_request_context(request);
    enum s3_error error;

    if (call->payload.md5.kind == NULL)
        return 0; /* an open route has no use for a body */
    counter_add(COUNT_STORE_BYTES_IN, size);
    error = payload_feed(&call->payload, bytes, size, keep_body, call);
    if (error == S3_OK)
        return 0;
    if (error == S3_INTERNAL && call->writer != NULL)
        call_fail_writer(call, writer_failure(call->writer));
    else
        call_fail(call, error);
    return -1;
}

static void complete_call(void *context, struct http_request *request) {
    struct call *call = http_request_context(request);
    enum s3_error error = S3_OK;

    if (call == NULL || call->answered)
        return;
    if (call->payload.md5.kind != NULL)
        error = payload_finish(&call->payload);
    if (error == S3_OK)
        call->route->run(call);
    else
        call_fail(call, error);
}

static void close_call(void *context, struct http_request *request) {
    struct call *call = http_request_context(request);

    if (call == NULL)
        return;
    http_request_set_context(request, NULL);
    call->request = NULL;
    if (!call->busy)
        call_free(call);
}

const struct http_handlers store_handlers = {
    .begin = begin_call, .body = feed_call, .complete = complete_call, .closed = close_call};

void store_error_body(int status, const char *code, char *target, size_t size, const char **content_type) {
    enum s3_error error = s3_error_of_status(status);

    *content_type = "application/xml";
    (void)text_format(target, size, XML_DECLARATION "<Error><Code>%s</Code><Message>%s</Message></Error>",
                      s3_error_code(error), code);
}
