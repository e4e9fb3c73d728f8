/* SPDX-License-Identifier: MIT
 * An object stored as its bytes come, of unknown length and in bounded memory (form-memory): small ones by
 * one PUT, larger ones in parts, each when the one before lies in the store. The upload's id is in the file's
 * row before the first part is sent, so that whatever dies, what was begun is aborted when the row expires.
 * Part of a call's state; what the store refuses for now is tried again. */
#ifndef GATEWAY_PUT_H
#define GATEWAY_PUT_H

#include "gateway/call.h"
#include "storage/keys.h"

/* `etag` is NULL when it failed: logged, and nothing is answered. The client may be gone (call->request). */
typedef void put_done_fn(struct call *call, const char *etag);

enum put_step { PUT_WHOLE, PUT_CREATE, PUT_PART, PUT_COMPLETE };

struct put {
    struct call *call;
    char file[UUID_TEXT_SIZE], key[KEY_MAX + 1], type[256]; /* set by the caller before anything is stored */
    struct buffer held;                                     /* bytes that are not stored yet */
    uint64_t bytes;                                         /* taken in all */
    /* its own */
    enum put_step step;
    unsigned part, tries;
    bool ending;
    char *upload;       /* the id */
    struct buffer list; /* of parts, as the end of the upload says it */
    struct loop_timer *timer;
    put_done_fn *done;
};

void put_begin(struct put *put, struct call *call);
/* How many of the bytes it took: all, or as many as it may hold. Then put_flush, before more. */
size_t put_take(struct put *put, const char *bytes, size_t size);
/* Stores what is held as a part. */
void put_flush(struct put *put, put_done_fn *done);
/* Stores the rest; then the object is there. */
void put_end(struct put *put, put_done_fn *done);
/* Parts that were not put together are deleted. Nothing may be under way. */
void put_clear(struct put *put);

#endif
