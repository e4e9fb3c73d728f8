/* SPDX-License-Identifier: MIT
 * The gateway's end of the scheduler's socket; see scheduler_link.h and proto/PROTOCOL.md. */
#include "gateway/scheduler_link.h"

#include "gateway/waker.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "proto/channel.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PING_MS 1000
#define SILENCE_MS 5000

struct scheduler_link {
    struct channel *channel; /* NULL: no scheduler on this node; then there is a waker */
    struct waker *waker;
    struct loop_timer *timer;
    char node[64];
    char name[32];
    char generation[UUID_TEXT_SIZE];
    char scheduler[UUID_TEXT_SIZE]; /* whom hello was said to; "" before the first welcome */
    int64_t heard_ms;
    bool heard;
    uint64_t nonce;
    scheduler_link_event_fn *on_event;
    void *context;
};

static int send_message(struct scheduler_link *link, const struct message *message) {
    return link->channel != NULL ? channel_send(link->channel, NULL, message) : 0;
}

static void say_hello(struct scheduler_link *link) {
    const struct message message = {
        .type = MESSAGE_HELLO,
        .hello = {.version = PROTOCOL_VERSION,
                  .role = "gateway",
                  .node = link->node,
                  .name = link->name,
                  .generation = link->generation,
                  .pid = (uint64_t)getpid()},
    };
    (void)send_message(link, &message);
}

static void on_message(void *context, const struct channel_peer *peer, const struct message *message) {
    struct scheduler_link *link = context;
    link->heard_ms = clock_monotonic_ms();
    link->heard = true;
    switch (message->type) {
    case MESSAGE_WELCOME:
        if (strcmp(link->scheduler, message->welcome.scheduler) != 0) {
            (void)text_copy(link->scheduler, sizeof link->scheduler, message->welcome.scheduler);
            say_hello(link);
        }
        break;
    case MESSAGE_EVENT:
        link->on_event(link->context, message->event.file);
        break;
    case MESSAGE_PING:
        (void)send_message(link, &(struct message){.type = MESSAGE_PONG, .ping = message->ping});
        break;
    default:
        break;
    }
}

static void on_bad(void *context, const struct channel_peer *peer, const char *error) {
    log_warn("peer=scheduler message=refused error=\"%s\"", error);
}

static void tick(void *context) {
    struct scheduler_link *link = context;
    bool up = scheduler_link_is_up(link);
    if (!up && link->scheduler[0] != '\0') {
        link->scheduler[0] = '\0'; /* greet whoever answers next */
        log_warn("peer=scheduler state=silent");
    }
    if (!link->heard) {
        say_hello(link);
    }
    (void)send_message(link, &(struct message){.type = MESSAGE_PING, .ping = {.nonce = ++link->nonce}});
    loop_timer_set(link->timer, PING_MS);
}

struct scheduler_link *scheduler_link_new(struct loop *loop, const char *endpoint, const char *database_url,
                                          const char *node, scheduler_link_event_fn *on_event,
                                          void *context) {
    struct scheduler_link *link = memory_new(sizeof *link);
    char host[64] = "localhost";
    if (node == NULL) {
        (void)gethostname(host, sizeof host - 1);
    }
    (void)text_copy(link->node, sizeof link->node, node != NULL ? node : host);
    (void)text_format(link->name, sizeof link->name, "gateway-%d", (int)getpid());
    text_uuid4(link->generation);
    link->on_event = on_event;
    link->context = context;
    if (endpoint == NULL) {
        link->waker = waker_new(loop, database_url);
        return link;
    }
    link->channel = channel_connect(loop, endpoint, on_message, on_bad, link);
    if (link->channel == NULL) {
        fatal("the scheduler's channel can't be used");
    }
    link->timer = loop_timer_new(loop, tick, link);
    tick(link);
    return link;
}

void scheduler_link_free(struct scheduler_link *link) {
    if (link == NULL) {
        return;
    }
    if (link->channel != NULL) {
        loop_timer_free(link->timer);
        channel_free(link->channel, 100);
    }
    waker_free(link->waker);
    free(link);
}

bool scheduler_link_is_up(const struct scheduler_link *link) {
    return link->channel == NULL || (link->heard && clock_monotonic_ms() - link->heard_ms <= SILENCE_MS);
}

void scheduler_link_poke(struct scheduler_link *link, uint64_t jobs) {
    if (link->waker != NULL) {
        waker_wake(link->waker);
        return;
    }
    (void)send_message(link, &(struct message){.type = MESSAGE_POKE, .poke = {.jobs = jobs}});
}

void scheduler_link_cancel(struct scheduler_link *link, const char *job) {
    (void)send_message(link, &(struct message){.type = MESSAGE_CANCEL, .cancel = {.job = job, .epoch = 0}});
}
