/* SPDX-License-Identifier: MIT
 * Extending comes before rescuing in the transaction: after Postgres was away for longer than a lease, our
 * own live leases must not be taken for dead ones. */
#include "scheduler/tick.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "scheduler/adopt.h"
#include "scheduler/children.h"
#include "scheduler/claim.h"
#include "scheduler/lanes.h"
#include "scheduler/lease.h"
#include "scheduler/workers.h"

#define TICK_MS 5000
#define AGAIN_MS 500
#define EXTEND_BATCH 1000
#define EXTENDS_MAX 16
#define ARRAY_MAX (EXTEND_BATCH * 64)

struct tick {
    struct scheduler *scheduler;
    struct loop_timer *timer;
    int64_t extended_ms, period_ms;
    /* of the transaction under way */
    size_t extends;
    char *jobs[EXTENDS_MAX], *epochs[EXTENDS_MAX]; /* what each statement asked for */
};

static void tick_forget(struct tick *tick) {
    for (size_t i = 0; i < tick->extends; i++) {
        free(tick->jobs[i]);
        free(tick->epochs[i]);
    }
    tick->extends = 0;
}

/* ---- the answer ---- */

static bool result_has(const struct database_result *result, size_t hint, const char *job) {
    size_t rows = result_rows(result);

    /* Both are in order of id, or nearly. */
    for (size_t i = 0; i < rows; i++)
        if (strncmp(result_text(result, (hint + i) % rows, "job"), job, 36) == 0)
            return true;
    return false;
}

/* Leases that the database no longer knows as ours. A job that was leased anew since it was asked is another. */
static void tick_drop_lost(struct tick *tick, const struct database_result *result, size_t statement) {
    struct scheduler *scheduler = tick->scheduler;
    const char *epochs = tick->epochs[statement];
    size_t at = 0;

    for (const char *job = tick->jobs[statement] + 1; job[0] != '\0' && job[-1] != '}'; job += 37, at++) {
        char name[37], *end;
        uint64_t epoch = strtoull(epochs + 1, &end, 10);
        struct lease *lease;
        epochs = end;
        if (result_has(result, at, job))
            continue;
        text_format(name, sizeof name, "%.36s", job);
        lease = leases_find_epoch(scheduler->leases, name, epoch);
        if (lease == NULL || lease->state == LEASE_ENDING)
            continue; /* its end will find out */
        log_info("job=%s lease=%llu state=lost trace=%s", lease->job, (unsigned long long)lease->epoch,
                 lease->trace);
        workers_forget_lease(scheduler->workers, lease);
        leases_remove(scheduler->leases, lease);
    }
}

static void tick_look(struct tick *tick, const struct database_result *look) {
    if (result_rows(look) == 0)
        return;
    counter_set(COUNT_QUEUE_READY, (uint64_t)result_number(look, 0, "ready"));
    counter_set(COUNT_QUEUE_DELAYED, (uint64_t)result_number(look, 0, "delayed"));
    counter_set(COUNT_QUEUE_OLDEST_SECONDS, (uint64_t)result_number(look, 0, "oldest_s"));
    lanes_note_rules(tick->scheduler->lanes, result_bool(look, 0, "rules"));
    if (result_bool(look, 0, "left_waiting"))
        children_wake_left(tick->scheduler->children);
    if (result_text(look, 0, "next_ms") != NULL && result_number(look, 0, "next_ms") > 0)
        claims_due_in(tick->scheduler->claims, result_number(look, 0, "next_ms"));
}

static void tick_on_answer(void *context, const struct database_answer *answer) {
    struct tick *tick = context;
    size_t rescued;

    loop_timer_set(tick->timer, answer->outcome == DATABASE_OK ? tick->period_ms : AGAIN_MS);
    if (answer->outcome != DATABASE_OK) {
        scheduler_log_answer("tick", answer);
        tick->extended_ms = INT64_MIN; /* extend at once when it is back */
        tick_forget(tick);
        return;
    }
    for (size_t i = 0; i < tick->extends; i++)
        tick_drop_lost(tick, answer->results[i], i);
    rescued =
        adoption_end_rescued(tick->scheduler->adoption, answer->results[tick->extends], "lease_expired");
    counter_add(COUNT_JOBS_REAPED, rescued);
    tick_look(tick, answer->results[tick->extends + 1]);
    tick_forget(tick);
}

/* ---- asking ---- */

static struct lease *tick_fill(struct lease *lease, struct buffer *jobs, struct buffer *epochs) {
    size_t count = 0;

    buffer_reset(jobs);
    buffer_reset(epochs);
    for (; lease != NULL && count < EXTEND_BATCH; lease = lease->next, count++) {
        (void)buffer_append_format(jobs, "%c%s", count == 0 ? '{' : ',', lease->job);
        (void)buffer_append_format(epochs, "%c%llu", count == 0 ? '{' : ',',
                                   (unsigned long long)lease->epoch);
    }
    (void)buffer_append_text(jobs, "}");
    (void)buffer_append_text(epochs, "}");
    return lease;
}

static void tick_on_timer(void *context) {
    struct tick *tick = context;
    struct scheduler *scheduler = tick->scheduler;
    int64_t now_ms = clock_monotonic_ms();
    char minutes[24];
    struct buffer job_array, epoch_array;
    struct query queries[EXTENDS_MAX + 2];
    struct lease *lease = leases_first(scheduler->leases);
    size_t count = 0;

    buffer_init(&job_array, ARRAY_MAX);
    buffer_init(&epoch_array, ARRAY_MAX);
    if (tick->extended_ms == INT64_MIN ||
        now_ms - tick->extended_ms >= scheduler->settings->lease_ms / 3 - 10) {
        tick->extended_ms = now_ms;
        while (lease != NULL && count < EXTENDS_MAX) {
            lease = tick_fill(lease, &job_array, &epoch_array);
            tick->jobs[count] = buffer_take(&job_array, NULL);
            tick->epochs[count] = buffer_take(&epoch_array, NULL);
            queries[count] =
                (struct query){.statement = &statements[STATEMENT_EXTEND],
                               .values = {tick->jobs[count], tick->epochs[count], scheduler->lease_text}};
            count++;
        }
    }
    tick->extends = count;
    text_format(minutes, sizeof minutes, "%lld", (long long)scheduler->settings->stale_lock_minutes);
    queries[count++] = (struct query){.statement = &statements[STATEMENT_RESCUE_EXPIRED],
                                      .values = {scheduler->owner, scheduler->lease_text, minutes}};
    queries[count++] = (struct query){.statement = &statements[STATEMENT_LOOK]};
    scheduler_run(scheduler, queries, count, tick_on_answer, tick);
}

struct tick *tick_new(struct scheduler *scheduler) {
    struct tick *tick = memory_new(sizeof *tick);
    int64_t third_ms = scheduler->settings->lease_ms / 3;

    tick->scheduler = scheduler;
    tick->period_ms = third_ms < TICK_MS ? third_ms : TICK_MS;
    tick->extended_ms = clock_monotonic_ms();
    tick->timer = loop_timer_new(scheduler->loop, tick_on_timer, tick);
    loop_timer_set(tick->timer, AGAIN_MS);
    return tick;
}

void tick_free(struct tick *tick) {
    if (tick == NULL)
        return;
    tick_forget(tick);
    loop_timer_free(tick->timer);
    free(tick);
}
