/* SPDX-License-Identifier: MIT
 * fsync without stopping the loop: the kernel's asynchronous fsync (IOCB_CMD_FSYNC, Linux 4.18), several in
 * flight, reported by an eventfd. The file system then commits them in one go. Where the kernel refuses, a
 * plain fsync. */
#ifndef STORAGE_STORE_SYNCER_H
#define STORAGE_STORE_SYNCER_H

#include "lib/loop.h"

struct syncer;
typedef void syncer_done_fn(void *context, int error); /* 0 or an errno */

struct syncer *syncer_new(struct loop *loop);
void syncer_free(struct syncer *syncer); /* waits for what is in flight; callbacks do not run */
/* `fd` must stay open until `done`, which runs from the loop, never from inside this call. */
void syncer_start(struct syncer *syncer, int fd, syncer_done_fn *done, void *context);

#endif
