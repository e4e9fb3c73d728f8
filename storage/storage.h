/* SPDX-License-Identifier: MIT
 * The object store as the rest of Filemill sees it: where it is, and presigned URLs for one object and one
 * method. Pure: it opens no connection. Every S3-compatible provider (and the embedded store) is reached alike. */
#ifndef STORAGE_STORAGE_H
#define STORAGE_STORAGE_H

#include "config/settings.h"
#include "lib/buffer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORAGE_URL_MAX 4096

struct storage;

/* Resolves provider preset, endpoint, region, bucket, addressing and credentials from the settings; -1 with one
 * line in `error` naming the option at fault. */
struct storage *storage_new(const struct settings *settings, char *error, size_t error_size);
/* The same of the bucket that media is published to. NULL with an empty `error` where none is named. */
struct storage *storage_new_published(const struct settings *settings, char *error, size_t error_size);
void storage_free(struct storage *storage);
const char *storage_provider_name(const struct storage *storage);
/* Counts a request to it that failed, by the provider's name. */
void storage_count_error(const struct storage *storage);
const char *storage_bucket(const struct storage *storage);
/* Whether a presigned PUT of this provider binds checksum_sha256 and create_only: only then must (and may) the
 * client send x-amz-checksum-sha256 and If-None-Match: *. */
bool storage_binds_checksum(const struct storage *storage);
bool storage_binds_create_only(const struct storage *storage);

struct storage_presign {
    const char *method; /* GET, HEAD, PUT, POST, DELETE */
    const char *key;
    int64_t expires_s;
    bool internal; /* for our own workers: the endpoint they reach, not the public one */
    /* PUT: bound into the signature when set, and the client must send them */
    const char *content_type;
    int64_t content_length;       /* -1: not bound */
    const char *checksum_sha256;  /* base64, NULL: not bound; ignored where the provider can't */
    const char *cache_control;    /* NULL: not bound */
    bool create_only;             /* If-None-Match: * where the provider can */
    /* Uploads in parts: POST with begin_upload, PUT of a part, POST or DELETE of the upload */
    bool begin_upload;
    const char *upload_id; /* NULL: the object itself */
    unsigned part;         /* from 1; 0: the whole upload */
    /* GET: response-content-disposition / -type overrides, NULL for none */
    const char *response_disposition;
    const char *response_type;
};

/* Writes the URL; -1 if it does not fit. */
int storage_presign(const struct storage *storage, const struct storage_presign *what, char *url, size_t url_size);

#endif
