/* SPDX-License-Identifier: MIT
 * The five system calls of Linux AIO, called directly: libaio would add a package for them. Jobs over the
 * kernel's limit wait in a list, in order. */
#include "storage/store/syncer.h"

#include "lib/log.h"
#include "lib/memory.h"
#include <errno.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IN_FLIGHT_MAX 128

struct sync_job {
    struct sync_job *next;
    struct iocb control;
    syncer_done_fn *done;
    void *context;
    int error;
};

struct syncer {
    struct loop *loop;
    aio_context_t aio; /* 0: refused by the kernel */
    int event_fd;
    struct loop_watch *watch;
    struct loop_timer *timer; /* delivers what was done at once */
    unsigned in_flight;
    struct sync_job *waiting;
    struct sync_job **waiting_end;
    struct sync_job *finished;
    struct sync_job **finished_end;
};

static void append_job(struct sync_job ***end, struct sync_job *job) {
    job->next = NULL;
    **end = job;
    *end = &job->next;
}

static void finish_now(struct syncer *syncer, struct sync_job *job, int error) {
    job->error = error;
    append_job(&syncer->finished_end, job);
    loop_timer_set(syncer->timer, 0);
}

static void submit(struct syncer *syncer, struct sync_job *job) {
    struct iocb *controls[1] = {&job->control};

    if (syncer->aio != 0) {
        if (syscall(SYS_io_submit, syncer->aio, 1L, controls) == 1) {
            syncer->in_flight++;
            return;
        }
        if (errno != EAGAIN && syncer->in_flight == 0) {
            log_info("event=sync_fallback reason=io_submit");
            (void)syscall(SYS_io_destroy, syncer->aio);
            syncer->aio = 0;
        }
    }
    finish_now(syncer, job, fsync((int)job->control.aio_fildes) == 0 ? 0 : errno);
}

static void submit_waiting(struct syncer *syncer) {
    while (syncer->waiting != NULL && syncer->in_flight < IN_FLIGHT_MAX) {
        struct sync_job *job = syncer->waiting;
        syncer->waiting = job->next;
        if (syncer->waiting == NULL)
            syncer->waiting_end = &syncer->waiting;
        submit(syncer, job);
    }
}

static void deliver_finished(void *context) {
    struct syncer *syncer = context;
    struct sync_job *job = syncer->finished;

    syncer->finished = NULL;
    syncer->finished_end = &syncer->finished;
    while (job != NULL) {
        struct sync_job *next = job->next;
        job->done(job->context, job->error);
        free(job);
        job = next;
    }
}

static void collect(void *context, uint32_t events) {
    struct syncer *syncer = context;
    struct io_event done[32];
    uint64_t counter;
    long count;

    if (read(syncer->event_fd, &counter, sizeof(counter)) < 0 && errno != EAGAIN)
        fatal_errno("event=sync_eventfd");
    do {
        struct timespec no_wait = {0};
        count = syscall(SYS_io_getevents, syncer->aio, 0L, (long)(sizeof(done) / sizeof(done[0])), done,
                        &no_wait);
        for (long i = 0; i < count; i++) {
            struct sync_job *job = (struct sync_job *)(uintptr_t)done[i].data;
            syncer->in_flight--;
            job->error = done[i].res < 0 ? (int)-done[i].res : 0;
            append_job(&syncer->finished_end, job);
        }
    } while (count == (long)(sizeof(done) / sizeof(done[0])));
    submit_waiting(syncer);
    deliver_finished(syncer);
}

struct syncer *syncer_new(struct loop *loop) {
    struct syncer *syncer = memory_new(sizeof(*syncer));

    syncer->loop = loop;
    syncer->waiting_end = &syncer->waiting;
    syncer->finished_end = &syncer->finished;
    syncer->timer = loop_timer_new(loop, deliver_finished, syncer);
    syncer->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (syncer->event_fd < 0)
        fatal_errno("event=sync_eventfd");
    syncer->watch = loop_watch_new(loop, syncer->event_fd, LOOP_READ, collect, syncer);
    if (syscall(SYS_io_setup, IN_FLIGHT_MAX, &syncer->aio) != 0) {
        log_info("event=sync_fallback reason=io_setup");
        syncer->aio = 0;
    }
    return syncer;
}

static void free_jobs(struct sync_job *job) {
    while (job != NULL) {
        struct sync_job *next = job->next;
        free(job);
        job = next;
    }
}

void syncer_free(struct syncer *syncer) {
    if (syncer == NULL)
        return;
    while (syncer->in_flight > 0) {
        struct io_event done;
        if (syscall(SYS_io_getevents, syncer->aio, 1L, 1L, &done, NULL) != 1)
            break;
        free((struct sync_job *)(uintptr_t)done.data);
        syncer->in_flight--;
    }
    if (syncer->aio != 0)
        (void)syscall(SYS_io_destroy, syncer->aio);
    free_jobs(syncer->waiting);
    free_jobs(syncer->finished);
    loop_watch_free(syncer->watch);
    loop_timer_free(syncer->timer);
    (void)close(syncer->event_fd);
    free(syncer);
}

void syncer_start(struct syncer *syncer, int fd, syncer_done_fn *done, void *context) {
    struct sync_job *job = memory_new(sizeof(*job));

    job->done = done;
    job->context = context;
    job->control = (struct iocb){.aio_data = (uint64_t)(uintptr_t)job,
                                 .aio_lio_opcode = IOCB_CMD_FSYNC,
                                 .aio_fildes = (uint32_t)fd,
                                 .aio_flags = IOCB_FLAG_RESFD,
                                 .aio_resfd = (uint32_t)syncer->event_fd};
    append_job(&syncer->waiting_end, job);
    submit_waiting(syncer);
}
