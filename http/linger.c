/* SPDX-License-Identifier: MIT
 * Lingering close: bounded in number, time and bytes. */
#include "http/linger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/memory.h"

#define LINGER_COUNT_MAX 64u
#define LINGER_MS 3000
#define LINGER_BYTES_MAX (UINT64_C(256) << 20)
#define READS_PER_TURN 16

struct straggler {
    struct linger_list *linger;
    struct straggler *next, **place;
    int fd;
    uint64_t forgotten_bytes;
    struct loop_watch *watch;
    struct loop_timer *timer;
};

struct linger_list {
    struct loop *loop;
    struct straggler *first;
    unsigned count;
};

static void straggler_free(struct straggler *straggler) {
    *straggler->place = straggler->next;
    if (straggler->next != NULL)
        straggler->next->place = straggler->place;
    straggler->linger->count--;
    loop_watch_free(straggler->watch);
    loop_timer_free(straggler->timer);
    close(straggler->fd);
    free(straggler);
}

static void on_time(void *context) {
    straggler_free(context);
}

static void on_bytes(void *context, uint32_t events) {
    struct straggler *straggler = context;
    char forgotten[65536];

    for (int i = 0; i < READS_PER_TURN; i++) {
        ssize_t got = recvfrom(straggler->fd, forgotten, sizeof(forgotten), MSG_DONTWAIT, NULL, NULL);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        straggler->forgotten_bytes += got > 0 ? (uint64_t)got : 0;
        if (got <= 0 || straggler->forgotten_bytes > LINGER_BYTES_MAX) {
            straggler_free(straggler);
            return;
        }
    }
}

struct linger_list *linger_new(struct loop *loop) {
    struct linger_list *linger = memory_new(sizeof(*linger));

    linger->loop = loop;
    return linger;
}

void linger_free(struct linger_list *linger) {
    if (linger == NULL)
        return;
    for (struct straggler *straggler = linger->first, *next; straggler != NULL; straggler = next) {
        next = straggler->next;
        straggler_free(straggler);
    }
    free(linger);
}

void linger_add(struct linger_list *linger, int fd) {
    if (linger->count >= LINGER_COUNT_MAX)
        return;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return;
    struct straggler *straggler = memory_new(sizeof(*straggler));
    *straggler =
        (struct straggler){.linger = linger, .next = linger->first, .place = &linger->first, .fd = copy};
    if (straggler->next != NULL)
        straggler->next->place = &straggler->next;
    linger->first = straggler;
    linger->count++;
    (void)shutdown(copy, SHUT_WR);
    straggler->watch = loop_watch_new(linger->loop, copy, LOOP_READ, on_bytes, straggler);
    straggler->timer = loop_timer_new(linger->loop, on_time, straggler);
    loop_timer_set(straggler->timer, LINGER_MS);
}
