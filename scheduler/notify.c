/* SPDX-License-Identifier: MIT
 * A lost notice costs at most one poll, so nothing is retried. */
#include "scheduler/notify.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/memory.h"
#include "scheduler/claim.h"
#include "scheduler/lanes.h"

#define EVERY_MS 50
#define CHANNEL "filemill_jobs"
#define RULES "rules" /* limits_set and its like say so */

struct notifier {
    struct scheduler *scheduler;
    struct database *database;
    struct database_listener *listener;
    struct loop_timer *timer;
    int64_t sent_ms;
    bool armed;
};

static void notifier_on_sent(void *context, const struct database_answer *answer) {
}

static void notifier_on_timer(void *context) {
    struct notifier *notifier = context;
    struct query query = {.statement = &statements[STATEMENT_NOTIFY], .values = {notifier->scheduler->owner}};

    notifier->armed = false;
    notifier->sent_ms = clock_monotonic_ms();
    database_run(notifier->database, NULL, &query, 1, notifier_on_sent, notifier);
}

void notifier_poke(struct notifier *notifier) {
    int64_t since_ms = clock_monotonic_ms() - notifier->sent_ms;

    if (notifier->armed)
        return;
    notifier->armed = true;
    loop_timer_set(notifier->timer, since_ms >= EVERY_MS ? 0 : EVERY_MS - since_ms);
}

static void notifier_on_notice(void *context, const char *payload) {
    struct notifier *notifier = context;

    if (strcmp(payload, RULES) == 0)
        lanes_suspect(notifier->scheduler->lanes);
    if (strcmp(payload, notifier->scheduler->owner) != 0)
        claims_wake(notifier->scheduler->claims);
}

struct notifier *notifier_new(struct scheduler *scheduler, const char *url) {
    struct notifier *notifier = memory_new(sizeof *notifier);
    const char *direct_url = scheduler->settings->database_direct_url;

    notifier->scheduler = scheduler;
    notifier->database = database_new(
        scheduler->loop,
        &(struct database_options){
            .url = url, .application_name = "filemill-notify", .connections = 1, .max_waiting = 4});
    notifier->listener = database_listen(scheduler->loop,
                                         &(struct database_listening){
                                             .url = direct_url != NULL ? direct_url : url,
                                             .is_direct = direct_url != NULL,
                                             .channel = CHANNEL,
                                         },
                                         notifier_on_notice, notifier);
    notifier->timer = loop_timer_new(scheduler->loop, notifier_on_timer, notifier);
    return notifier;
}

void notifier_free(struct notifier *notifier) {
    if (notifier == NULL)
        return;
    database_free(notifier->database);
    database_listener_free(notifier->listener);
    loop_timer_free(notifier->timer);
    free(notifier);
}
