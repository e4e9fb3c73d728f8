/* SPDX-License-Identifier: MIT
 * Three steps, each with its deadline. Exit status 0 when all was committed, 1 when the database did not take
 * the last of it: the leases then run out by themselves. */
#include "scheduler/drain.h"

#include <stdlib.h>

#include "lib/log.h"
#include "lib/memory.h"
#include "scheduler/claim.h"
#include "scheduler/finish.h"
#include "scheduler/garbage.h"
#include "scheduler/lease.h"
#include "scheduler/outbox.h"
#include "scheduler/results.h"
#include "scheduler/workers.h"

#define WORKERS_EARLIER_MS 1000 /* their deadline comes before ours */
#define LAST_COMMIT_MS 3000
#define CHECK_MS 50

enum drain_state { DRAIN_NOT, DRAIN_WORKERS, DRAIN_COMMITS };

struct drain {
    struct scheduler *scheduler;
    enum drain_state state;
    struct loop_timer *deadline, *check;
};

static void drain_return_ready(struct scheduler *scheduler) {
    struct lease *lease;

    for (enum processor_class class = 0; class < CLASS_COUNT; class++)
        while ((lease = leases_first_ready(scheduler->leases, class)) != NULL) {
            leases_pop_ready(scheduler->leases, class);
            finish_released(scheduler, lease, "drain");
        }
}

static void drain_return_all(struct scheduler *scheduler) {
    struct lease *next;

    drain_return_ready(scheduler);
    for (struct lease *lease = leases_first(scheduler->leases); lease != NULL; lease = next) {
        next = lease->next;
        if (lease->state != LEASE_SENT)
            continue;
        workers_forget_lease(scheduler->workers, lease);
        finish_released(scheduler, lease, "drain deadline");
    }
}

static void drain_on_deadline(void *context) {
    struct drain *drain = context;

    if (drain->state == DRAIN_WORKERS) {
        log_info("state=drain_deadline leases=%zu", leases_count(drain->scheduler->leases));
        drain->state = DRAIN_COMMITS;
        drain_return_all(drain->scheduler);
        loop_timer_set(drain->deadline, LAST_COMMIT_MS);
        drain_check(drain);
        return;
    }
    log_warn("state=drain_cut leases=%zu", leases_count(drain->scheduler->leases));
    loop_stop(drain->scheduler->loop, 1);
}

static void drain_on_check(void *context) {
    struct drain *drain = context;

    loop_timer_set(drain->check, CHECK_MS);
    drain_return_ready(drain->scheduler); /* a claim may still have been under way */
    drain_check(drain);
}

void drain_check(struct drain *drain) {
    const struct scheduler *scheduler = drain->scheduler;

    if (drain->state == DRAIN_NOT || leases_count(scheduler->leases) > 0 ||
        results_backlog(scheduler->results) > 0 || !claims_are_settled(scheduler->claims) ||
        !garbage_is_settled(scheduler->garbage) || !outbox_is_settled(scheduler->outbox))
        return;
    log_info("state=drained");
    loop_stop(scheduler->loop, 0);
}

void drain_begin(struct drain *drain) {
    int64_t drain_ms = drain->scheduler->settings->drain_ms;
    int64_t workers_ms = drain_ms > 2 * WORKERS_EARLIER_MS ? drain_ms - WORKERS_EARLIER_MS : drain_ms / 2;
    struct message message = {.type = MESSAGE_DRAIN, .drain = {.deadline_ms = (uint64_t)workers_ms}};

    if (drain->state != DRAIN_NOT) {
        drain_on_deadline(drain);
        return;
    }
    log_info("state=draining leases=%zu deadline_ms=%lld", leases_count(drain->scheduler->leases),
             (long long)drain_ms);
    drain->state = DRAIN_WORKERS;
    drain->scheduler->draining = true;
    drain_return_ready(drain->scheduler);
    workers_send_all(drain->scheduler->workers, &message);
    loop_timer_set(drain->deadline, drain_ms);
    loop_timer_set(drain->check, 0);
}

struct drain *drain_new(struct scheduler *scheduler) {
    struct drain *drain = memory_new(sizeof *drain);

    drain->scheduler = scheduler;
    drain->deadline = loop_timer_new(scheduler->loop, drain_on_deadline, drain);
    drain->check = loop_timer_new(scheduler->loop, drain_on_check, drain);
    return drain;
}

void drain_free(struct drain *drain) {
    if (drain == NULL)
        return;
    loop_timer_free(drain->deadline);
    loop_timer_free(drain->check);
    free(drain);
}
