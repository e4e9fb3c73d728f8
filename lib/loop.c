/* SPDX-License-Identifier: MIT
 * The event loop. One turn: prepare callbacks, sleep in epoll until an event or the next timer, watch
 * callbacks, due timers, then the memory of freed handles. A handle that is freed while callbacks run is only
 * marked; every list and event array may still hold it until the turn ends, and skips it.
 * Timers sit in a binary heap ordered by (deadline, order of arming). */
#include "lib/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"

#define EVENTS_PER_TURN 64
#define SIGNALS_PER_READ 16
#define DELAY_MAX_MS (INT64_C(1000) * 86400 * 3650)
#define NOT_IN_HEAP SIZE_MAX

/* First member of every handle. */
struct handle {
    struct loop *loop;
    struct handle *previous, *next; /* in its kind's list */
    struct handle *next_dead;
    struct handle_list *list;
    bool dead;
};

struct handle_list {
    struct handle *first, *last;
};

struct loop_watch {
    struct handle handle;
    int fd;
    uint32_t events; /* LOOP_READ | LOOP_WRITE wanted; 0: not in the epoll set */
    loop_watch_fn *fn;
    void *context;
};

struct loop_timer {
    struct handle handle;
    int64_t deadline_us;
    uint64_t order;
    size_t index; /* in the heap, or NOT_IN_HEAP */
    loop_timer_fn *fn;
    void *context;
};

struct loop_signal {
    struct handle handle;
    int number;
    loop_signal_fn *fn;
    void *context;
};

struct loop_prepare {
    struct handle handle;
    loop_timer_fn *fn;
    void *context;
};

struct loop {
    int epoll_fd;
    int signal_fd;
    sigset_t signals;
    struct loop_watch *signal_watch;
    struct handle_list watches, timers, signals_list, prepares;
    struct handle *first_dead;
    struct loop_timer **heap;
    size_t heap_size, heap_capacity;
    uint64_t next_order;
    bool running, stopped;
    int status;
};

static void *handle_new(struct loop *loop, struct handle_list *list, size_t size) {
    struct handle *handle = memory_new(size);

    *handle = (struct handle){.loop = loop, .list = list, .previous = list->last};
    if (list->last != NULL)
        list->last->next = handle;
    else
        list->first = handle;
    list->last = handle;
    return handle;
}

static void handle_release(struct handle *handle) {
    struct handle_list *list = handle->list;

    if (handle->previous != NULL)
        handle->previous->next = handle->next;
    else
        list->first = handle->next;
    if (handle->next != NULL)
        handle->next->previous = handle->previous;
    else
        list->last = handle->previous;
    free(handle);
}

static void handle_free(struct handle *handle) {
    struct loop *loop = handle->loop;

    if (handle->dead)
        fatal("event=loop_handle_freed_twice");
    handle->dead = true;
    if (!loop->running) {
        handle_release(handle);
        return;
    }
    handle->next_dead = loop->first_dead;
    loop->first_dead = handle;
}

static void release_dead(struct loop *loop) {
    while (loop->first_dead != NULL) {
        struct handle *handle = loop->first_dead;
        loop->first_dead = handle->next_dead;
        handle_release(handle);
    }
}

/* ---- timers ---- */

static bool fires_before(const struct loop_timer *left, const struct loop_timer *right) {
    if (left->deadline_us != right->deadline_us)
        return left->deadline_us < right->deadline_us;
    return left->order < right->order;
}

static void heap_place(struct loop *loop, size_t index, struct loop_timer *timer) {
    loop->heap[index] = timer;
    timer->index = index;
}

static void heap_rise(struct loop *loop, size_t index, struct loop_timer *timer) {
    while (index > 0 && fires_before(timer, loop->heap[(index - 1) / 2])) {
        heap_place(loop, index, loop->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    heap_place(loop, index, timer);
}

static void heap_sink(struct loop *loop, size_t index, struct loop_timer *timer) {
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= loop->heap_size)
            break;
        if (child + 1 < loop->heap_size && fires_before(loop->heap[child + 1], loop->heap[child]))
            child++;
        if (!fires_before(loop->heap[child], timer))
            break;
        heap_place(loop, index, loop->heap[child]);
        index = child;
    }
    heap_place(loop, index, timer);
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_fn *fn, void *context) {
    struct loop_timer *timer = handle_new(loop, &loop->timers, sizeof(*timer));

    timer->index = NOT_IN_HEAP;
    timer->fn = fn;
    timer->context = context;
    return timer;
}

void loop_timer_set(struct loop_timer *timer, int64_t delay_ms) {
    struct loop *loop = timer->handle.loop;

    loop_timer_stop(timer);
    if (loop->heap_size == loop->heap_capacity) {
        loop->heap_capacity = loop->heap_capacity > 0 ? loop->heap_capacity * 2 : 16;
        loop->heap = memory_resize_array(loop->heap, loop->heap_capacity, sizeof(loop->heap[0]));
    }
    if (delay_ms < 0)
        delay_ms = 0;
    if (delay_ms > DELAY_MAX_MS)
        delay_ms = DELAY_MAX_MS;
    timer->deadline_us = clock_monotonic_us() + delay_ms * 1000;
    timer->order = loop->next_order++;
    heap_rise(loop, loop->heap_size++, timer);
}

void loop_timer_stop(struct loop_timer *timer) {
    struct loop *loop = timer->handle.loop;
    size_t index = timer->index;

    if (index == NOT_IN_HEAP)
        return;
    timer->index = NOT_IN_HEAP;
    struct loop_timer *last = loop->heap[--loop->heap_size];
    if (last == timer)
        return;
    if (index > 0 && fires_before(last, loop->heap[(index - 1) / 2]))
        heap_rise(loop, index, last);
    else
        heap_sink(loop, index, last);
}

void loop_timer_free(struct loop_timer *timer) {
    if (timer == NULL)
        return;
    loop_timer_stop(timer);
    handle_free(&timer->handle);
}

static void run_timers(struct loop *loop) {
    int64_t now_us = clock_monotonic_us();
    uint64_t first_new_order = loop->next_order;

    /* A timer that a callback arms with delay 0 belongs to the next turn, or it could starve the watches. */
    while (loop->heap_size > 0 && !loop->stopped) {
        struct loop_timer *timer = loop->heap[0];
        if (timer->deadline_us > now_us || timer->order >= first_new_order)
            return;
        loop_timer_stop(timer);
        timer->fn(timer->context);
    }
}

/* Milliseconds to sleep, rounded up so that the timer is due when we wake; -1 without timers. */
static int sleep_ms(const struct loop *loop) {
    if (loop->heap_size == 0)
        return -1;
    int64_t left_us = loop->heap[0]->deadline_us - clock_monotonic_us();
    if (left_us <= 0)
        return 0;
    int64_t left_ms = (left_us + 999) / 1000;
    return left_ms > 3600000 ? 3600000 : (int)left_ms;
}

/* ---- watches ---- */

static uint32_t epoll_events(uint32_t events) {
    return (events & LOOP_READ ? (uint32_t)EPOLLIN : 0) | (events & LOOP_WRITE ? (uint32_t)EPOLLOUT : 0);
}

struct loop_watch *loop_watch_new(struct loop *loop, int fd, uint32_t events, loop_watch_fn *fn,
                                  void *context) {
    struct loop_watch *watch = handle_new(loop, &loop->watches, sizeof(*watch));

    watch->fd = fd;
    watch->fn = fn;
    watch->context = context;
    loop_watch_set(watch, events);
    return watch;
}

void loop_watch_set(struct loop_watch *watch, uint32_t events) {
    uint32_t wanted = events & (LOOP_READ | LOOP_WRITE);
    struct epoll_event event = {.events = epoll_events(wanted), .data.ptr = watch};

    if (wanted == watch->events)
        return;
    /* A descriptor without wanted events leaves the set: epoll would report its hang-up without end. */
    int operation = watch->events == 0 ? EPOLL_CTL_ADD : wanted == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    if (epoll_ctl(watch->handle.loop->epoll_fd, operation, watch->fd, &event) != 0)
        fatal_errno("event=loop_watch_failed fd=%d", watch->fd);
    watch->events = wanted;
}

void loop_watch_free(struct loop_watch *watch) {
    if (watch == NULL)
        return;
    if (watch->events != 0)
        (void)epoll_ctl(watch->handle.loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->events = 0;
    handle_free(&watch->handle);
}

static void run_watch(struct loop_watch *watch, uint32_t reported) {
    uint32_t events = 0;

    /* An earlier callback of this turn may have paused or freed the watch; a freed one wants nothing. */
    if (watch->events == 0)
        return;
    if (reported & EPOLLIN)
        events |= LOOP_READ;
    if (reported & EPOLLOUT)
        events |= LOOP_WRITE;
    if (reported & (EPOLLHUP | EPOLLERR))
        events |= LOOP_READ | LOOP_WRITE;
    events &= watch->events;
    if (reported & (EPOLLHUP | EPOLLERR))
        events |= LOOP_HANGUP;
    if (events != 0)
        watch->fn(watch->context, events);
}

/* ---- signals ---- */

static void read_signals(void *context, uint32_t events) {
    struct loop *loop = context;
    struct signalfd_siginfo arrived[SIGNALS_PER_READ];

    ssize_t size = read(loop->signal_fd, arrived, sizeof(arrived));
    size_t count = size < 0 ? 0 : (size_t)size / sizeof(arrived[0]);
    for (size_t i = 0; i < count; i++) {
        for (struct handle *handle = loop->signals_list.first; handle != NULL; handle = handle->next) {
            struct loop_signal *signal = (struct loop_signal *)handle;
            if (!handle->dead && (uint32_t)signal->number == arrived[i].ssi_signo)
                signal->fn(signal->context, signal->number);
        }
    }
}

struct loop_signal *loop_signal_new(struct loop *loop, int signal_number, loop_signal_fn *fn, void *context) {
    struct loop_signal *signal = handle_new(loop, &loop->signals_list, sizeof(*signal));

    signal->number = signal_number;
    signal->fn = fn;
    signal->context = context;

    sigaddset(&loop->signals, signal_number);
    if (sigprocmask(SIG_BLOCK, &loop->signals, NULL) != 0)
        fatal_errno("event=loop_signal_failed signal=%d", signal_number);
    int fd = signalfd(loop->signal_fd, &loop->signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        fatal_errno("event=loop_signal_failed signal=%d", signal_number);
    if (loop->signal_watch == NULL) {
        loop->signal_fd = fd;
        loop->signal_watch = loop_watch_new(loop, fd, LOOP_READ, read_signals, loop);
    }
    return signal;
}

void loop_signal_free(struct loop_signal *signal) {
    /* The signal stays blocked: one that is pending must not kill a process that is shutting down. */
    if (signal != NULL)
        handle_free(&signal->handle);
}

/* ---- prepare ---- */

struct loop_prepare *loop_prepare_new(struct loop *loop, loop_timer_fn *fn, void *context) {
    struct loop_prepare *prepare = handle_new(loop, &loop->prepares, sizeof(*prepare));

    prepare->fn = fn;
    prepare->context = context;
    return prepare;
}

void loop_prepare_free(struct loop_prepare *prepare) {
    if (prepare != NULL)
        handle_free(&prepare->handle);
}

static void run_prepares(struct loop *loop) {
    for (struct handle *handle = loop->prepares.first; handle != NULL; handle = handle->next) {
        struct loop_prepare *prepare = (struct loop_prepare *)handle;
        if (!handle->dead && !loop->stopped)
            prepare->fn(prepare->context);
    }
}

/* ---- the loop ---- */

struct loop *loop_new(void) {
    struct loop *loop = memory_new(sizeof(*loop));

    /* A peer that goes away is an error of write(2), not the end of the process. */
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&loop->signals);
    loop->signal_fd = -1;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        fatal_errno("event=loop_failed");
    return loop;
}

void loop_free(struct loop *loop) {
    if (loop == NULL)
        return;
    if (loop->running)
        fatal("event=loop_freed_while_running");
    struct handle_list *lists[] = {&loop->watches, &loop->timers, &loop->signals_list, &loop->prepares};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (struct handle *handle = lists[i]->first, *next; handle != NULL; handle = next) {
            next = handle->next;
            handle_release(handle);
        }
    }
    if (loop->signal_fd >= 0)
        close(loop->signal_fd);
    close(loop->epoll_fd);
    free(loop->heap);
    free(loop);
}

static void run_events(struct loop *loop, int timeout_ms) {
    struct epoll_event events[EVENTS_PER_TURN];
    int count = epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN, timeout_ms);

    if (count < 0 && errno != EINTR)
        fatal_errno("event=loop_failed");
    for (int i = 0; i < count && !loop->stopped; i++)
        run_watch(events[i].data.ptr, events[i].events);
}

int loop_run(struct loop *loop) {
    if (loop->running)
        fatal("event=loop_run_inside_callback");
    loop->running = true;
    while (!loop->stopped) {
        run_prepares(loop);
        release_dead(loop);
        if (loop->stopped)
            break;
        run_events(loop, sleep_ms(loop));
        run_timers(loop);
        release_dead(loop);
    }
    loop->running = false;
    loop->stopped = false;
    return loop->status;
}

void loop_stop(struct loop *loop, int status) {
    loop->stopped = true;
    loop->status = status;
}
