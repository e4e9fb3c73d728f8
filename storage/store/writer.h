/* SPDX-License-Identifier: MIT
 * A file on its way into the store: written aside in bounded steps, sealed with its record, synced, renamed
 * to its place, and its directory synced; only then is it reported done. Killed at any point, it leaves the
 * old file or the new one. */
#ifndef STORAGE_STORE_WRITER_H
#define STORAGE_STORE_WRITER_H

#include "storage/store/disk.h"
#include "storage/store/syncer.h"

struct writer;

enum writer_result {
    WRITER_OK,
    WRITER_REFUSED, /* by permit */
    WRITER_FULL,    /* no space left */
    WRITER_FAILED,
};

struct writer_events {
    /* Just before the rename, in the same turn of the loop as it: false refuses. May be NULL. */
    bool (*permit)(void *context);
    /* Just after it. May be NULL. */
    void (*placed)(void *context);
    void (*done)(void *context, enum writer_result result);
};

/* NULL with errno. */
struct writer *writer_new(struct disk *disk, struct syncer *syncer);
/* Also removes the file unless it was placed; a sync in flight ends by itself, without callbacks. */
void writer_free(struct writer *writer);
int writer_append(struct writer *writer, const void *bytes, size_t size); /* -1: see writer_failure */
/* Copies inside the kernel, at most `size` bytes; returns how many, or -1. */
int64_t writer_append_file(struct writer *writer, int fd, uint64_t offset, uint64_t size);
uint64_t writer_size(const struct writer *writer);
enum writer_result writer_failure(const struct writer *writer);
/* Seals and publishes; `object` and `path` are read at once, events come later (from the loop). */
void writer_publish(struct writer *writer, const struct object *object, const char *path,
                    const struct writer_events *events, void *context);

#endif
