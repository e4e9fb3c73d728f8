/* SPDX-License-Identifier: MIT
 * One row per chore. They run one after another, each in a transaction of its own, as a minute begins; a chore
 * that found a full piece of work goes round again soon. */
#include "scheduler/maintenance.h"

#include <stdlib.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "scheduler/outbox_statements.h"
#include "scheduler/workers.h"

#define FIRST_MS 2000
#define MINUTE_MS 60000
#define AFTER_MS 250 /* into the minute: the database's clock may be a little behind ours */
#define SOON_MS 1000
#define EVENT_DAYS 7
#define METRIC_DAYS 90
#define SCHEDULES_MOST 16
#define DISABLED_MINUTES 1 /* a webhook endpoint may be enabled again by then */

static int64_t upload_minutes(const struct settings *settings) {
    return settings->upload_expiry_minutes;
}

static int64_t deleted_days(const struct settings *settings) {
    return settings->deleted_retention_days;
}

/* 0 there is "for ever", and so says -1 here. */
static int64_t finished_days(const struct settings *settings) {
    return settings->finished_retention_days > 0 ? settings->finished_retention_days : -1;
}

static int64_t event_days(const struct settings *settings) {
    return EVENT_DAYS;
}

static int64_t no_age(const struct settings *settings) {
    return 0;
}

static int64_t most_schedules(const struct settings *settings) {
    return SCHEDULES_MOST;
}

static int64_t metric_days(const struct settings *settings) {
    return settings->credits ? METRIC_DAYS : -1;
}

static int64_t disabled_minutes(const struct settings *settings) {
    return DISABLED_MINUTES;
}

static int64_t webhook_days(const struct settings *settings) {
    return settings->webhook_log_days;
}

static const struct chore {
    const struct statement *statement;
    int64_t (*age)(const struct settings *settings);
    size_t full;      /* so many rows: there may be more */
    bool tells_files; /* its rows are files whose listeners must hear */
} chores[] = {
    {&statements[STATEMENT_SCHEDULES], most_schedules, 1000, false},
    {&statements[STATEMENT_OLD_PARTS], no_age, 1000, false},
    {&statements[STATEMENT_EXPIRED_UPLOADS], upload_minutes, 200, true},
    {&statements[STATEMENT_RETIRE_FILES], deleted_days, 200, false},
    {&statements[STATEMENT_PURGE_FILES], deleted_days, 200, false},
    {&statements[STATEMENT_OLD_JOBS], finished_days, 1000, false},
    {&statements[STATEMENT_OLD_EVENTS], event_days, 5000, false},
    {&statements[STATEMENT_OLD_METRICS], metric_days, 5000, false},
    {&outbox_statements[OUTBOX_DISABLED], disabled_minutes, 1000, false},
    {&outbox_statements[OUTBOX_OLD], webhook_days, 1000, false},
};
#define CHORES (sizeof chores / sizeof chores[0])

struct maintenance {
    struct scheduler *scheduler;
    struct loop_timer *timer;
    size_t at;
    bool more;
};

/* Rounds begin with the minute, as the times of schedules do. */
static int64_t to_next_minute_ms(void) {
    return MINUTE_MS - clock_wall_ms() % MINUTE_MS + AFTER_MS;
}

static void maintenance_go_on(struct maintenance *maintenance) {
    if (++maintenance->at < CHORES) {
        loop_timer_set(maintenance->timer, 0);
        return;
    }
    loop_timer_set(maintenance->timer, maintenance->more ? SOON_MS : to_next_minute_ms());
    maintenance->at = 0;
    maintenance->more = false;
}

static void maintenance_on_answer(void *context, const struct database_answer *answer) {
    struct maintenance *maintenance = context;
    const struct chore *chore = &chores[maintenance->at];
    const char *name = chore->statement->name;
    const struct database_result *result;

    if (answer->outcome != DATABASE_OK) {
        scheduler_log_answer(name, answer);
        maintenance_go_on(maintenance);
        return;
    }
    result = answer->results[0];
    if (result_affected(result) > 0)
        log_info("chore=%s rows=%zu", name, result_affected(result));
    if (result_affected(result) >= chore->full)
        maintenance->more = true;
    if (chore->tells_files)
        workers_send_events(maintenance->scheduler->workers, result);
    maintenance_go_on(maintenance);
}

static void maintenance_on_timer(void *context) {
    struct maintenance *maintenance = context;
    const struct chore *chore = &chores[maintenance->at];
    int64_t age = chore->age(maintenance->scheduler->settings);
    char text[24];
    struct query query = {.statement = chore->statement, .values = {text}};

    text_format(text, sizeof text, "%lld", (long long)age);
    if (age < 0 || maintenance->scheduler->draining)
        maintenance_go_on(maintenance);
    else
        scheduler_run(maintenance->scheduler, &query, 1, maintenance_on_answer, maintenance);
}

struct maintenance *maintenance_new(struct scheduler *scheduler) {
    struct maintenance *maintenance = memory_new(sizeof *maintenance);

    maintenance->scheduler = scheduler;
    maintenance->timer = loop_timer_new(scheduler->loop, maintenance_on_timer, maintenance);
    loop_timer_set(maintenance->timer, FIRST_MS);
    return maintenance;
}

void maintenance_free(struct maintenance *maintenance) {
    if (maintenance == NULL)
        return;
    loop_timer_free(maintenance->timer);
    free(maintenance);
}
