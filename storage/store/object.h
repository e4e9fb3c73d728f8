/* SPDX-License-Identifier: MIT
 * One file of the store: the bytes of an object from offset 0, then a record of all that is known about it,
 * then a fixed footer. So one rename publishes data and metadata together, and sendfile needs no offset.
 * Parts of a multipart upload and the upload itself are files of the same kind. */
#ifndef STORAGE_STORE_OBJECT_H
#define STORAGE_STORE_OBJECT_H

#include "lib/buffer.h"
#include <stddef.h>
#include <stdint.h>

#define OBJECT_KEY_MAX 1024
#define OBJECT_ETAG_SIZE 48 /* 32 hex digits, "-10000", NUL, and room */
#define OBJECT_FIELDS_MAX 40
#define OBJECT_RECORD_MAX 65536

struct object_field {
    char *name;
    char *value;
};

struct object {
    char *key;
    uint64_t size;
    char etag[OBJECT_ETAG_SIZE]; /* without quotes */
    int64_t modified_ms;
    struct object_field fields[OBJECT_FIELDS_MAX]; /* headers to give back: content-type, x-amz-meta-*, … */
    size_t field_count;
};

void object_clear(struct object *object);
void object_set_key(struct object *object, const char *key);
/* Adds or replaces; -1 when there are too many. */
int object_set_field(struct object *object, const char *name, const char *value);
const char *object_field(const struct object *object, const char *name); /* NULL if absent */

/* Record and footer, as they follow the data. */
int object_encode(const struct object *object, struct buffer *out);
/* Reads them from the end of a file into a zeroed object; -1 when the file is not whole. */
int object_read(int fd, struct object *object);

#endif
