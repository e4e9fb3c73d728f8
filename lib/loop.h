/* SPDX-License-Identifier: MIT
 * The event loop: one per process, one thread. Every handle can be freed at any time, also from inside its
 * own callback or another's; a freed handle's callback never runs again. Built on epoll, one timerfd-free
 * heap of timers on the monotonic clock, and signalfd (signals given to it are blocked in the process). */
#ifndef LIB_LOOP_H
#define LIB_LOOP_H

#include <stdint.h>

#define LOOP_READ 1u
#define LOOP_WRITE 2u
#define LOOP_HANGUP 4u /* reported only: error or hang-up; comes with whatever was wanted of READ and WRITE */

struct loop;
struct loop_watch;
struct loop_timer;
struct loop_signal;
struct loop_prepare;

typedef void loop_watch_fn(void *context, uint32_t events);
typedef void loop_timer_fn(void *context);
typedef void loop_signal_fn(void *context, int signal_number);

/* Also sets SIGPIPE to be ignored: a peer that goes away is an error of write(2). */
struct loop *loop_new(void);
void loop_free(struct loop *loop); /* frees all handles still alive */

/* Runs until loop_stop (also one called before); returns the status given there. Not from a callback. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop, int status);

/* Watches `fd`, which stays the caller's and must outlive the handle. Level-triggered.
 * One watch per descriptor; with events 0 it is paused and reports nothing, not even a hang-up. */
struct loop_watch *loop_watch_new(struct loop *loop, int fd, uint32_t events, loop_watch_fn *fn, void *context);
void loop_watch_set(struct loop_watch *watch, uint32_t events);
void loop_watch_free(struct loop_watch *watch);

/* One-shot; loop_timer_set (re)arms it, delay 0 runs on the next turn. Created unarmed. */
struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_fn *fn, void *context);
void loop_timer_set(struct loop_timer *timer, int64_t delay_ms);
void loop_timer_stop(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);

/* The signal stays blocked after the handle is freed. */
struct loop_signal *loop_signal_new(struct loop *loop, int signal_number, loop_signal_fn *fn, void *context);
void loop_signal_free(struct loop_signal *signal);

/* Runs once before every sleep: for flushing batches and for edge-triggered sources. */
struct loop_prepare *loop_prepare_new(struct loop *loop, loop_timer_fn *fn, void *context);
void loop_prepare_free(struct loop_prepare *prepare);

#endif
