/* SPDX-License-Identifier: MIT
 * When to claim, how many, and what to do with the rows. */
#include "scheduler/claim.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "scheduler/adopt.h"
#include "scheduler/lease.h"
#include "scheduler/results.h"
#include "scheduler/tasks.h"
#include "scheduler/workers.h"

#define FLIGHTS_MAX 2
#define COALESCE_MS 2
#define WATERMARK_LIFE_MS 1000
#define BACKLOG_MAX 4096
#define AGAIN_DELAY_MS 200
#define NEVER_MS INT64_MAX

struct watermark {
    char time[48];
    char id[37];
};

struct claims {
    struct scheduler *scheduler;
    struct watermark watermarks[CLAIM_BANDS];
    unsigned watermark_term; /* raised at each reset: an answer from before it moves nothing */
    int64_t reset_ms, started_ms;
    unsigned flights;
    uint64_t flying; /* jobs asked for */
    bool woken;      /* since the last claim was sent */
    bool lost;       /* a claim's answer was lost: rows may carry our name unknown to us */
    struct loop_timer *soon, *poll, *due;
    int64_t due_ms; /* monotonic */
};

struct flight {
    struct claims *claims;
    unsigned size, term;
};

static void claims_try(struct claims *claims);

static void claims_reset(struct claims *claims) {
    for (size_t band = 0; band < CLAIM_BANDS; band++) {
        text_copy(claims->watermarks[band].time, sizeof claims->watermarks[band].time, "-infinity");
        text_copy(claims->watermarks[band].id, sizeof claims->watermarks[band].id,
                  "00000000-0000-0000-0000-000000000000");
    }
    claims->watermark_term++;
    claims->reset_ms = clock_monotonic_ms();
}

static void claims_arm_poll(struct claims *claims) {
    int64_t poll_ms = claims->scheduler->settings->poll_ms;
    uint16_t random;

    text_random(&random, sizeof random);
    loop_timer_set(claims->poll, poll_ms - poll_ms / 10 + poll_ms / 5 * random / 65536);
}

/* ---- the answer ---- */

/* Rows come in claim order, so the last of a band is its furthest. A transaction that began earlier may still
 * commit a row with a slightly older time: near the present the watermark stays a quarter second behind. */
static void claims_move_watermark(struct claims *claims, const struct database_result *result, size_t row) {
    int64_t band = result_number(result, row, "priority");
    bool live = result_bool(result, row, "live");
    struct watermark *watermark = &claims->watermarks[band >= 0 && band < CLAIM_BANDS ? band : 0];

    text_copy(watermark->time, sizeof watermark->time,
              result_text(result, row, live ? "live_time" : "band_time"));
    text_copy(watermark->id, sizeof watermark->id,
              live ? "ffffffff-ffff-ffff-ffff-ffffffffffff" : result_text(result, row, "job"));
}

static void claims_take(struct claims *claims, const struct flight *flight,
                        const struct database_result *result) {
    struct scheduler *scheduler = claims->scheduler;

    for (size_t row = 0; row < result_rows(result); row++) {
        struct lease *lease = leases_add(scheduler->leases, result, row, LEASE_ENDING);
        if (flight->term == claims->watermark_term)
            claims_move_watermark(claims, result, row);
        counter_add(COUNT_JOBS_CLAIMED, 1);
        tasks_accept(scheduler, lease);
    }
}

static void claims_on_answer(void *context, const struct database_answer *answer) {
    struct flight *flight = context;
    struct claims *claims = flight->claims;
    size_t asked = (size_t)1 << flight->size, got = 0;

    claims->flights--;
    claims->flying -= asked;
    if (answer->outcome == DATABASE_OK) {
        got = result_rows(answer->results[0]);
        claims_take(claims, flight, answer->results[0]);
        tasks_dispatch(claims->scheduler);
    } else {
        scheduler_log_answer("claim", answer);
        claims->lost |= answer->outcome == DATABASE_LOST;
    }
    free(flight);
    if (answer->outcome != DATABASE_OK)
        loop_timer_set(claims->poll, AGAIN_DELAY_MS);
    else if (got == asked || claims->woken)
        claims_try(claims);
    if (claims->lost && claims->flights == 0) {
        claims->lost = false;
        adoption_find_own(claims->scheduler->adoption);
    }
}

/* ---- asking ---- */

static unsigned size_of(uint64_t jobs) {
    unsigned size = 0;

    while (size + 1 < CLAIM_SIZES && (UINT64_C(2) << size) <= jobs)
        size++;
    return size;
}

static void claims_send(struct claims *claims, unsigned size) {
    struct scheduler *scheduler = claims->scheduler;
    struct flight *flight = memory_new(sizeof *flight);
    struct query query = {.statement = statement_claim(size)};

    *flight = (struct flight){.claims = claims, .size = size, .term = claims->watermark_term};
    for (size_t band = 0; band < CLAIM_BANDS; band++) {
        query.values[2 * band] = claims->watermarks[band].time;
        query.values[2 * band + 1] = claims->watermarks[band].id;
    }
    query.values[2 * CLAIM_BANDS] = scheduler->owner;
    query.values[2 * CLAIM_BANDS + 1] = scheduler->lease_text;
    claims->flights++;
    claims->flying += UINT64_C(1) << size;
    claims->woken = false;
    claims->started_ms = clock_monotonic_ms();
    scheduler_run(scheduler, &query, 1, claims_on_answer, flight);
}

static uint64_t claims_wanted(const struct claims *claims) {
    const struct scheduler *scheduler = claims->scheduler;
    uint64_t room = workers_credit(scheduler->workers);
    uint64_t taken = leases_ready_count(scheduler->leases) + claims->flying;
    uint64_t wanted = room > taken ? room - taken : 0;
    uint64_t batch = (uint64_t)scheduler->settings->batch;

    return wanted < batch ? wanted : batch;
}

static void claims_try(struct claims *claims) {
    struct scheduler *scheduler = claims->scheduler;
    uint64_t wanted = claims_wanted(claims);

    claims_arm_poll(claims);
    if (scheduler->draining || wanted == 0 || claims->flights >= FLIGHTS_MAX || claims->lost ||
        !adoption_allows_claims(scheduler->adoption) || results_backlog(scheduler->results) > BACKLOG_MAX)
        return;
    if (clock_monotonic_ms() - claims->reset_ms >= WATERMARK_LIFE_MS)
        claims_reset(claims);
    claims_send(claims, size_of(wanted));
}

static void claims_on_soon(void *context) {
    claims_try(context);
}

static void claims_on_poll(void *context) {
    struct claims *claims = context;

    claims_reset(claims);
    claims_try(claims);
}

static void claims_on_due(void *context) {
    struct claims *claims = context;

    claims->due_ms = NEVER_MS;
    claims_reset(claims);
    claims->woken = true;
    claims_try(claims);
}

void claims_wake(struct claims *claims) {
    int64_t since_ms = clock_monotonic_ms() - claims->started_ms;

    claims->woken = true;
    /* While one is under way its answer starts the next. */
    if (claims->flights == 0 && claims_wanted(claims) > 0)
        loop_timer_set(claims->soon, since_ms >= COALESCE_MS ? 0 : COALESCE_MS - since_ms);
}

void claims_due_in(struct claims *claims, int64_t delay_ms) {
    int64_t due_ms = clock_monotonic_ms() + delay_ms;

    if (delay_ms <= 0) {
        claims_reset(claims);
        claims_wake(claims);
        return;
    }
    if (due_ms >= claims->due_ms)
        return;
    claims->due_ms = due_ms;
    loop_timer_set(claims->due, delay_ms + 1);
}

bool claims_are_settled(const struct claims *claims) {
    return claims->flights == 0 && !claims->lost;
}

struct claims *claims_new(struct scheduler *scheduler) {
    struct claims *claims = memory_new(sizeof *claims);

    claims->scheduler = scheduler;
    claims->due_ms = NEVER_MS;
    claims->soon = loop_timer_new(scheduler->loop, claims_on_soon, claims);
    claims->poll = loop_timer_new(scheduler->loop, claims_on_poll, claims);
    claims->due = loop_timer_new(scheduler->loop, claims_on_due, claims);
    claims_reset(claims);
    claims_arm_poll(claims);
    return claims;
}

void claims_free(struct claims *claims) {
    if (claims == NULL)
        return;
    loop_timer_free(claims->soon);
    loop_timer_free(claims->poll);
    loop_timer_free(claims->due);
    free(claims);
}
