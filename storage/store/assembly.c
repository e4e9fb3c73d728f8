/* SPDX-License-Identifier: MIT
 * Inside the kernel where the bytes need not be seen (copy_file_range shares extents where the file system
 * can), through a buffer where they must be hashed. */
#include "storage/store/assembly.h"

#include "lib/memory.h"
#include "lib/text.h"
#include "storage/store/checksum.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEP_BYTES (4u << 20)
#define HASH_STEP_BYTES (256u << 10)

struct assembly {
    struct call *call;
    struct loop_timer *timer;
    struct piece *pieces;
    size_t count;
    size_t current;
    int fd;          /* of the current piece, or -1 */
    uint64_t copied; /* of the current piece */
    struct checksum md5;
    char *buffer; /* when hashing */
    void (*done)(struct call *call);
};

static void finish(struct assembly *assembly, enum s3_error error) {
    struct call *call = assembly->call;
    void (*done)(struct call *) = assembly->done;
    unsigned char digest[CHECKSUM_MAX];

    if (assembly->buffer != NULL && error == S3_OK) {
        size_t size = checksum_finish(&assembly->md5, digest);
        text_hex_encode(call->object.etag, digest, size);
    }
    checksum_clear(&assembly->md5);
    if (assembly->fd >= 0)
        (void)close(assembly->fd);
    loop_timer_free(assembly->timer);
    free(assembly->buffer);
    free(assembly->pieces);
    free(assembly);
    call->busy = false;
    if (error == S3_OK && call->request != NULL) {
        done(call);
        return;
    }
    call_fail(call, error);
    call_end(call);
}

static enum s3_error open_piece(struct assembly *assembly) {
    const struct piece *piece = &assembly->pieces[assembly->current];
    struct object object = {0};
    enum s3_error error = S3_OK;

    assembly->fd = disk_open_object(assembly->call->store->disk, piece->path, &object);
    assembly->copied = 0;
    if (assembly->fd < 0)
        return errno == ENOENT ? S3_INVALID_PART : S3_INTERNAL;
    if (strcmp(object.etag, piece->etag) != 0 || piece->offset > object.size ||
        piece->size > object.size - piece->offset)
        error = S3_INVALID_PART;
    object_clear(&object);
    return error;
}

static int64_t copy_hashed(struct assembly *assembly, uint64_t offset, uint64_t left) {
    size_t size = left < HASH_STEP_BYTES ? (size_t)left : HASH_STEP_BYTES;
    ssize_t count = pread(assembly->fd, assembly->buffer, size, (off_t)offset);

    if (count <= 0)
        return -1;
    checksum_update(&assembly->md5, assembly->buffer, (size_t)count);
    return writer_append(assembly->call->writer, assembly->buffer, (size_t)count) == 0 ? count : -1;
}

static void step(void *context) {
    struct assembly *assembly = context;
    struct writer *writer = assembly->call->writer;
    uint64_t budget = STEP_BYTES;

    while (budget > 0 && assembly->current < assembly->count) {
        const struct piece *piece = &assembly->pieces[assembly->current];
        enum s3_error error = assembly->fd < 0 ? open_piece(assembly) : S3_OK;
        if (error != S3_OK) {
            finish(assembly, error);
            return;
        }
        uint64_t offset = piece->offset + assembly->copied;
        uint64_t left = piece->size - assembly->copied;
        uint64_t size = left < budget ? left : budget;
        int64_t count = size == 0                  ? 0
                        : assembly->buffer != NULL ? copy_hashed(assembly, offset, size)
                                                   : writer_append_file(writer, assembly->fd, offset, size);
        if (count < 0) {
            finish(assembly, writer_failure(writer) == WRITER_FULL ? S3_DISK_FULL : S3_INTERNAL);
            return;
        }
        assembly->copied += (uint64_t)count;
        budget -= (uint64_t)count;
        if (assembly->copied == piece->size) {
            (void)close(assembly->fd);
            assembly->fd = -1;
            assembly->current++;
        }
    }
    if (assembly->current == assembly->count)
        finish(assembly, S3_OK);
    else
        loop_timer_set(assembly->timer, 0);
}

void assembly_start(struct call *call, struct piece *pieces, size_t count, bool hash,
                    void (*done)(struct call *call)) {
    struct assembly *assembly = memory_new(sizeof(*assembly));

    *assembly = (struct assembly){.call = call, .pieces = pieces, .count = count, .fd = -1, .done = done};
    assembly->timer = loop_timer_new(call->store->loop, step, assembly);
    if (hash) {
        assembly->buffer = memory_new(HASH_STEP_BYTES);
        checksum_init(&assembly->md5, checksum_md5);
    }
    call_begin(call);
    loop_timer_set(assembly->timer, 0);
}
