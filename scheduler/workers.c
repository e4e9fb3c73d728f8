/* SPDX-License-Identifier: MIT
 * A short list of peers; a node has tens at most. */
#include "scheduler/workers.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "proto/catalog.h"
#include "scheduler/finish.h"

#define PEERS_MAX 512
#define SILENCE_MS 15000 /* at most; half a lease if that is less */
#define FORGET_MS 600000
#define NAMED_WITHIN_MS 10000 /* after its hello a worker names each task it holds */

struct workers {
    struct scheduler *scheduler;
    struct peer *first;
    size_t count;
    struct loop_timer *check;
    int64_t checked_ms;
    int64_t silence_ms;
};

static void workers_count(const struct workers *workers) {
    uint64_t connected = 0;

    for (const struct peer *peer = workers->first; peer != NULL; peer = peer->next)
        connected += peer->role == PEER_WORKER && !peer->gone;
    counter_set(COUNT_WORKERS_CONNECTED, connected);
    counter_set(COUNT_WORKER_CREDIT, workers_credit(workers));
}

static bool is_same_id(const struct channel_peer *left, const struct channel_peer *right) {
    return left->size == right->size && memcmp(left->id, right->id, left->size) == 0;
}

static struct peer *workers_find(struct workers *workers, const struct channel_peer *id) {
    for (struct peer *peer = workers->first; peer != NULL; peer = peer->next)
        if (is_same_id(&peer->id, id))
            return peer;
    return NULL;
}

static void workers_unlink(struct workers *workers, struct peer *peer) {
    struct peer **link = &workers->first;

    while (*link != peer)
        link = &(*link)->next;
    *link = peer->next;
    workers->count--;
    free(peer);
    workers_count(workers);
}

/* Ends what a worker has. `confirmed_too`: all of it; else what it did not name since its last hello, which
 * never got there or whose result was lost, and is no attempt. */
static void workers_end_leases(struct workers *workers, const struct peer *peer, bool confirmed_too) {
    struct scheduler *scheduler = workers->scheduler;
    struct lease *next;

    for (struct lease *lease = leases_first(scheduler->leases); lease != NULL; lease = next) {
        next = lease->next;
        if (lease->worker != peer || lease->state != LEASE_SENT)
            continue;
        if (confirmed_too)
            finish_lost(scheduler, lease, "worker_lost");
        else if (!lease->confirmed)
            finish_released(scheduler, lease, "unknown to its worker");
    }
}

/* Its leases end; it may be heard again. */
static void workers_mute(struct workers *workers, struct peer *peer, const char *why) {
    log_info("worker=%s node=%s generation=%s state=gone reason=\"%s\"", peer->name, peer->node,
             peer->generation, why);
    peer->gone = true;
    if (peer->role == PEER_WORKER)
        workers_end_leases(workers, peer, true);
    workers_count(workers);
}

static void workers_lose(struct workers *workers, struct peer *peer, const char *why) {
    workers_mute(workers, peer, why);
    for (struct lease *lease = leases_first(workers->scheduler->leases); lease != NULL; lease = lease->next)
        if (lease->worker == peer)
            workers_assign(lease, NULL);
    workers_unlink(workers, peer);
}

/* ---- hello, credit, silence ---- */

void workers_greet(struct workers *workers, const struct channel_peer *id) {
    struct message welcome = {
        .type = MESSAGE_WELCOME,
        .welcome = {.version = PROTOCOL_VERSION, .scheduler = workers->scheduler->generation},
    };

    (void)channel_send(workers->scheduler->channel, id, &welcome);
}

static unsigned role_of(const char *name) {
    static const struct {
        const char *name;
        unsigned role;
    } roles[] = {{"worker", PEER_WORKER}, {"gateway", PEER_GATEWAY}, {"control", PEER_CONTROL}};

    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(roles[i].name, name) == 0)
            return roles[i].role;
    return 0;
}

/* The same program as before under another routing id or generation. */
static struct peer *workers_find_named(struct workers *workers, unsigned role,
                                       const struct message_hello *hello) {
    for (struct peer *peer = workers->first; peer != NULL; peer = peer->next)
        if (peer->role == role && strcmp(peer->node, hello->node) == 0 &&
            strcmp(peer->name, hello->name) == 0)
            return peer;
    return NULL;
}

static struct peer *workers_add(struct workers *workers, unsigned role, const struct message_hello *hello) {
    struct peer *peer;

    if (workers->count == PEERS_MAX)
        return NULL;
    peer = memory_new(sizeof *peer);
    peer->role = role;
    text_copy(peer->node, sizeof peer->node, hello->node);
    text_copy(peer->name, sizeof peer->name, hello->name);
    text_copy(peer->generation, sizeof peer->generation, hello->generation);
    peer->next = workers->first;
    workers->first = peer;
    workers->count++;
    log_info("worker=%s node=%s generation=%s role=%s pid=%llu slots=%llu sandbox=\"%s\" state=hello",
             hello->name, hello->node, hello->generation, hello->role, (unsigned long long)hello->pid,
             (unsigned long long)hello->slots, hello->sandbox);
    return peer;
}

void workers_on_hello(struct workers *workers, const struct channel_peer *id,
                      const struct message_hello *hello) {
    unsigned role = role_of(hello->role);
    struct peer *peer = workers_find_named(workers, role, hello);
    struct peer *other = workers_find(workers, id);

    if (role == 0 || hello->version != PROTOCOL_VERSION) {
        log_warn("worker=%s state=refused role=%s version=%llu", hello->name, hello->role,
                 (unsigned long long)hello->version);
        counter_add(COUNT_MESSAGES_REFUSED, 1);
        return;
    }
    if (other != NULL && other != peer)
        workers_lose(workers, other, "another took its place");
    if (peer != NULL && strcmp(peer->generation, hello->generation) != 0) {
        workers_lose(workers, peer, "new generation");
        peer = NULL;
    }
    if (peer == NULL)
        peer = workers_add(workers, role, hello);
    if (peer == NULL) {
        log_warn("worker=%s state=refused reason=\"too many peers\"", hello->name);
        return;
    }
    peer->id = *id;
    peer->heard_ms = clock_monotonic_ms();
    peer->credit = peer->room[CLASS_LIGHT] = peer->room[CLASS_NETWORK] = 0;
    peer->slots = hello->slots;
    text_copy(peer->engines, sizeof peer->engines, hello->engines);
    peer->hello_ms = peer->heard_ms;
    peer->gone = false;
    for (struct lease *lease = leases_first(workers->scheduler->leases); lease != NULL; lease = lease->next)
        if (lease->worker == peer)
            lease->confirmed = false;
    workers_greet(workers, id);
    workers_count(workers);
}

void workers_on_credit(struct workers *workers, struct peer *peer, const struct message_credit *credit) {
    peer->credit = credit->tasks;
    peer->room[CLASS_LIGHT] = credit->light;
    peer->room[CLASS_NETWORK] = credit->network;
    counter_set(COUNT_WORKER_CREDIT, workers_credit(workers));
}

struct peer *workers_hear(struct workers *workers, const struct channel_peer *id) {
    struct peer *peer = workers_find(workers, id);

    if (peer == NULL)
        return NULL;
    peer->heard_ms = clock_monotonic_ms();
    if (peer->gone)
        log_info("worker=%s node=%s state=back", peer->name, peer->node);
    peer->gone = false;
    return peer;
}

/* An adopted lease whose worker has not said hello, or never will. */
static void workers_check_unowned(struct workers *workers, int64_t now_ms) {
    struct lease *next;

    for (struct lease *lease = leases_first(workers->scheduler->leases); lease != NULL; lease = next) {
        next = lease->next;
        if (lease->state != LEASE_SENT || lease->worker != NULL)
            continue;
        if (lease->unowned_ms == 0)
            lease->unowned_ms = now_ms;
        else if (now_ms - lease->unowned_ms > workers->silence_ms)
            finish_lost(workers->scheduler, lease, "worker_lost");
    }
}

static void workers_check_peer(struct workers *workers, struct peer *peer, int64_t now_ms) {
    struct message ping = {.type = MESSAGE_PING, .ping = {.nonce = (uint64_t)now_ms}};
    int64_t silent_ms = now_ms - peer->heard_ms;

    if (peer->gone && silent_ms >= FORGET_MS)
        workers_unlink(workers, peer); /* holds no lease */
    else if (!peer->gone && silent_ms >= workers->silence_ms)
        workers_mute(workers, peer, "silent");
    else if (silent_ms >= workers->silence_ms / 3)
        (void)channel_send(workers->scheduler->channel, &peer->id, &ping);
    else if (peer->role == PEER_WORKER && now_ms - peer->hello_ms >= NAMED_WITHIN_MS)
        workers_end_leases(workers, peer, false);
}

static void workers_on_check(void *context) {
    struct workers *workers = context;
    int64_t now_ms = clock_monotonic_ms();
    bool overslept = now_ms - workers->checked_ms > workers->silence_ms / 5;
    struct peer *next;

    workers->checked_ms = now_ms;
    loop_timer_set(workers->check, workers->silence_ms / 15);
    for (struct peer *peer = workers->first; peer != NULL; peer = next) {
        next = peer->next;
        /* It was this process that stood still: what the others said meanwhile is still to be read. */
        if (overslept)
            peer->heard_ms = now_ms;
        workers_check_peer(workers, peer, now_ms);
    }
    workers_check_unowned(workers, now_ms);
}

/* ---- sending ---- */

uint64_t workers_credit(const struct workers *workers) {
    uint64_t credit = 0;

    for (const struct peer *peer = workers->first; peer != NULL; peer = peer->next)
        credit += peer->role == PEER_WORKER && !peer->gone ? peer->credit : 0;
    return credit;
}

uint64_t workers_slots(const struct workers *workers) {
    uint64_t slots = 0;

    for (const struct peer *peer = workers->first; peer != NULL; peer = peer->next)
        slots += peer->role == PEER_WORKER && !peer->gone ? peer->slots : 0;
    return slots;
}

static uint64_t room_left(const struct peer *peer, enum processor_class class) {
    return peer->room[class] > peer->held[class] ? peer->room[class] - peer->held[class] : 0;
}

uint64_t workers_room(const struct workers *workers, enum processor_class class, uint64_t *left) {
    uint64_t room = 0;

    *left = 0;
    for (const struct peer *peer = workers->first; peer != NULL; peer = peer->next) {
        if (peer->role != PEER_WORKER || peer->gone)
            continue;
        room += peer->room[class];
        *left += room_left(peer, class);
    }
    return room;
}

struct peer *workers_choose(struct workers *workers, enum processor_class class) {
    struct peer *best = NULL;
    uint64_t most = 0, room;
    bool by_credit = class == CLASS_RUNNER || workers_room(workers, class, &room) == 0;

    for (struct peer *peer = workers->first; peer != NULL; peer = peer->next) {
        if (peer->role != PEER_WORKER || peer->gone)
            continue;
        room = by_credit ? peer->credit : room_left(peer, class);
        if (room > most) {
            best = peer;
            most = room;
        }
    }
    return best;
}

void workers_charge(struct peer *worker, enum processor_class class) {
    if ((class == CLASS_RUNNER || worker->room[class] == 0) && worker->credit > 0)
        worker->credit--;
}

void workers_assign(struct lease *lease, struct peer *worker) {
    if (lease->worker != NULL)
        lease->worker->held[lease->class]--;
    if (worker != NULL)
        worker->held[lease->class]++;
    lease->worker = worker;
}

struct peer *workers_any(struct workers *workers) {
    struct peer *best = NULL;

    for (struct peer *peer = workers->first; peer != NULL; peer = peer->next)
        if (peer->role == PEER_WORKER && !peer->gone && (best == NULL || peer->credit > best->credit))
            best = peer;
    return best;
}

struct peer *workers_next(const struct workers *workers, const struct peer *after) {
    struct peer *peer = after == NULL ? workers->first : after->next;

    while (peer != NULL && (peer->role != PEER_WORKER || peer->gone))
        peer = peer->next;
    return peer;
}

int workers_send(struct workers *workers, struct peer *peer, const struct message *message) {
    if (channel_send(workers->scheduler->channel, &peer->id, message) == 0)
        return 0;
    workers_lose(workers, peer, "unreachable");
    return -1;
}

void workers_send_gateways(struct workers *workers, const struct message *message) {
    struct peer *next;

    for (struct peer *peer = workers->first; peer != NULL; peer = next) {
        next = peer->next;
        if (peer->role == PEER_GATEWAY && !peer->gone)
            (void)workers_send(workers, peer, message);
    }
}

void workers_send_events(struct workers *workers, const struct database_result *result) {
    for (size_t row = 0; row < result_rows(result); row++) {
        struct message event = {.type = MESSAGE_EVENT,
                                .event = {.file = result_text(result, row, "file"),
                                          .tenant = result_text(result, row, "tenant"),
                                          .event = (uint64_t)result_number(result, row, "event")}};
        workers_send_gateways(workers, &event);
    }
}

void workers_send_all(struct workers *workers, const struct message *message) {
    struct peer *next;

    for (struct peer *peer = workers->first; peer != NULL; peer = next) {
        next = peer->next;
        if (peer->role == PEER_WORKER)
            (void)workers_send(workers, peer, message);
    }
}

void workers_cancel(struct workers *workers, const struct channel_peer *id, const char *job, uint64_t epoch) {
    struct message cancel = {.type = MESSAGE_CANCEL, .cancel = {.job = job, .epoch = epoch}};

    (void)channel_send(workers->scheduler->channel, id, &cancel);
}

void workers_forget_lease(struct workers *workers, struct lease *lease) {
    if (lease->worker != NULL)
        workers_cancel(workers, &lease->worker->id, lease->job, lease->epoch);
    workers_assign(lease, NULL);
}

struct workers *workers_new(struct scheduler *scheduler) {
    struct workers *workers = memory_new(sizeof *workers);

    workers->scheduler = scheduler;
    workers->check = loop_timer_new(scheduler->loop, workers_on_check, workers);
    workers->silence_ms =
        scheduler->settings->lease_ms / 2 < SILENCE_MS ? scheduler->settings->lease_ms / 2 : SILENCE_MS;
    workers->checked_ms = clock_monotonic_ms();
    loop_timer_set(workers->check, workers->silence_ms / 15);
    return workers;
}

void workers_free(struct workers *workers) {
    if (workers == NULL)
        return;
    while (workers->first != NULL)
        workers_unlink(workers, workers->first);
    loop_timer_free(workers->check);
    free(workers);
}

void workers_maker(const struct workers *workers, const struct peer *peer, const char *type, char *target) {
    const struct catalog_row *row = catalog_find(type);
    size_t length = strlen(type);

    target[0] = '\0';
    for (const struct peer *other = workers->first; peer == NULL && other != NULL; other = other->next)
        if (other->role == PEER_WORKER && !other->gone && other->engines[0] != '\0')
            peer = other;
    if (peer == NULL)
        return;
    for (const char *at = peer->engines; *at != '\0'; at += strcspn(at, ";") + (strchr(at, ';') != NULL)) {
        if (strncmp(at, type, length) != 0 || at[length] != '=')
            continue;
        at += length + 1;
        (void)text_format(target, MESSAGE_ENGINES_SIZE, "%u %.*s", row == NULL ? 1u : row->version,
                          (int)strcspn(at, ";"), at);
        return;
    }
}
