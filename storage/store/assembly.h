/* SPDX-License-Identifier: MIT
 * Copies pieces of stored files into a call's writer, a few megabytes per turn of the loop, so that a large
 * copy never holds up the other requests. */
#ifndef STORAGE_STORE_ASSEMBLY_H
#define STORAGE_STORE_ASSEMBLY_H

#include "storage/store/call.h"

struct piece {
    char path[DISK_PATH_MAX];
    char etag[OBJECT_ETAG_SIZE]; /* what the file must be when its turn comes */
    uint64_t offset;
    uint64_t size;
};

/* Takes `pieces` (from malloc). The call is busy meanwhile; with `hash` the MD5 of all bytes is put into
 * call->object.etag. `done` comes when all is copied; on failure the call is answered instead. */
void assembly_start(struct call *call, struct piece *pieces, size_t count, bool hash,
                    void (*done)(struct call *call));

#endif
