/* SPDX-License-Identifier: MIT
 * Multipart uploads on the disk: a directory per upload, an object file per part. */
#ifndef STORAGE_STORE_UPLOADS_H
#define STORAGE_STORE_UPLOADS_H

#include "storage/store/call.h"

#define UPLOAD_ID_SIZE 33
#define PART_NUMBER_MAX 10000

struct upload {
    char id[UPLOAD_ID_SIZE];
    char directory[DISK_PATH_MAX]; /* relative to the disk's root */
    unsigned part_number;
    struct object object; /* what the completed object will be: key and headers */
};

/* The upload that the request names, as call->state; S3_NO_SUCH_UPLOAD if it is not of this bucket and key.
 */
enum s3_error upload_open(struct call *call);
enum s3_error upload_take_part_number(struct call *call);
int upload_part_path(char path[DISK_PATH_MAX], const struct upload *upload, unsigned number);
/* Publishes call->writer as the part; as object_publish. */
void upload_publish_part(struct call *call, void (*published)(struct call *call));

#endif
