/* SPDX-License-Identifier: MIT
 * Starting the other nurseries and hearing of their ends. */
#include "workers/nursery_siblings.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/memory.h"
#include "lib/process.h"

static const char *const programs[NURSERY_COUNT] = {
    [NURSERY_TEXT] = "filemill-nursery-text",
    [NURSERY_MEDIA] = "filemill-nursery-media",
};

struct sibling {
    struct siblings *all;
    enum processor_nursery which;
    pid_t pid; /* 0: not running */
    int pidfd;
    struct loop_watch *line; /* while it isn't running */
    struct loop_watch *end;  /* while it is */
};

struct siblings {
    struct loop *loop;
    const struct nursery_start *start;
    struct sibling each[NURSERY_COUNT]; /* the first stays empty */
};

static void on_packet(void *context, uint32_t events);

static void await_packet(struct sibling *sibling) {
    sibling->line = loop_watch_new(sibling->all->loop, NURSERY_SOCKET + (int)sibling->which, LOOP_READ,
                                   on_packet, sibling);
}

static void on_end(void *context, uint32_t events) {
    struct sibling *sibling = context;
    char text[64] = "unknown";
    int status;

    if (waitpid(sibling->pid, &status, WNOHANG) == sibling->pid)
        process_describe_status(text, sizeof text, status);
    log_error("program=%s pid=%d state=gone status=\"%s\"", programs[sibling->which], sibling->pid, text);
    loop_stop(sibling->all->loop, 1);
}

static void await_end(struct sibling *sibling) {
    sibling->end = loop_watch_new(sibling->all->loop, sibling->pidfd, LOOP_READ, on_end, sibling);
}

static pid_t spawn(const struct sibling *sibling, int *pidfd) {
    struct process_descriptor descriptor = {.from = NURSERY_SOCKET + (int)sibling->which,
                                            .to = NURSERY_SOCKET};
    char name[] = "filemill-nursery", state[NURSERY_STATE_SIZE];
    char *arguments[] = {name, state, NULL};
    char *path = memory_format("%s/%s", process_own_directory(), programs[sibling->which]);
    struct process_plan plan = {.path = path,
                                .arguments = arguments,
                                .environment = environ,
                                .descriptors = &descriptor,
                                .descriptor_count = 1};
    struct nursery_start start = {.carry = -1, .namespaces = sibling->all->start->namespaces};

    nursery_write_state(&start, state);
    pid_t pid = process_spawn(&plan, pidfd);
    if (pid < 0)
        log_error_errno("program=%s state=not-started", path);
    free(path);
    return pid;
}

static void on_packet(void *context, uint32_t events) {
    struct sibling *sibling = context;
    char byte;

    if (recv(NURSERY_SOCKET + (int)sibling->which, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
        loop_watch_set(sibling->line, 0); /* the worker is gone, as the own line is about to say */
        return;
    }
    loop_watch_free(sibling->line);
    sibling->line = NULL;
    sibling->pid = spawn(sibling, &sibling->pidfd);
    if (sibling->pid < 0)
        loop_stop(sibling->all->loop, 1);
    else
        await_end(sibling);
}

static void resume(struct sibling *sibling, pid_t pid) {
    sibling->pid = pid;
    sibling->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (sibling->pidfd < 0)
        fatal_errno("program=%s pid=%d not found again", programs[sibling->which], pid);
    await_end(sibling);
}

struct siblings *siblings_new(struct loop *loop, const struct nursery_start *start) {
    struct siblings *siblings = memory_new(sizeof *siblings);

    siblings->loop = loop;
    siblings->start = start;
    for (int i = NURSERY_FIRST + 1; i < NURSERY_COUNT; i++) {
        struct sibling *sibling = &siblings->each[i];
        sibling->all = siblings;
        sibling->which = (enum processor_nursery)i;
        if (start->siblings[i] > 0)
            resume(sibling, start->siblings[i]);
        else
            await_packet(sibling);
    }
    return siblings;
}

/* The loop frees the watches; the processes die with this one. */
void siblings_free(struct siblings *siblings) {
    free(siblings);
}

pid_t siblings_pid(const struct siblings *siblings, enum processor_nursery which) {
    return siblings->each[which].pid;
}
