/* SPDX-License-Identifier: MIT
 * NOTIFY for a node without a scheduler; see waker.h. The first wake goes at once, what comes within 50 ms of
 * it together at their end. */
#include "gateway/waker.h"

#include "gateway/statements.h"
#include "lib/clock.h"
#include "lib/memory.h"
#include "sql/database.h"
#include <stdbool.h>
#include <stdlib.h>

#define EVERY_MS 50
#define MAX_WAITING 4

struct waker {
    struct database *database;
    struct loop_timer *timer;
    int64_t sent_ms;
    bool armed;
    bool sent;
};

/* Nothing is tried again: whoever was to be woken polls. */
static void sent(void *context, const struct database_answer *answer) {
}

static void send_now(void *context) {
    struct waker *waker = context;
    const struct query query = {.statement = &statements[STATEMENT_WAKE]};
    waker->armed = false;
    waker->sent = true;
    waker->sent_ms = clock_monotonic_ms();
    database_run(waker->database, NULL, &query, 1, sent, waker);
}

struct waker *waker_new(struct loop *loop, const char *database_url) {
    struct waker *waker = memory_new(sizeof *waker);
    waker->database = database_new(loop, &(struct database_options){
                                             .url = database_url,
                                             .application_name = "filemill-notify",
                                             .connections = 1,
                                             .max_waiting = MAX_WAITING,
                                         });
    waker->timer = loop_timer_new(loop, send_now, waker);
    return waker;
}

void waker_free(struct waker *waker) {
    if (waker == NULL) {
        return;
    }
    database_free(waker->database);
    loop_timer_free(waker->timer);
    free(waker);
}

void waker_wake(struct waker *waker) {
    int64_t since_ms = clock_monotonic_ms() - waker->sent_ms;
    if (waker->armed) {
        return;
    }
    waker->armed = true;
    loop_timer_set(waker->timer, !waker->sent || since_ms >= EVERY_MS ? 0 : EVERY_MS - since_ms);
}
