/* SPDX-License-Identifier: MIT
 * Publishing an object under its key: shared by PUT, copy and completion of a multipart upload. */
#ifndef STORAGE_STORE_OBJECTS_H
#define STORAGE_STORE_OBJECTS_H

#include "storage/store/call.h"

/* Content-Type, …, and x-amz-meta-* of the request into call->object; S3_METADATA_TOO_LARGE when over 2 KB.
 */
enum s3_error object_take_headers(struct call *call);
/* Whether the request's If-Match and If-None-Match allow a write to its key now. */
enum s3_error object_check_write(const struct call *call);
/* The end of a `begin` whose body goes to a file: opens call->writer, or answers `error` where it is one. 0, or -1
 * after answering. */
int object_begin_body(struct call *call, enum s3_error error);
/* Publishes call->writer as call->object under call->key; answers on failure, and calls `published` (with the
 * call still busy) on success. Ends the busy state itself. */
void object_publish(struct call *call, void (*published)(struct call *call));
/* 200 with the ETag, and the checksum that came along: an object or a part that is stored. */
void object_reply_stored(struct call *call);

#endif
