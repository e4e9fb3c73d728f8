/* SPDX-License-Identifier: MIT
 * Write-back is started every few megabytes, so that the last fsync has little left to do. */
#include "storage/store/writer.h"

#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WRITE_BACK_BYTES (8u << 20)

struct writer {
    struct disk *disk;
    struct syncer *syncer;
    int fd;
    int directory_fd;
    uint64_t size;
    uint64_t flushed;
    bool placed;
    bool syncing;
    bool abandoned;
    int error; /* errno of the first failure */
    char temporary[DISK_PATH_MAX];
    char path[DISK_PATH_MAX];
    struct writer_events events;
    void *context;
};

struct writer *writer_new(struct disk *disk, struct syncer *syncer) {
    struct writer *writer = memory_new(sizeof(*writer));

    writer->disk = disk;
    writer->syncer = syncer;
    writer->directory_fd = -1;
    writer->fd = disk_temporary(disk, writer->temporary);
    if (writer->fd < 0) {
        int error = errno;
        free(writer);
        errno = error;
        return NULL;
    }
    return writer;
}

void writer_free(struct writer *writer) {
    if (writer == NULL)
        return;
    if (!writer->placed && writer->fd >= 0)
        (void)unlinkat(disk_root(writer->disk), writer->temporary, 0);
    if (writer->syncing) {
        writer->abandoned = true;
        return;
    }
    if (writer->fd >= 0)
        (void)close(writer->fd);
    if (writer->directory_fd >= 0)
        (void)close(writer->directory_fd);
    free(writer);
}

static int fail(struct writer *writer, const char *step) {
    writer->error = errno;
    log_warn_errno("event=write_failed step=%s", step);
    return -1;
}

static void start_write_back(struct writer *writer) {
    if (writer->size - writer->flushed < WRITE_BACK_BYTES)
        return;
    (void)sync_file_range(writer->fd, (off_t)writer->flushed, (off_t)(writer->size - writer->flushed),
                          SYNC_FILE_RANGE_WRITE);
    writer->flushed = writer->size;
}

int writer_append(struct writer *writer, const void *bytes, size_t size) {
    const char *next = bytes;

    while (size > 0) {
        ssize_t count = write(writer->fd, next, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return fail(writer, "write");
        next += count;
        size -= (size_t)count;
        writer->size += (uint64_t)count;
    }
    start_write_back(writer);
    return 0;
}

int64_t writer_append_file(struct writer *writer, int fd, uint64_t offset, uint64_t size) {
    off_t from = (off_t)offset;
    ssize_t count = copy_file_range(fd, &from, writer->fd, NULL, size, 0);

    if (count < 0 || (count == 0 && size > 0)) {
        if (count == 0)
            errno = EIO;
        return fail(writer, "copy");
    }
    writer->size += (uint64_t)count;
    start_write_back(writer);
    return count;
}

uint64_t writer_size(const struct writer *writer) {
    return writer->size;
}

enum writer_result writer_failure(const struct writer *writer) {
    return writer->error == ENOSPC || writer->error == EDQUOT ? WRITER_FULL : WRITER_FAILED;
}

static void report(struct writer *writer, enum writer_result result) {
    writer->events.done(writer->context, result);
}

/* After a sync: whether there is somebody left to go on for, and nothing went wrong. */
static bool goes_on(struct writer *writer, int error, const char *step) {
    writer->syncing = false;
    if (writer->abandoned) {
        writer_free(writer);
        return false;
    }
    if (error != 0) {
        errno = error;
        (void)fail(writer, step);
        report(writer, writer_failure(writer));
    }
    return error == 0;
}

static void directory_synced(void *context, int error) {
    if (goes_on(context, error, "sync_directory"))
        report(context, WRITER_OK);
}

static void file_synced(void *context, int error) {
    struct writer *writer = context;

    if (!goes_on(writer, error, "sync"))
        return;
    if (writer->events.permit != NULL && !writer->events.permit(writer->context)) {
        report(writer, WRITER_REFUSED);
        return;
    }
    writer->directory_fd = disk_sync_directory_of(writer->disk, writer->path);
    if (writer->directory_fd < 0 ||
        renameat(disk_root(writer->disk), writer->temporary, disk_root(writer->disk), writer->path) != 0) {
        (void)fail(writer, "rename");
        report(writer, writer_failure(writer));
        return;
    }
    writer->placed = true;
    if (writer->events.placed != NULL)
        writer->events.placed(writer->context);
    writer->syncing = true;
    syncer_start(writer->syncer, writer->directory_fd, directory_synced, writer);
}

/* Reports a failure to seal as the sync would have: from the loop, never from inside writer_publish. */
static void seal_failed(void *context, int error) {
    struct writer *writer = context;

    writer->syncing = false;
    if (writer->abandoned)
        writer_free(writer);
    else
        report(writer, writer_failure(writer));
}

void writer_publish(struct writer *writer, const struct object *object, const char *path,
                    const struct writer_events *events, void *context) {
    struct buffer record;
    int sealed = -1;

    writer->events = *events;
    writer->context = context;
    (void)text_copy(writer->path, sizeof(writer->path), path);
    buffer_init(&record, OBJECT_RECORD_MAX);
    errno = EMSGSIZE;
    if (object_encode(object, &record) == 0)
        sealed = writer_append(writer, record.data, record.size);
    else
        (void)fail(writer, "seal");
    buffer_clear(&record);
    writer->syncing = true;
    syncer_start(writer->syncer, writer->fd, sealed == 0 ? file_synced : seal_failed, writer);
}
