/* SPDX-License-Identifier: MIT
 * Who is connected: workers with their credit, gateways, and the control peer. A peer is known from its hello
 * on; one that has been silent for 15 s (for half a lease if that is less), or comes back with a new
 * generation, has died, and its leases end. */
#ifndef SCHEDULER_WORKERS_H
#define SCHEDULER_WORKERS_H

#include "scheduler/lease.h"
#include "scheduler/scheduler.h"

#define PEER_WORKER 1u
#define PEER_GATEWAY 2u
#define PEER_CONTROL 4u
#define PEER_UNKNOWN 8u /* no hello yet: a peer of the scheduler that ran before this one */
#define PEER_ANY 15u

struct peer {
    struct peer *next;
    struct channel_peer id;
    unsigned role;
    char node[65], name[65], generation[37];
    char engines[MESSAGE_ENGINES_SIZE]; /* as its hello says */
    int64_t heard_ms;
    uint64_t credit;
    uint64_t room[CLASS_COUNT], held[CLASS_COUNT]; /* tasks of a class (but CLASS_RUNNER, which has credit)
                                                      that it holds at a time at most; those it has */
    uint64_t slots;
    int64_t hello_ms;
    bool gone; /* silent: without leases and work until it is heard again */
};

/* What makes results of a type at this worker (NULL: at any that is there): "3 poppler/22.12.0", the processor's
 * version and its libraries; "" when unknown. `target` holds MESSAGE_ENGINES_SIZE. */
void workers_maker(const struct workers *workers, const struct peer *peer, const char *type, char *target);

struct workers *workers_new(struct scheduler *scheduler);
void workers_free(struct workers *workers);

/* NULL for one that has not said hello. Notes that it was heard. */
struct peer *workers_hear(struct workers *workers, const struct channel_peer *id);
void workers_on_hello(struct workers *workers, const struct channel_peer *id,
                      const struct message_hello *hello);
void workers_on_credit(struct workers *workers, struct peer *peer, const struct message_credit *credit);
/* Greets a peer that speaks before its hello, so that it says it. */
void workers_greet(struct workers *workers, const struct channel_peer *id);

/* Room for tasks over all workers. */
uint64_t workers_credit(const struct workers *workers);
/* Runners that the workers here have, busy or not. */
uint64_t workers_slots(const struct workers *workers);
/* Room for tasks of a class but CLASS_RUNNER over all workers, and in *left what of it is free. 0: no worker
 * has any; they then need credit as any others. */
uint64_t workers_room(const struct workers *workers, enum processor_class class, uint64_t *left);
/* The worker with the most room for a task of a class; NULL when there is none. */
struct peer *workers_choose(struct workers *workers, enum processor_class class);
/* A task was sent: takes it off the credit. */
void workers_charge(struct peer *worker, enum processor_class class);
/* The one place that says who has a lease; NULL: nobody. */
void workers_assign(struct lease *lease, struct peer *worker);
struct peer *workers_any(struct workers *workers);
/* The next live worker; of NULL the first. NULL: no more. */
struct peer *workers_next(const struct workers *workers, const struct peer *after);
/* -1: the peer is gone for good, and its leases have ended. */
int workers_send(struct workers *workers, struct peer *peer, const struct message *message);
void workers_send_gateways(struct workers *workers, const struct message *message);
/* An EVENT to them for each row: its columns file, tenant and event. */
void workers_send_events(struct workers *workers, const struct database_result *result);
void workers_send_all(struct workers *workers, const struct message *message);
/* Tells a lease's worker that it works in vain. */
void workers_forget_lease(struct workers *workers, struct lease *lease);
void workers_cancel(struct workers *workers, const struct channel_peer *id, const char *job, uint64_t epoch);

#endif
