/* SPDX-License-Identifier: MIT
 * Deadlines and the carrying of runners over a renewal. A runner is quiet when neither its progress counter
 * nor its processor clock moved; it spins when only the clock does, for as long. */
#include "workers/nursery_runners.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"

#define QUIET_LOOKS 4 /* per no-progress limit: a hang is seen at most a quarter late */

void runner_kill(struct runner_slot *slot, enum death_order order) {
    if (slot->entry.order == ORDER_NONE)
        slot->entry.order = order;
    if (syscall(SYS_pidfd_send_signal, slot->entry.pidfd, SIGKILL, NULL, 0) != 0)
        log_debug("runner=%d state=gone", slot->entry.pid);
}

static uint64_t cpu_ms_of(pid_t pid) {
    clockid_t clock;
    struct timespec now;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &now) != 0)
        return 0;
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void look_for_life(struct runner_slot *slot, int64_t now_ms) {
    struct runner_entry *entry = &slot->entry;
    uint64_t done = atomic_load_explicit(&slot->progress->done, memory_order_relaxed);
    uint64_t cpu_ms = cpu_ms_of(entry->pid);

    if (done != entry->last_done) {
        entry->last_done = done;
        entry->step_cpu_ms = cpu_ms;
        entry->quiet_since_ms = now_ms;
    }
    if (cpu_ms != entry->last_cpu_ms) {
        entry->last_cpu_ms = cpu_ms;
        entry->quiet_since_ms = now_ms;
    }
    if (cpu_ms >= entry->step_cpu_ms + entry->no_progress_ms)
        runner_kill(slot, ORDER_SPINNING);
    else if (now_ms - entry->quiet_since_ms >= (int64_t)entry->no_progress_ms)
        runner_kill(slot, ORDER_NO_PROGRESS);
    entry->next_look_ms = now_ms + (int64_t)entry->no_progress_ms / QUIET_LOOKS + 1;
}

void runner_look(struct runner_slot *slot, int64_t now_ms) {
    if (now_ms >= slot->entry.wall_deadline_ms) {
        runner_kill(slot, ORDER_TIMEOUT);
        slot->entry.wall_deadline_ms = INT64_MAX;
        slot->entry.next_look_ms = INT64_MAX;
    } else if (now_ms >= slot->entry.next_look_ms) {
        look_for_life(slot, now_ms);
    }
}

int64_t runner_next_look(const struct runner_slot *slot) {
    return slot->entry.wall_deadline_ms < slot->entry.next_look_ms ? slot->entry.wall_deadline_ms
                                                                   : slot->entry.next_look_ms;
}

int runners_carry(struct runner_slot *slots, size_t count) {
    int fd = memfd_create("filemill-runners", 0);

    if (fd < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        struct runner_entry *entry = &slots[i].entry;
        if (entry->id == 0)
            continue;
        if (fcntl(entry->pidfd, F_SETFD, 0) != 0 || fcntl(entry->progress_fd, F_SETFD, 0) != 0 ||
            write(fd, entry, sizeof *entry) != (ssize_t)sizeof *entry) {
            close(fd);
            return -1;
        }
    }
    if (lseek(fd, 0, SEEK_SET) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int runners_resume(struct runner_slot *slots, size_t count, int fd) {
    size_t used = 0;

    while (used < count) {
        struct runner_slot *slot = &slots[used];
        if (read(fd, &slot->entry, sizeof slot->entry) != (ssize_t)sizeof slot->entry)
            break;
        slot->progress =
            mmap(NULL, PROGRESS_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, slot->entry.progress_fd, 0);
        if (slot->progress == MAP_FAILED || fcntl(slot->entry.pidfd, F_SETFD, FD_CLOEXEC) != 0 ||
            fcntl(slot->entry.progress_fd, F_SETFD, FD_CLOEXEC) != 0)
            return -1;
        used++;
    }
    memset(&slots[used], 0, (count - used) * sizeof *slots);
    close(fd);
    return (int)used;
}
