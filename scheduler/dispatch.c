/* SPDX-License-Identifier: MIT
 * The table of messages and their handlers. A handler gets a known peer, or NULL where the row allows unknown
 * ones: a worker may owe results to the scheduler that ran before this one. */
#include "scheduler/dispatch.h"

#include <string.h>

#include "lib/counters.h"
#include "lib/log.h"
#include "scheduler/adopt.h"
#include "scheduler/claim.h"
#include "scheduler/drain.h"
#include "scheduler/finish.h"
#include "scheduler/garbage.h"
#include "scheduler/lease.h"
#include "scheduler/notify.h"
#include "scheduler/outbox.h"
#include "scheduler/pause.h"
#include "scheduler/progress.h"
#include "scheduler/tasks.h"
#include "scheduler/workers.h"

struct delivery {
    struct scheduler *scheduler;
    const struct channel_peer *id;
    struct peer *peer; /* NULL: unknown */
    const struct message *message;
};

static void on_hello(const struct delivery *delivery) {
    workers_on_hello(delivery->scheduler->workers, delivery->id, &delivery->message->hello);
}

static void on_credit(const struct delivery *delivery) {
    workers_on_credit(delivery->scheduler->workers, delivery->peer, &delivery->message->credit);
    tasks_dispatch(delivery->scheduler);
    claims_wake(delivery->scheduler->claims);
}

/* The lease that a worker's message names, now known to be with that worker; NULL when it has to be adopted,
 * is being ended or is another worker's. */
static struct lease *lease_of(const struct delivery *delivery, const char *job, uint64_t epoch) {
    struct scheduler *scheduler = delivery->scheduler;
    struct lease *lease = leases_find_epoch(scheduler->leases, job, epoch);

    if (lease == NULL) {
        adoption_add(scheduler->adoption, delivery->id, delivery->message);
        return NULL;
    }
    if (lease->state != LEASE_SENT) {
        counter_add(COUNT_MESSAGES_REFUSED, 1);
        return NULL;
    }
    if (delivery->peer != NULL && lease->worker == NULL)
        workers_assign(lease, delivery->peer);
    lease->unowned_ms = 0;
    lease->confirmed = true;
    return lease;
}

static void on_progress(const struct delivery *delivery) {
    const struct message_progress *progress = &delivery->message->progress;
    struct lease *lease = lease_of(delivery, progress->job, progress->epoch);

    if (lease != NULL)
        progress_note(delivery->scheduler->progress, lease, progress->done, progress->total);
}

/* A light or network task's worker has room for another now, and will not say so. */
static void fill_again(const struct delivery *delivery, enum processor_class class) {
    if (class == CLASS_RUNNER)
        return;
    if (class == CLASS_NETWORK)
        claims_reach_back(delivery->scheduler->claims);
    tasks_dispatch(delivery->scheduler);
    claims_wake(delivery->scheduler->claims);
}

static void on_result(const struct delivery *delivery) {
    const struct message_result *result = &delivery->message->result;
    struct lease *lease = lease_of(delivery, result->job, result->epoch);
    enum processor_class class = lease == NULL ? CLASS_RUNNER : lease->class;

    if (lease == NULL)
        return;
    log_debug("job=%s lease=%llu state=%s error=%s trace=%s", lease->job, (unsigned long long)lease->epoch,
              result->outcome == OUTCOME_DONE ? "done" : "failed", result->error, lease->trace);
    finish_result(delivery->scheduler, lease, result);
    fill_again(delivery, class);
}

static void on_release(const struct delivery *delivery) {
    const struct message_release *release = &delivery->message->release;
    struct lease *lease = lease_of(delivery, release->job, release->epoch);
    enum processor_class class = lease == NULL ? CLASS_RUNNER : lease->class;

    if (lease == NULL)
        return;
    finish_released(delivery->scheduler, lease, release->reason);
    fill_again(delivery, class);
}

static void on_cancel(const struct delivery *delivery) {
    struct scheduler *scheduler = delivery->scheduler;
    struct lease *lease = leases_find(scheduler->leases, delivery->message->cancel.job);

    if (lease == NULL || lease->state == LEASE_ENDING)
        return;
    if (lease->state == LEASE_READY)
        leases_remove(scheduler->leases, lease); /* the gateway has moved the row already */
    else if (lease->worker != NULL)
        workers_cancel(scheduler->workers, &lease->worker->id, lease->job, lease->epoch);
}

static void on_poke(const struct delivery *delivery) {
    claims_wake(delivery->scheduler->claims);
    notifier_poke(delivery->scheduler->notifier);
    outbox_wake(delivery->scheduler->outbox);
}

static void on_deleted(const struct delivery *delivery) {
    garbage_on_deleted(delivery->scheduler->garbage, &delivery->message->deleted);
}

static void on_delivered(const struct delivery *delivery) {
    outbox_on_delivered(delivery->scheduler->outbox, &delivery->message->deliveries);
}

static void on_ping(const struct delivery *delivery) {
    struct message pong = {.type = MESSAGE_PONG, .ping = delivery->message->ping};

    (void)channel_send(delivery->scheduler->channel, delivery->id, &pong);
}

static void on_pong(const struct delivery *delivery) {
    /* it was heard */
}

static void on_pause(const struct delivery *delivery) {
    pause_type(delivery->scheduler, delivery->message->pause.type, delivery->message->pause.resume);
}

static const struct row {
    unsigned from;
    void (*handle)(const struct delivery *delivery);
} rows[MESSAGE_TYPE_COUNT] = {
    [MESSAGE_HELLO] = {PEER_ANY, on_hello},
    [MESSAGE_CREDIT] = {PEER_WORKER, on_credit},
    [MESSAGE_PROGRESS] = {PEER_WORKER | PEER_UNKNOWN, on_progress},
    [MESSAGE_RESULT] = {PEER_WORKER | PEER_UNKNOWN, on_result},
    [MESSAGE_RELEASE] = {PEER_WORKER | PEER_UNKNOWN, on_release},
    [MESSAGE_CANCEL] = {PEER_GATEWAY | PEER_UNKNOWN, on_cancel},
    [MESSAGE_POKE] = {PEER_GATEWAY | PEER_UNKNOWN, on_poke},
    [MESSAGE_DELETED] = {PEER_WORKER, on_deleted},
    [MESSAGE_DELIVERED] = {PEER_WORKER | PEER_UNKNOWN, on_delivered},
    [MESSAGE_PING] = {PEER_ANY, on_ping},
    [MESSAGE_PONG] = {PEER_ANY, on_pong},
    [MESSAGE_PAUSE] = {PEER_CONTROL, on_pause},
    /* WELCOME, TASK, DRAIN, EVENT, DELETE and DELIVER are the scheduler's own. */
};

void dispatch_message(struct scheduler *scheduler, const struct channel_peer *id,
                      const struct message *message) {
    struct delivery delivery = {
        .scheduler = scheduler, .id = id, .peer = workers_hear(scheduler->workers, id), .message = message};
    unsigned role = delivery.peer == NULL ? PEER_UNKNOWN : delivery.peer->role;

    if (delivery.peer == NULL && message->type != MESSAGE_HELLO)
        workers_greet(scheduler->workers, id);
    if (rows[message->type].handle == NULL || (rows[message->type].from & role) == 0) {
        counter_add(COUNT_MESSAGES_REFUSED, 1);
        log_debug("message=%s state=refused role=%u", message_type_name(message->type), role);
        return;
    }
    rows[message->type].handle(&delivery);
    drain_check(scheduler->drain);
}
