/* SPDX-License-Identifier: MIT
 * Layout, lock, sweep and scan. Whatever stands in tmp/ at start is of a store that died; whatever stands
 * under buckets/ was put there by a rename and is whole. A damaged file is left alone, logged and not listed.
 */
#include "storage/store/disk.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHARDS 256
#define TREE_DEPTH_MAX 4

#define UPLOAD_KEPT_DAYS 7
#define DAY_MS 86400000

struct disk {
    int root;
    int lock;
    uint64_t temporaries;
    int64_t swept_ms;
    struct bucket *buckets;
};

/* Calls `visit` for every name but dots. */
static int each_entry(int at, const char *path, void (*visit)(void *context, int at, const char *name),
                      void *context) {
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (directory == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            visit(context, fd, entry->d_name);
    }
    (void)closedir(directory);
    return 0;
}

static void remove_entry(void *context, int at, const char *name) {
    unsigned depth = *(unsigned *)context + 1;

    if (unlinkat(at, name, 0) == 0 || (errno != EISDIR && errno != EPERM) || depth > TREE_DEPTH_MAX)
        return;
    (void)each_entry(at, name, remove_entry, &depth);
    (void)unlinkat(at, name, AT_REMOVEDIR);
}

void disk_remove_tree(int at, const char *path) {
    unsigned depth = 0;

    (void)each_entry(at, path, remove_entry, &depth);
    (void)unlinkat(at, path, AT_REMOVEDIR);
}

static void sync_path(int at, const char *path) {
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0)
        log_warn_errno("event=sync_failed path=%s", path);
    if (fd >= 0)
        (void)close(fd);
}

static void make_directory(int at, const char *path) {
    if (mkdirat(at, path, 0700) != 0 && errno != EEXIST)
        fatal_errno("option=state-directory event=mkdir path=%s", path);
}

/* ---- buckets ---- */

bool disk_bucket_name_is_valid(const char *name) {
    size_t length = strlen(name);

    return length >= 3 && length < BUCKET_NAME_SIZE && strstr(name, "..") == NULL && name[0] != '.' &&
           name[0] != '-' && name[length - 1] != '.' && name[length - 1] != '-' &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-")] == '\0';
}

static struct bucket *insert_bucket(struct disk *disk, const char *name) {
    struct bucket *bucket = memory_new(sizeof(*bucket));
    struct bucket **place = &disk->buckets;
    char path[DISK_PATH_MAX];
    struct stat status;

    (void)text_copy(bucket->name, sizeof(bucket->name), name);
    (void)text_format(path, sizeof(path), "buckets/%s", name);
    if (fstatat(disk->root, path, &status, 0) == 0)
        bucket->created_ms = (int64_t)status.st_ctim.tv_sec * 1000;
    bucket->index = index_new();
    while (*place != NULL && strcmp((*place)->name, name) < 0)
        place = &(*place)->next;
    bucket->next = *place;
    *place = bucket;
    return bucket;
}

struct bucket *disk_bucket(const struct disk *disk, const char *name) {
    for (struct bucket *bucket = disk->buckets; bucket != NULL; bucket = bucket->next) {
        if (strcmp(bucket->name, name) == 0)
            return bucket;
    }
    return NULL;
}

struct bucket *disk_first_bucket(const struct disk *disk) {
    return disk->buckets;
}

/* Made aside and renamed, so that a bucket is never half there. */
struct bucket *disk_create_bucket(struct disk *disk, const char *name) {
    char aside[DISK_PATH_MAX];
    char path[DISK_PATH_MAX + 16];

    (void)text_format(aside, sizeof(aside), "tmp/bucket-%s", name);
    if (mkdirat(disk->root, aside, 0700) != 0)
        return NULL;
    (void)text_format(path, sizeof(path), "%s/uploads", aside);
    if (mkdirat(disk->root, path, 0700) != 0)
        goto remove_aside;
    (void)text_format(path, sizeof(path), "%s/objects", aside);
    if (mkdirat(disk->root, path, 0700) != 0)
        goto remove_aside;
    sync_path(disk->root, aside);
    for (unsigned shard = 0; shard < SHARDS; shard++) {
        (void)text_format(path, sizeof(path), "%s/objects/%02x", aside, shard);
        if (mkdirat(disk->root, path, 0700) != 0)
            goto remove_aside;
    }
    (void)text_format(path, sizeof(path), "%s/objects", aside);
    sync_path(disk->root, path);
    (void)text_format(path, sizeof(path), "buckets/%s", name);
    if (renameat(disk->root, aside, disk->root, path) != 0)
        goto remove_aside;
    sync_path(disk->root, "buckets");
    return insert_bucket(disk, name);
remove_aside:
    disk_remove_tree(disk->root, aside);
    return NULL;
}

static void free_bucket(struct bucket *bucket) {
    index_free(bucket->index);
    free(bucket);
}

int disk_remove_bucket(struct disk *disk, struct bucket *bucket) {
    char path[DISK_PATH_MAX];
    char aside[DISK_PATH_MAX];

    if (index_count(bucket->index) > 0) {
        errno = ENOTEMPTY;
        return -1;
    }
    (void)text_format(path, sizeof(path), "buckets/%s", bucket->name);
    (void)text_format(aside, sizeof(aside), "tmp/removed-%s", bucket->name);
    if (renameat(disk->root, path, disk->root, aside) != 0)
        return -1;
    sync_path(disk->root, "buckets");
    disk_remove_tree(disk->root, aside);
    for (struct bucket **place = &disk->buckets; *place != NULL; place = &(*place)->next) {
        if (*place == bucket) {
            *place = bucket->next;
            break;
        }
    }
    free_bucket(bucket);
    return 0;
}

/* ---- files ---- */

void disk_object_path(char path[DISK_PATH_MAX], const struct bucket *bucket, const char *key) {
    unsigned char digest[32];
    char hex[65];

    if (EVP_Digest(key, strlen(key), digest, NULL, EVP_sha256(), NULL) != 1)
        fatal("event=no_digest");
    text_hex_encode(hex, digest, sizeof(digest));
    (void)text_format(path, DISK_PATH_MAX, "buckets/%s/objects/%.2s/%s", bucket->name, hex, hex + 2);
}

int disk_open_object(const struct disk *disk, const char *path, struct object *object) {
    int fd = openat(disk->root, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return -1;
    if (object_read(fd, object) != 0) {
        log_error("event=damaged_object path=%s", path);
        (void)close(fd);
        errno = EIO;
        return -1;
    }
    return fd;
}

int disk_temporary(struct disk *disk, char path[DISK_PATH_MAX]) {
    (void)text_format(path, DISK_PATH_MAX, "tmp/%llu", (unsigned long long)disk->temporaries++);
    return openat(disk->root, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
}

int disk_sync_directory_of(const struct disk *disk, const char *path) {
    char directory[DISK_PATH_MAX];

    (void)text_copy(directory, sizeof(directory), path);
    char *slash = strrchr(directory, '/');
    if (slash != NULL)
        *slash = '\0';
    return openat(disk->root, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int disk_root(const struct disk *disk) {
    return disk->root;
}

/* ---- start ---- */

static void scan_object(void *context, int at, const char *name) {
    struct bucket *bucket = context;
    struct object object = {0};
    int fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd >= 0 && object_read(fd, &object) == 0)
        index_put(bucket->index, &object);
    else
        log_error("event=damaged_object bucket=%s file=%s", bucket->name, name);
    if (fd >= 0)
        (void)close(fd);
    object_clear(&object);
}

static void scan_shard(void *context, int at, const char *name) {
    (void)each_entry(at, name, scan_object, context);
}

/* An upload that got no part for a week was abandoned. At the start one whose own file did not make it to the
 * disk was never acknowledged; later that file may be on its way. */
static void scan_upload(void *context, int at, const char *name) {
    char path[DISK_PATH_MAX];
    const bool *starting = context;
    struct stat status;

    if (text_format(path, sizeof(path), "%s/upload", name) != 0 ||
        fstatat(at, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    if (clock_wall_ms() / 1000 - status.st_mtime > UPLOAD_KEPT_DAYS * 86400) {
        log_info("event=upload_abandoned id=%s", name);
        disk_remove_tree(at, name);
    } else if (*starting && faccessat(at, path, F_OK, 0) != 0) {
        disk_remove_tree(at, name);
    }
}

void disk_sweep_uploads(struct disk *disk) {
    char path[DISK_PATH_MAX];
    int64_t now_ms = clock_monotonic_ms();
    bool starting = disk->swept_ms == 0;

    if (!starting && now_ms - disk->swept_ms < DAY_MS)
        return;
    disk->swept_ms = now_ms;
    for (const struct bucket *bucket = disk->buckets; bucket != NULL; bucket = bucket->next) {
        (void)text_format(path, sizeof(path), "buckets/%s/uploads", bucket->name);
        (void)each_entry(disk->root, path, scan_upload, &starting);
    }
}

static void scan_bucket(void *context, int at, const char *name) {
    struct disk *disk = context;
    char path[DISK_PATH_MAX];
    struct bucket *bucket;

    if (!disk_bucket_name_is_valid(name))
        return;
    bucket = insert_bucket(disk, name);
    (void)text_format(path, sizeof(path), "%s/objects", name);
    (void)each_entry(at, path, scan_shard, bucket);
    log_info("event=bucket_ready bucket=%s objects=%zu", name, index_count(bucket->index));
}

struct disk *disk_open(const char *directory) {
    struct disk *disk = memory_new(sizeof(*disk));

    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        fatal_errno("option=state-directory event=mkdir path=%s", directory);
    disk->root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (disk->root < 0)
        fatal_errno("option=state-directory event=open path=%s", directory);
    disk->lock = openat(disk->root, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (disk->lock < 0)
        fatal_errno("option=state-directory event=open path=%s/lock", directory);
    if (flock(disk->lock, LOCK_EX | LOCK_NB) != 0)
        fatal("option=state-directory event=locked path=%s reason=\"another store runs here\"", directory);
    make_directory(disk->root, "buckets");
    disk_remove_tree(disk->root, "tmp");
    make_directory(disk->root, "tmp");
    if (each_entry(disk->root, "buckets", scan_bucket, disk) != 0)
        fatal_errno("option=state-directory event=open path=%s/buckets", directory);
    disk_sweep_uploads(disk);
    return disk;
}

void disk_free(struct disk *disk) {
    if (disk == NULL)
        return;
    while (disk->buckets != NULL) {
        struct bucket *next = disk->buckets->next;
        free_bucket(disk->buckets);
        disk->buckets = next;
    }
    (void)close(disk->lock);
    (void)close(disk->root);
    free(disk);
}
