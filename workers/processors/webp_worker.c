/* SPDX-License-Identifier: MIT
 * libwebp decodes pictures of 512 px and wider with a second thread, and fails where it can't have one. It
 * takes another way to run its workers: here, at once, in the calling thread. The declarations are those of
 * its utils/thread_utils.h, which is not installed; the function is exported for this purpose. */
#include <stddef.h>

#include "workers/processors/webp.h"

enum worker_status { WORKER_NOT_OK, WORKER_OK, WORKER_WORK };

struct worker {
    void *implementation;
    enum worker_status status;
    int (*hook)(void *first, void *second);
    void *first, *second;
    int had_error;
};

struct worker_interface {
    void (*init)(struct worker *worker);
    int (*reset)(struct worker *worker);
    int (*sync)(struct worker *worker);
    void (*launch)(struct worker *worker);
    void (*execute)(struct worker *worker);
    void (*end)(struct worker *worker);
};

extern int WebPSetWorkerInterface(const struct worker_interface *winterface);

static void init(struct worker *worker) {
    *worker = (struct worker){.status = WORKER_NOT_OK};
}

static int reset(struct worker *worker) {
    worker->had_error = 0;
    worker->status = WORKER_OK;
    return 1;
}

static int sync_worker(struct worker *worker) {
    return !worker->had_error;
}

static void execute(struct worker *worker) {
    if (worker->hook != NULL)
        worker->had_error |= !worker->hook(worker->first, worker->second);
}

static void end(struct worker *worker) {
    worker->status = WORKER_NOT_OK;
}

int webp_stay_single(void) {
    static const struct worker_interface here = {
        .init = init, .reset = reset, .sync = sync_worker, .launch = execute, .execute = execute, .end = end};

    return WebPSetWorkerInterface(&here) ? 0 : -1;
}
