/* SPDX-License-Identifier: MIT
 * filemill-scheduler: wiring. Owns the queue of one node; the only writer of running jobs besides the
 * gateway's cancel. Never opens a connection to anything but Postgres and its own socket. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/process.h"
#include "lib/text.h"
#include "scheduler/adopt.h"
#include "scheduler/children.h"
#include "scheduler/claim.h"
#include "scheduler/dispatch.h"
#include "scheduler/drain.h"
#include "scheduler/garbage.h"
#include "scheduler/lease.h"
#include "scheduler/maintenance.h"
#include "scheduler/notify.h"
#include "scheduler/outbox.h"
#include "scheduler/pause.h"
#include "scheduler/progress.h"
#include "scheduler/publish.h"
#include "scheduler/results.h"
#include "scheduler/tick.h"
#include "scheduler/workers.h"
#include "storage/keyring.h"

#define STATEMENT_TIMEOUT_MS 10000
#define WAITING_MAX 10000
#define CONNECTIONS_MAX 4
#define LINGER_MS 200
#define LOG_EVERY_MS 1000

void scheduler_run(struct scheduler *scheduler, const struct query *queries, size_t count,
                   database_done_fn *done, void *context) {
    database_run(scheduler->database, statement_locals, queries, count, done, context);
}

void scheduler_log_answer(const char *what, const struct database_answer *answer) {
    static const char *const outcomes[] = {[DATABASE_OK] = "ok",
                                           [DATABASE_UNAVAILABLE] = "unavailable",
                                           [DATABASE_LOST] = "lost",
                                           [DATABASE_REFUSED] = "refused"};

    static int64_t said_ms = INT64_MIN;
    int64_t now_ms = clock_monotonic_ms();

    if (answer->outcome == DATABASE_UNAVAILABLE ||
        (said_ms != INT64_MIN && now_ms - said_ms < LOG_EVERY_MS)) {
        log_debug("statement=%s state=%s", what, outcomes[answer->outcome]); /* the pool has said so once */
        return;
    }
    said_ms = now_ms;
    log_warn("statement=%s state=%s sqlstate=%s error=\"%s\"", what, outcomes[answer->outcome],
             answer->sqlstate, answer->message);
}

static void on_message(void *context, const struct channel_peer *peer, const struct message *message) {
    dispatch_message(context, peer, message);
}

static void on_bad(void *context, const struct channel_peer *peer, const char *error) {
    log_warn("state=bad_message error=\"%s\"", error);
}

static void on_signal(void *context, int signal_number) {
    drain_begin(((struct scheduler *)context)->drain);
}

static void name_scheduler(struct scheduler *scheduler, const struct settings *settings) {
    char node[65];

    if (settings->node != NULL)
        text_copy(node, sizeof node, settings->node);
    else if (gethostname(node, sizeof node) != 0)
        fatal_errno("state=no_host_name");
    node[sizeof node - 1] = '\0';
    text_uuid4(scheduler->generation);
    text_format(scheduler->node_prefix, sizeof scheduler->node_prefix, "%s:", node);
    text_format(scheduler->owner, sizeof scheduler->owner, "%s:%s", node, scheduler->generation);
    text_format(scheduler->lease_text, sizeof scheduler->lease_text, "%lld", (long long)settings->lease_ms);
    scheduler->retry = (struct retry_limits){.max_attempts = settings->max_attempts,
                                             .unit_ms = settings->backoff_unit_ms,
                                             .cap = settings->backoff_cap,
                                             .jitter_percent = settings->backoff_jitter_percent,
                                             .crash_budget = settings->crash_budget};
}

static const char *database_url(const struct settings *settings) {
    const char *url =
        settings->scheduler_database_url != NULL ? settings->scheduler_database_url : settings->database_url;

    if (url == NULL) {
        log_error("state=refused error=\"database-url (FILEMILL_DATABASE_URL) is not set\"");
        exit(2);
    }
    return url;
}

/* The store, and the keys of what is encrypted there. */
static void open_storage(struct scheduler *scheduler, const struct settings *settings) {
    char error[256];

    scheduler->storage = storage_new(settings, error, sizeof error);
    if (scheduler->storage != NULL)
        scheduler->keyring = keyring_new(settings, error, sizeof error);
    if (scheduler->keyring == NULL) {
        log_error("state=refused error=\"%s\"", error);
        exit(2);
    }
}

static void start_modules(struct scheduler *scheduler, const char *url) {
    scheduler->leases = leases_new(scheduler);
    scheduler->workers = workers_new(scheduler);
    scheduler->results = results_new(scheduler);
    scheduler->children = children_new(scheduler);
    scheduler->adoption = adoption_new(scheduler);
    scheduler->claims = claims_new(scheduler);
    scheduler->progress = progress_new(scheduler);
    scheduler->garbage = garbage_new(scheduler);
    scheduler->maintenance = maintenance_new(scheduler);
    scheduler->outbox = outbox_new(scheduler);
    scheduler->notifier = notifier_new(scheduler, url);
    scheduler->tick = tick_new(scheduler);
    scheduler->drain = drain_new(scheduler);
    pause_serve(scheduler);
}

static void stop_modules(struct scheduler *scheduler) {
    pause_stop();
    database_free(scheduler->database); /* first: no answer may come to a module that is gone */
    notifier_free(scheduler->notifier);
    drain_free(scheduler->drain);
    tick_free(scheduler->tick);
    outbox_free(scheduler->outbox);
    maintenance_free(scheduler->maintenance);
    garbage_free(scheduler->garbage);
    progress_free(scheduler->progress);
    claims_free(scheduler->claims);
    adoption_free(scheduler->adoption);
    results_free(scheduler->results);
    children_free(scheduler->children);
    workers_free(scheduler->workers);
    leases_free(scheduler->leases);
}

int main(void) {
    struct settings settings;
    struct scheduler scheduler = {.settings = &settings};

    settings_load(&settings, "scheduler");
    const char *url = database_url(&settings);
    if (settings.channel_endpoint == NULL) {
        log_error("state=refused error=\"channel (FILEMILL_CHANNEL_ENDPOINT) is not set\"");
        return 2;
    }
    counters_attach();
    name_scheduler(&scheduler, &settings);
    open_storage(&scheduler, &settings);
    scheduler.published = publish_open(&settings);
    scheduler.loop = loop_new();
    scheduler.database = database_new(
        scheduler.loop,
        &(struct database_options){.url = url,
                                   .role = "filemill_scheduler",
                                   .application_name = "filemill-scheduler",
                                   .connections = (unsigned)(settings.database_pool < CONNECTIONS_MAX
                                                                 ? settings.database_pool
                                                                 : CONNECTIONS_MAX),
                                   .prepare = settings.database_prepare,
                                   .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
                                   .max_waiting = WAITING_MAX});
    start_modules(&scheduler, url);
    scheduler.channel =
        channel_listen(scheduler.loop, settings.channel_endpoint, on_message, on_bad, &scheduler);
    if (scheduler.channel == NULL)
        return 1;
    loop_signal_new(scheduler.loop, SIGTERM, on_signal, &scheduler);
    loop_signal_new(scheduler.loop, SIGINT, on_signal, &scheduler);
    log_info("owner=%s channel=%s state=ready", scheduler.owner, settings.channel_endpoint);
    counter_note(scheduler.owner);
    process_report_ready();
    int status = loop_run(scheduler.loop);
    stop_modules(&scheduler);
    channel_free(scheduler.channel, LINGER_MS);
    loop_free(scheduler.loop);
    keyring_free(scheduler.keyring);
    storage_free(scheduler.storage);
    storage_free(scheduler.published);
    settings_clear(&settings);
    return status;
}
