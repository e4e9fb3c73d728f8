/* SPDX-License-Identifier: MIT
 * The loop calls who is due, in order, and never one that was freed, whoever freed it. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/clock.h"
#include "lib/loop.h"
#include "lib/text.h"

static struct loop *loop;
static struct loop_timer *deadline; /* no test hangs */
static char trace[256];
static int pair[2];

static void give_up(void *context) {
    loop_stop(loop, 99);
}

static int start(void **state) {
    loop = loop_new();
    deadline = loop_timer_new(loop, give_up, NULL);
    loop_timer_set(deadline, 5000);
    trace[0] = '\0';
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair);
}

static int finish(void **state) {
    loop_free(loop);
    close(pair[0]);
    close(pair[1]);
    return 0;
}

static void note(const char *name) {
    size_t used = strlen(trace);

    assert_int_equal(text_copy(trace + used, sizeof(trace) - used, name), 0);
}

static void note_timer(void *context) {
    note(context);
}

static void stop_timer(void *context) {
    note(context);
    loop_stop(loop, 7);
}

static struct loop_timer *timer_after(int64_t delay_ms, loop_timer_fn *fn, const char *name) {
    struct loop_timer *timer = loop_timer_new(loop, fn, (void *)(uintptr_t)name);

    loop_timer_set(timer, delay_ms);
    return timer;
}

static void timers_run_in_the_order_of_their_deadlines(void **state) {
    int64_t start_us = clock_monotonic_us();
    timer_after(30, stop_timer, "d");
    timer_after(10, note_timer, "b");
    timer_after(20, note_timer, "c");
    timer_after(0, note_timer, "1");
    timer_after(0, note_timer, "2");
    timer_after(-5, note_timer, "3");
    assert_int_equal(loop_run(loop), 7);
    assert_string_equal(trace, "123bcd");
    assert_true(clock_monotonic_us() - start_us >= 30000);
}

static void a_timer_stopped_or_set_again_obeys_the_last_word(void **state) {
    struct loop_timer *stopped = timer_after(1, note_timer, "x");
    struct loop_timer *moved = timer_after(1, note_timer, "m");
    timer_after(10, note_timer, "b");
    timer_after(40, stop_timer, "z");
    loop_timer_stop(stopped);
    loop_timer_stop(stopped);
    loop_timer_set(moved, 20);
    loop_timer_free(loop_timer_new(loop, note_timer, NULL));
    loop_timer_free(NULL);
    assert_int_equal(loop_run(loop), 7);
    assert_string_equal(trace, "bmz");
}

struct tick {
    struct loop_timer *timer;
    int64_t due_ms;
};
#define TICKS 500

static struct tick ticks[TICKS];
static int ticks_left;
static int64_t last_due_ms;

static void tick(void *context) {
    struct tick *this = context;

    assert_true(this->due_ms >= last_due_ms - 1); /* stamps are cut to the millisecond */
    assert_true(clock_monotonic_ms() >= this->due_ms);
    last_due_ms = this->due_ms;
    loop_timer_free(this->timer);
    this->timer = NULL;
    if (--ticks_left == 0)
        loop_stop(loop, 1);
}

static void a_heap_of_many_timers_stays_in_order(void **state) {
    uint64_t random = 12345;

    ticks_left = TICKS;
    last_due_ms = 0;
    for (int i = 0; i < TICKS; i++)
        ticks[i].timer = loop_timer_new(loop, tick, &ticks[i]);
    for (int i = 0; i < 3 * TICKS; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        struct tick *this = &ticks[i < 2 * TICKS ? random >> 40 & 255 : (uint64_t)(i - 2 * TICKS)];
        int64_t delay_ms = (int64_t)(random >> 33 & 127);
        this->due_ms = clock_monotonic_ms() + delay_ms;
        loop_timer_set(this->timer, delay_ms);
        if (random >> 50 & 1)
            loop_timer_stop(ticks[random >> 20 & 255].timer); /* armed again in the last round */
    }
    for (int i = 0; i < TICKS; i++) {
        ticks[i].due_ms = clock_monotonic_ms() + i % 64;
        loop_timer_set(ticks[i].timer, i % 64);
    }
    assert_int_equal(loop_run(loop), 1);
    for (int i = 0; i < TICKS; i++)
        assert_null(ticks[i].timer);
}

static struct loop_timer *again;
static int again_count;

static void run_again(void *context) {
    again_count++;
    loop_timer_set(again, 0);
}

static void read_and_stop(void *context, uint32_t events) {
    char byte;

    assert_int_equal(events, LOOP_READ);
    assert_int_equal(read(pair[0], &byte, 1), 1);
    loop_stop(loop, 3);
}

static void a_timer_that_arms_itself_for_now_starves_nobody(void **state) {
    again_count = 0;
    again = timer_after(0, run_again, NULL);
    loop_watch_new(loop, pair[0], LOOP_READ, read_and_stop, NULL);
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_int_equal(loop_run(loop), 3);
    assert_in_range(again_count, 0, 3);
}

static struct loop_watch *watch;
static uint32_t seen_events;

static void record_and_stop(void *context, uint32_t events) {
    seen_events = events;
    loop_stop(loop, 4);
}

static void a_watch_reports_what_it_asks_for(void **state) {
    assert_int_equal(write(pair[1], "x", 1), 1);
    watch = loop_watch_new(loop, pair[0], LOOP_WRITE, record_and_stop, NULL);
    assert_int_equal(loop_run(loop), 4);
    assert_int_equal(seen_events, LOOP_WRITE);
    loop_watch_set(watch, LOOP_READ | LOOP_WRITE);
    assert_int_equal(loop_run(loop), 4);
    assert_int_equal(seen_events, LOOP_READ | LOOP_WRITE);
    loop_watch_set(watch, LOOP_READ);
    assert_int_equal(loop_run(loop), 4); /* level-triggered: still unread */
    assert_int_equal(seen_events, LOOP_READ);
    loop_watch_set(watch, 0);
    timer_after(20, stop_timer, "t");
    assert_int_equal(loop_run(loop), 7);
    loop_watch_free(NULL);
}

static void a_hangup_reaches_a_reader_and_not_a_paused_watch(void **state) {
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    watch = loop_watch_new(loop, ends[0], LOOP_READ, record_and_stop, NULL);
    close(ends[1]);
    assert_int_equal(loop_run(loop), 4);
    assert_int_equal(seen_events, LOOP_READ | LOOP_HANGUP);
    loop_watch_set(watch, 0);
    timer_after(20, stop_timer, "t");
    assert_int_equal(loop_run(loop), 7);
    loop_watch_set(watch, LOOP_READ);
    assert_int_equal(loop_run(loop), 4);
    loop_watch_free(watch);
    close(ends[0]);
}

struct peer {
    struct loop_watch *watch;
    struct peer *other;
    int fd;
    int calls;
};

static void free_the_other_and_myself(void *context, uint32_t events) {
    struct peer *this = context;

    this->calls++;
    loop_watch_free(this->other->watch);
    close(this->other->fd);
    loop_watch_free(this->watch);
    close(this->fd);
    timer_after(10, stop_timer, "s");
}

static void a_watch_freed_by_another_of_the_same_turn_stays_silent(void **state) {
    struct peer peers[2] = {{.other = &peers[1], .fd = dup(pair[0])},
                            {.other = &peers[0], .fd = dup(pair[0])}};

    assert_int_equal(shutdown(pair[0], SHUT_RDWR), 0); /* readable and hung up */
    for (int i = 0; i < 2; i++)
        peers[i].watch = loop_watch_new(loop, peers[i].fd, LOOP_READ, free_the_other_and_myself, &peers[i]);
    assert_int_equal(loop_run(loop), 7);
    assert_int_equal(peers[0].calls + peers[1].calls, 1);
}

static int silent[2];

static void new_on_the_same_number(void *context, uint32_t events) {
    struct peer *this = context;

    this->calls++;
    loop_watch_free(this->other->watch);
    close(this->other->fd);
    /* The same number again, but nothing to read: an event of the old descriptor must not reach it. */
    assert_int_equal(pipe2(silent, O_CLOEXEC), 0);
    if (silent[0] != this->other->fd) {
        assert_int_equal(dup2(silent[0], this->other->fd), this->other->fd);
        close(silent[0]);
    }
    this->other->watch = loop_watch_new(loop, this->other->fd, LOOP_READ, record_and_stop, NULL);
    loop_watch_set(this->watch, 0);
    timer_after(20, stop_timer, "s");
}

static void an_old_event_does_not_reach_a_new_watch(void **state) {
    struct peer peers[2] = {{.other = &peers[1], .fd = dup(pair[0])},
                            {.other = &peers[0], .fd = dup(pair[0])}};

    seen_events = 0;
    assert_int_equal(write(pair[1], "x", 1), 1);
    for (int i = 0; i < 2; i++)
        peers[i].watch = loop_watch_new(loop, peers[i].fd, LOOP_READ, new_on_the_same_number, &peers[i]);
    assert_int_equal(loop_run(loop), 7);
    assert_int_equal(seen_events, 0);
    assert_int_equal(peers[0].calls + peers[1].calls, 1);
    for (int i = 0; i < 2; i++) {
        loop_watch_free(peers[i].watch);
        close(peers[i].fd);
    }
    close(silent[1]);
}

static struct loop_timer *victim;
static struct loop_timer *killer;

static void free_victim(void *context) {
    note(context);
    loop_timer_free(victim);
    loop_timer_free(killer);
}

static void a_timer_freed_by_another_stays_silent(void **state) {
    killer = timer_after(0, free_victim, "k");
    victim = timer_after(0, note_timer, "v");
    timer_after(5, stop_timer, "s");
    assert_int_equal(loop_run(loop), 7);
    assert_string_equal(trace, "ks");
}

static struct loop_signal *signals[3];

static void on_signal(void *context, int number) {
    assert_int_equal(number, SIGUSR1);
    note(context);
    if (strcmp(context, "a") == 0)
        loop_signal_free(signals[1]);
    if (strcmp(context, "c") == 0)
        loop_stop(loop, 8);
}

static void on_other_signal(void *context, int number) {
    assert_int_equal(number, SIGUSR2);
    note("o");
    kill(getpid(), SIGUSR1);
}

static void signals_reach_their_handles(void **state) {
    signals[0] = loop_signal_new(loop, SIGUSR1, on_signal, "a");
    signals[1] = loop_signal_new(loop, SIGUSR1, on_signal, "b");
    signals[2] = loop_signal_new(loop, SIGUSR1, on_signal, "c");
    struct loop_signal *other = loop_signal_new(loop, SIGUSR2, on_other_signal, NULL);
    kill(getpid(), SIGUSR2);
    assert_int_equal(loop_run(loop), 8);
    assert_string_equal(trace, "oac");
    loop_signal_free(other);
    loop_signal_free(signals[0]);
    loop_signal_free(NULL);
    kill(getpid(), SIGUSR2); /* blocked and unheard, not deadly */
    timer_after(5, stop_timer, "s");
    assert_int_equal(loop_run(loop), 7);
    assert_string_equal(trace, "oacs");
}

static struct loop_prepare *prepare;

static void prepare_once(void *context) {
    note(context);
    loop_prepare_free(prepare);
    timer_after(0, stop_timer, "s"); /* must cut the sleep that follows */
}

static void prepare_always(void *context) {
    note(context);
}

static void prepare_runs_before_each_sleep(void **state) {
    prepare = loop_prepare_new(loop, prepare_once, "1");
    loop_prepare_new(loop, prepare_always, "p");
    timer_after(20, note_timer, "t");
    assert_int_equal(loop_run(loop), 7);
    assert_string_equal(trace, "1ps");
    timer_after(300, stop_timer, "s");
    assert_int_equal(loop_run(loop), 7);
    assert_string_equal(trace, "1psptps");
    loop_prepare_free(NULL);
}

static void a_stop_before_the_run_is_honoured_once(void **state) {
    loop_stop(loop, 5);
    timer_after(0, stop_timer, "s");
    assert_int_equal(loop_run(loop), 5);
    assert_string_equal(trace, "");
    assert_int_equal(loop_run(loop), 7);
}

static void stop_now(void *context, uint32_t events) {
    note(context);
    loop_stop(loop, 6);
}

static void nothing_runs_after_the_stop(void **state) {
    int other = dup(pair[0]);

    assert_int_equal(write(pair[1], "x", 1), 1);
    loop_watch_new(loop, pair[0], LOOP_READ, stop_now, "w");
    watch = loop_watch_new(loop, other, LOOP_READ, stop_now, "w");
    timer_after(0, note_timer, "t");
    assert_int_equal(loop_run(loop), 6);
    assert_string_equal(trace, "w");
    loop_watch_free(watch);
    close(other);
}

static void a_broken_pipe_is_an_error_not_a_death(void **state) {
    struct sigaction action;
    assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_IGN);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(timers_run_in_the_order_of_their_deadlines),
        CASE(a_timer_stopped_or_set_again_obeys_the_last_word),
        CASE(a_heap_of_many_timers_stays_in_order),
        CASE(a_timer_that_arms_itself_for_now_starves_nobody),
        CASE(a_watch_reports_what_it_asks_for),
        CASE(a_hangup_reaches_a_reader_and_not_a_paused_watch),
        CASE(a_watch_freed_by_another_of_the_same_turn_stays_silent),
        CASE(an_old_event_does_not_reach_a_new_watch),
        CASE(a_timer_freed_by_another_stays_silent),
        CASE(signals_reach_their_handles),
        CASE(prepare_runs_before_each_sleep),
        CASE(a_stop_before_the_run_is_honoured_once),
        CASE(nothing_runs_after_the_stop),
        CASE(a_broken_pipe_is_an_error_not_a_death),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
