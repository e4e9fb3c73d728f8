/* SPDX-License-Identifier: MIT
 * Answers: every one carries the request id and, for an allowed origin, the CORS headers; every error is S3's
 * XML document. */
#include "storage/store/call.h"

#include "lib/log.h"
#include "lib/text.h"
#include "storage/store/cors.h"
#include "storage/store/xml.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct bucket *call_bucket(struct call *call) {
    struct bucket *bucket = disk_bucket(call->store->disk, call->bucket_name);

    if (bucket == NULL)
        call_fail(call, S3_NO_SUCH_BUCKET);
    return bucket;
}

const char *call_header(const struct call *call, const char *name) {
    return call->request != NULL ? http_request_header(call->request, name) : NULL;
}

const char *call_query(const struct call *call, const char *name) {
    return call->request != NULL ? http_request_query(call->request, name) : NULL;
}

void reply_header(struct reply *reply, const char *name, const char *value) {
    if (value != NULL && reply->count < REPLY_HEADERS_MAX)
        reply->headers[reply->count++] = (struct http_header){.name = name, .value = value};
}

/* False when nobody listens any more. */
static bool open_reply(struct call *call, struct reply *reply) {
    if (call->answered || call->request == NULL)
        return false;
    call->answered = true;
    reply_header(reply, "x-amz-request-id", call->id);
    cors_decorate(call, reply);
    return true;
}

static void send_reply(struct call *call, int status, struct reply *reply, const char *body, size_t size) {
    const struct http_response response = {.status = status,
                                           .headers = reply->headers,
                                           .header_count = reply->count,
                                           .body = body,
                                           .body_size = size};

    if (open_reply(call, reply)) {
        struct http_response sent = response;
        sent.header_count = reply->count;
        http_respond(call->request, &sent);
    }
}

void call_reply(struct call *call, int status, struct reply *reply) {
    struct reply empty = {.count = 0};

    send_reply(call, status, reply != NULL ? reply : &empty, "", 0);
}

void call_reply_xml(struct call *call, int status, const struct buffer *xml) {
    struct reply reply = {.count = 0};

    reply_header(&reply, "Content-Type", "application/xml");
    send_reply(call, status, &reply, xml->data, xml->size);
}

void call_reply_file(struct call *call, int status, struct reply *reply, int fd, uint64_t offset,
                     uint64_t size) {
    if (!open_reply(call, reply)) {
        (void)close(fd);
        return;
    }
    const struct http_response response = {
        .status = status, .headers = reply->headers, .header_count = reply->count};
    http_respond_file(call->request, &response, fd, offset, size);
}

void call_fail_words(struct call *call, enum s3_error error, const char *words) {
    struct buffer xml;
    int status = s3_error_status(error);

    /* Who hears of the failure finds nothing half-written any more. */
    writer_free(call->writer);
    call->writer = NULL;
    if (status == 304) {
        call_reply(call, status, NULL);
        return;
    }
    buffer_init(&xml, 65536);
    if (buffer_append_text(&xml, XML_DECLARATION "<Error>") == 0 &&
        xml_element(&xml, "Code", s3_error_code(error)) == 0 && xml_element(&xml, "Message", words) == 0 &&
        (call->bucket_name[0] == '\0' || xml_element(&xml, "BucketName", call->bucket_name) == 0) &&
        (call->key[0] == '\0' || xml_element(&xml, "Key", call->key) == 0) &&
        /* From this a client learns which region to sign for. */
        (error != S3_AUTHORIZATION_MALFORMED ||
         xml_element(&xml, "Region", call->store->credentials.region) == 0) &&
        xml_element(&xml, "RequestId", call->id) == 0 && buffer_append_text(&xml, "</Error>") == 0)
        call_reply_xml(call, status, &xml);
    else
        call_reply(call, status, NULL);
    buffer_clear(&xml);
    if (status >= 500)
        log_warn("request=%s bucket=%s event=request_failed code=%s status=%d", call->id, call->bucket_name,
                 s3_error_code(error), status);
}

void call_fail(struct call *call, enum s3_error error) {
    call_fail_words(call, error, s3_error_words(error));
}

void call_fail_writer(struct call *call, enum writer_result result) {
    call_fail(call, result == WRITER_FULL ? S3_DISK_FULL : S3_INTERNAL);
}

void call_reply_document(struct call *call, struct buffer *xml, int cut) {
    if (cut == 0)
        call_reply_xml(call, 200, xml);
    else
        call_fail(call, S3_INTERNAL);
    buffer_clear(xml);
}

void call_fail_errno(struct call *call) {
    call_fail_writer(call, errno == ENOSPC || errno == EDQUOT ? WRITER_FULL : WRITER_FAILED);
}

void call_begin(struct call *call) {
    call->busy = true;
}

void call_end(struct call *call) {
    call->busy = false;
    if (call->request == NULL)
        call_free(call);
}

void call_free(struct call *call) {
    if (call->free_state != NULL)
        call->free_state(call);
    writer_free(call->writer);
    object_clear(&call->object);
    payload_clear(&call->payload);
    buffer_clear(&call->body);
    call->store->calls--;
    free(call);
}

void quote_etag(char target[OBJECT_ETAG_SIZE + 2], const char *etag) {
    (void)text_format(target, OBJECT_ETAG_SIZE + 2, "\"%s\"", etag);
}
