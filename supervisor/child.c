/* SPDX-License-Identifier: MIT
 * States of a child and the one function that changes them. What a child says or does is never taken for
 * more than it is: readiness counts once, deaths are read from the kernel. */
#include "supervisor/child.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/process.h"
#include "lib/text.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const child_state_names[CHILD_STATE_COUNT] = {
    [CHILD_STOPPED] = "stopped",   [CHILD_STARTING] = "starting", [CHILD_READY] = "ready",
    [CHILD_STOPPING] = "stopping", [CHILD_BACKOFF] = "backoff",   [CHILD_FAILED] = "failed",
    [CHILD_DONE] = "done",
};

#define LISTEN_BACKLOG 1024
#define TO(state) (1u << (state))

/* Where each state may lead. */
static const unsigned legal_moves[CHILD_STATE_COUNT] = {
    [CHILD_STOPPED] = TO(CHILD_STARTING),
    [CHILD_STARTING] =
        TO(CHILD_READY) | TO(CHILD_STOPPING) | TO(CHILD_BACKOFF) | TO(CHILD_FAILED) | TO(CHILD_DONE),
    [CHILD_READY] = TO(CHILD_STARTING) | TO(CHILD_STOPPING) | TO(CHILD_BACKOFF) | TO(CHILD_FAILED),
    [CHILD_STOPPING] = TO(CHILD_STOPPED),
    [CHILD_BACKOFF] = TO(CHILD_STARTING) | TO(CHILD_STOPPED),
    [CHILD_FAILED] = TO(CHILD_STARTING) | TO(CHILD_STOPPED),
    [CHILD_DONE] = TO(CHILD_STARTING) | TO(CHILD_STOPPED),
};

static void child_move(struct child *child, enum child_state to) {
    if ((legal_moves[child->state] & TO(to)) == 0)
        fatal("service=%s.%u event=illegal_move from=%s to=%s", child->service->name, child->index,
              child_state_names[child->state], child_state_names[to]);
    enum log_level level = to == CHILD_FAILED ? LOG_ERROR : to == CHILD_READY ? LOG_INFO : LOG_DEBUG;
    log_write(level, "service=%s.%u child=%d state=%s from=%s", child->service->name, child->index,
              child->run != NULL ? (int)child->run->pid : 0, child_state_names[to],
              child_state_names[child->state]);
    child->state = to;
    child->host->changed(child->host->context, child);
}

/* After a death, or a start that failed, in a state that wanted it alive. */
static void judge_death(struct child *child, int64_t ready_ms) {
    uint32_t random;

    text_random(&random, sizeof random);
    struct restart_decision decision =
        restart_after_death(&child->restart, clock_monotonic_ms(), ready_ms, random);
    child->restarts++;
    if (decision.give_up && child->service->ending == ENDING_RESTARTS) {
        if (child->listen_fd >= 0) /* refuse, so that others that share the port are asked instead */
            (void)shutdown(child->listen_fd, SHUT_RD);
        /* What made it fail may pass (a full disk, a database that was moved) with nobody there to reload. */
        loop_timer_set(child->timer, RESTART_FAILED_MS);
        child_move(child, CHILD_FAILED);
        return;
    }
    loop_timer_set(child->timer, decision.delay_ms);
    child_move(child, CHILD_BACKOFF);
}

static void start_run(struct child *child) {
    if (child->listen_fd >= 0 && listen(child->listen_fd, LISTEN_BACKLOG) != 0)
        log_warn_errno("service=%s.%u event=not_listening", child->service->name, child->index);
    child->run = run_start(&child->host->launch, child->service, child->index, child->listen_fd,
                           child->host->generation, child);
    child->generation = child->host->generation;
    child_move(child, CHILD_STARTING);
    if (child->run == NULL && child->state == CHILD_STARTING) {
        (void)text_copy(child->last_end, sizeof child->last_end, "not started");
        judge_death(child, -1);
    }
}

static void on_backoff_over(void *context) {
    start_run(context);
}

/* Keeps what a dead run has counted. */
static void keep_totals(struct child *child, const struct run *run) {
    for (enum counter i = 0; run->counters != NULL && i < COUNT_LAST; i++) {
        if (counter_rows[i].kind == COUNTER_TOTAL)
            child->totals[i] += counters_read(run->counters, i);
    }
}

static void stop_complete(struct child *child) {
    bool again = child->starts_again;

    child->starts_again = false;
    child_move(child, CHILD_STOPPED);
    if (again && child->state == CHILD_STOPPED)
        start_run(child);
}

/* RENEW_OVERLAP: the successor serves, so the one before may finish what it has and go. */
static void hand_over(struct child *child) {
    child->retiring = child->run;
    child->run = child->successor;
    child->successor = NULL;
    log_info("service=%s.%u child=%d event=renewed generation=%u", child->service->name, child->index,
             (int)child->run->pid, child->run->generation);
    run_stop(child->retiring, SIGUSR2,
             child->host->launch.configuration->settings.drain_ms + CHILD_RELEASE_MS);
    child->host->changed(child->host->context, child);
}

static void on_ready(void *context, struct run *run) {
    struct child *child = context;

    if (run == child->successor && child->state == CHILD_READY) {
        hand_over(child);
    } else if (run == child->run && child->state == CHILD_STARTING) {
        child_move(child, CHILD_READY);
    }
}

static void log_death(const struct child *child, const struct run *run, bool expected) {
    log_write(expected ? LOG_DEBUG : LOG_WARN,
              "service=%s.%u child=%d event=ended end=\"%s\" ready=%s restarts=%u", child->service->name,
              child->index, (int)run->pid, child->last_end, run->is_ready ? "yes" : "no", child->restarts);
}

/* The process died before its successor was ready: that one is now the only one. */
static void promote_successor(struct child *child) {
    child->run = child->successor;
    child->successor = NULL;
    child_move(child, CHILD_STARTING);
    if (child->run->is_ready)
        child_move(child, CHILD_READY);
}

static void on_death(void *context, struct run *run, int status) {
    struct child *child = context;
    int64_t ready_ms = run->is_ready ? clock_monotonic_ms() - run->ready_ms : -1;

    process_describe_status(child->last_end, sizeof child->last_end, status);
    keep_totals(child, run);
    if (run == child->retiring) {
        child->retiring = NULL;
        log_death(child, run, status == 0);
        child->host->changed(child->host->context, child);
        return;
    }
    if (run == child->successor) {
        child->successor = NULL;
        child->renewal_failed = true;
        log_death(child, run, child->state == CHILD_STOPPING);
        child->host->changed(child->host->context, child);
        return;
    }
    child->run = NULL;
    bool reached_goal = child->service->ending == ENDING_IS_GOAL && status == 0;
    log_death(child, run, child->state == CHILD_STOPPING || status == 0);
    if (child->state == CHILD_STOPPING)
        stop_complete(child);
    else if (reached_goal)
        child_move(child, CHILD_DONE);
    else if (child->successor != NULL)
        promote_successor(child);
    else if (status == 0 && run->is_ready && run->generation != child->host->generation)
        start_run(child); /* a worker that an old scheduler's drain has sent home */
    else
        judge_death(child, ready_ms);
}

void child_host_init(struct child_host *host) {
    host->launch.on_ready = on_ready;
    host->launch.on_death = on_death;
}

struct child *child_new(struct child_host *host, const struct service *service, unsigned index) {
    struct child *child = memory_new(sizeof *child);

    child->host = host;
    child->service = service;
    child->index = index;
    child->listen_fd = -1;
    child->timer = loop_timer_new(host->loop, on_backoff_over, child);
    return child;
}

void child_free(struct child *child) {
    if (child == NULL)
        return;
    loop_timer_free(child->timer);
    if (child->listen_fd >= 0)
        close(child->listen_fd);
    free(child);
}

void child_start(struct child *child) {
    loop_timer_stop(child->timer);
    restart_clear(&child->restart);
    start_run(child);
}

void child_stop(struct child *child, int64_t grace_ms) {
    loop_timer_stop(child->timer);
    child->starts_again = false;
    if (child->successor != NULL)
        run_stop(child->successor, SIGKILL, grace_ms);
    if (child->retiring != NULL)
        run_stop(child->retiring, child->service->stop_signal, grace_ms);
    if (child->state == CHILD_STARTING || child->state == CHILD_READY) {
        run_stop(child->run, child->service->stop_signal, grace_ms);
        child_move(child, CHILD_STOPPING);
    } else if (child->state != CHILD_STOPPING && child->state != CHILD_STOPPED) {
        child_move(child, CHILD_STOPPED);
    }
}

void child_press(struct child *child, int64_t grace_ms) {
    if (child->run != NULL)
        run_stop(child->run, child->service->stop_signal, grace_ms);
    if (child->retiring != NULL)
        run_stop(child->retiring, child->service->stop_signal, grace_ms);
}

void child_kill(struct child *child) {
    int signal_number = child->service->force_signal != 0 ? child->service->force_signal : SIGKILL;

    if (child->run != NULL)
        run_stop(child->run, signal_number, signal_number == SIGKILL ? -1 : 2000);
    if (child->successor != NULL)
        run_stop(child->successor, SIGKILL, -1);
    if (child->retiring != NULL)
        run_stop(child->retiring, SIGKILL, -1);
}

void child_renew(struct child *child, int64_t grace_ms) {
    if (child->state == CHILD_BACKOFF || child->state == CHILD_FAILED || child->state == CHILD_STOPPED) {
        child_start(child);
    } else if (child->state == CHILD_READY && child->service->renewal == RENEW_OVERLAP) {
        if (child->successor != NULL || child->retiring != NULL)
            return;
        child->successor = run_start(&child->host->launch, child->service, child->index, child->listen_fd,
                                     child->host->generation, child);
        child->renewal_failed = child->successor == NULL;
        child->host->changed(child->host->context, child);
    } else if (child->state == CHILD_READY) {
        child_stop(child, grace_ms);
        child->starts_again = true;
    }
}

bool child_is_gone(const struct child *child) {
    return child->run == NULL && child->successor == NULL && child->retiring == NULL;
}

bool child_is_settled(const struct child *child) {
    return child->state == CHILD_READY || child->state == CHILD_DONE || child->state == CHILD_FAILED;
}

bool child_is_current(const struct child *child) {
    if (child->state == CHILD_READY)
        return child->service->renewal == RENEW_NEVER || child->run->generation == child->host->generation;
    return child->state == CHILD_DONE || child->generation == child->host->generation;
}

void child_keep(struct child *child) {
    child->generation = child->host->generation;
    if (child->run != NULL)
        child->run->generation = child->host->generation;
}

static uint64_t run_counter(const struct run *run, enum counter counter) {
    return run != NULL && run->counters != NULL ? counters_read(run->counters, counter) : 0;
}

uint64_t child_counter(const struct child *child, enum counter counter) {
    return child->totals[counter] + run_counter(child->run, counter) +
           run_counter(child->successor, counter) + run_counter(child->retiring, counter);
}

bool child_reap(struct child *child, pid_t pid) {
    struct run *const runs[] = {child->run, child->successor, child->retiring};

    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        if (runs[i] != NULL && runs[i]->pid == pid) {
            (void)run_reap(runs[i]);
            return true;
        }
    }
    return false;
}
