/* SPDX-License-Identifier: MIT
 * Where things lie under the store's directory, and the index of every bucket:
 *   lock                                      held while a store runs here
 *   tmp/                                      files on their way; emptied at start
 *   buckets/<bucket>/objects/<2 hex>/<62 hex> object: SHA-256 of its key
 *   buckets/<bucket>/uploads/<id>/            "upload" and one file per part, "00001" …
 * No text of a client is ever a name here but a bucket's, whose alphabet is checked first. */
#ifndef STORAGE_STORE_DISK_H
#define STORAGE_STORE_DISK_H

#include "storage/store/index.h"
#include "storage/store/object.h"
#include <stdbool.h>
#include <stddef.h>

#define DISK_PATH_MAX 192
#define BUCKET_NAME_SIZE 64

struct disk;

struct bucket {
    struct bucket *next; /* in order of name */
    char name[BUCKET_NAME_SIZE];
    int64_t created_ms;
    struct index *index;
};

/* Makes what is missing, takes the lock, sweeps and rebuilds the indexes; fatal when it can't. */
struct disk *disk_open(const char *directory);
void disk_free(struct disk *disk);
/* Drops uploads in parts that nobody goes on with; looks once a day, however often it is called. */
void disk_sweep_uploads(struct disk *disk);
int disk_root(const struct disk *disk); /* paths below are relative to it */

bool disk_bucket_name_is_valid(const char *name);
struct bucket *disk_bucket(const struct disk *disk, const char *name); /* NULL if there is none */
struct bucket *disk_first_bucket(const struct disk *disk);
/* NULL with errno on failure. */
struct bucket *disk_create_bucket(struct disk *disk, const char *name);
/* -1 with errno: ENOTEMPTY when it holds objects. Uploads in it are dropped. */
int disk_remove_bucket(struct disk *disk, struct bucket *bucket);

void disk_object_path(char path[DISK_PATH_MAX], const struct bucket *bucket, const char *key);
/* Descriptor of a stored file and what is known about it (into a zeroed object); -1 with errno, ENOENT if it
 * is not there, EIO if it is damaged. */
int disk_open_object(const struct disk *disk, const char *path, struct object *object);
/* A new file in tmp/; writes its path. -1 with errno. */
int disk_temporary(struct disk *disk, char path[DISK_PATH_MAX]);
int disk_sync_directory_of(const struct disk *disk,
                           const char *path); /* descriptor of the directory, or -1 */

/* Removes a directory and the plain files and directories in it. */
void disk_remove_tree(int at, const char *path);

#endif
