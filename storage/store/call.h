/* SPDX-License-Identifier: MIT
 * One request to the store, from its head to its answer, and the store that it is made to. */
#ifndef STORAGE_STORE_CALL_H
#define STORAGE_STORE_CALL_H

#include "http/server.h"
#include "lib/buffer.h"
#include "lib/loop.h"
#include "storage/sigv4.h"
#include "storage/store/authorize.h"
#include "storage/store/disk.h"
#include "storage/store/errors.h"
#include "storage/store/payload.h"
#include "storage/store/syncer.h"
#include "storage/store/writer.h"
#include <stdbool.h>

#define CALL_XML_MAX (4u << 20)
#define REPLY_HEADERS_MAX 64

struct store {
    struct loop *loop;
    struct http_server *server;
    struct disk *disk;
    struct syncer *syncer;
    struct sigv4_credentials credentials;
    const char *cors_origins; /* NULL: none */
    const char
        *endpoint_hosts[2]; /* host[:port] that are endpoints, never <bucket>.<host>; NULL if not known */
    unsigned calls;         /* not yet freed */
};

struct route;

struct call {
    struct store *store;
    struct http_request *request; /* NULL once the client has gone */
    const struct route *route;
    char id[17]; /* x-amz-request-id */
    char bucket_name[BUCKET_NAME_SIZE];
    char key[OBJECT_KEY_MAX + 1];
    struct authorization authorization;
    struct payload payload;
    struct buffer body; /* of XML requests */
    bool busy;          /* an operation will call back: closing waits for it */
    bool answered;
    struct writer *writer; /* of PUT, copy and completion */
    struct object object;  /* what the writer will publish */
    void *state;           /* of the route */
    void (*free_state)(struct call *call);
};

/* Bucket of the call, or NULL after answering NoSuchBucket. */
struct bucket *call_bucket(struct call *call);
const char *call_header(const struct call *call, const char *name); /* NULL if absent */
const char *call_query(const struct call *call, const char *name);  /* NULL if absent */

struct reply {
    struct http_header headers[REPLY_HEADERS_MAX]; /* borrowed texts */
    size_t count;
};

void reply_header(struct reply *reply, const char *name, const char *value); /* ignored when value is NULL */
/* Each answers once; later answers, and answers to a client that has gone, are dropped. `reply` may be NULL.
 */
void call_reply(struct call *call, int status, struct reply *reply);
void call_reply_xml(struct call *call, int status, const struct buffer *xml);
/* 200 with the document; S3_INTERNAL where it was cut. Clears it. */
void call_reply_document(struct call *call, struct buffer *xml, int cut);
void call_reply_file(struct call *call, int status, struct reply *reply, int fd, uint64_t offset,
                     uint64_t size);
void call_fail(struct call *call, enum s3_error error);
/* The same with other words than the error's own. */
void call_fail_words(struct call *call, enum s3_error error, const char *words);
void call_fail_writer(struct call *call, enum writer_result result);
/* From errno after a failed disk operation. */
void call_fail_errno(struct call *call);

/* An operation that calls back begins and ends; after call_end the call may be gone. */
void call_begin(struct call *call);
void call_end(struct call *call);
void call_free(struct call *call);

/* "\"etag\"" */
void quote_etag(char target[OBJECT_ETAG_SIZE + 2], const char *etag);

#endif
