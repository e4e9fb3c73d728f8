/* SPDX-License-Identifier: MIT
 * Three functions of the engines' libraries, replaced for the whole nursery so that no engine starts a thread:
 * a runner may not make one (the sandbox answers EAGAIN), and the nursery could not fork safely with one.
 * The program exports its symbols, so the libraries' own calls land here. */
#include <pthread.h>
#include <sched.h>
#include <vips/vips.h>

/* Decoders size their thread pools by this: there is one processor. */
int pthread_getaffinity_np(pthread_t thread, size_t size, cpu_set_t *set) {
    CPU_ZERO_S(size, set);
    CPU_SET_S(0, size, set);
    return 0;
}

/* libde265 waits for ever for workers that could not be started; told that they were, with none there, it
 * decodes in the calling thread. Its header is in another package: the signature is the library's ABI. */
int de265_start_worker_threads(void *decoder, int count);
int de265_start_worker_threads(void *decoder, int count) {
    return 0; /* DE265_OK */
}

/* libvips starts a worker thread even where the concurrency is 1. The same contract in the calling thread:
 * allocate a piece of work, do it, until there is none left. */
int vips_threadpool_run(VipsImage *image, VipsThreadStartFn start, VipsThreadpoolAllocateFn allocate,
                        VipsThreadpoolWorkFn work, VipsThreadpoolProgressFn progress, void *context) {
    VipsThreadState *state = start(image, context);
    gboolean stop = FALSE;
    int status = state == NULL ? -1 : 0;

    while (status == 0) {
        status = allocate(state, context, &stop);
        if (status != 0 || stop || state->stop)
            break;
        status = work(state, context);
        if (status == 0 && progress != NULL)
            status = progress(context);
    }
    if (state != NULL)
        g_object_unref(state);
    return status;
}
