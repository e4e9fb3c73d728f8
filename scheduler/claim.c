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
#define STRETCH_MAX (1u << (CLAIM_SIZES - 1))

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
    uint64_t flying, heavy_flying; /* jobs asked for; how many of them may be other than light */
    uint64_t stretch; /* so many were light lately, one after the other: as many may be asked for at once */
    char light_types[512]; /* as an array for the statement */
    bool woken;            /* since the last claim was sent */
    bool lost;             /* a claim's answer was lost: rows may carry our name unknown to us */
    struct loop_timer *soon, *poll, *due;
    int64_t due_ms; /* monotonic */
};

struct flight {
    struct claims *claims;
    unsigned size, term;
    uint64_t heavy; /* at most so many that are not light */
};

/* What a claim may ask for. */
struct wish {
    uint64_t jobs, heavy;
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

/* Returns how many were not light. */
static size_t claims_take(struct claims *claims, const struct flight *flight,
                          const struct database_result *result) {
    struct scheduler *scheduler = claims->scheduler;
    size_t heavy = 0;

    for (size_t row = 0; row < result_rows(result); row++) {
        struct lease *lease = leases_add(scheduler->leases, result, row, LEASE_ENDING);
        heavy += !lease->light;
        if (flight->term == claims->watermark_term)
            claims_move_watermark(claims, result, row);
        counter_add(COUNT_JOBS_CLAIMED, 1);
        tasks_accept(scheduler, lease);
    }
    return heavy;
}

/* A claim may be larger than the credit only while what it brings needs none. One that was cut at a job that
 * does has locked those behind it for a moment, so that another may have passed over them: the next starts
 * from the beginning. */
static void claims_adapt(struct claims *claims, const struct flight *flight, size_t got, size_t heavy) {
    uint64_t asked = UINT64_C(1) << flight->size;

    if (heavy == 0 && got == asked) {
        claims->stretch = 2 * (claims->stretch > asked ? claims->stretch : asked);
        if (claims->stretch > STRETCH_MAX)
            claims->stretch = STRETCH_MAX;
        return;
    }
    if (flight->heavy < asked && got < asked && heavy == flight->heavy)
        claims_reset(claims);
    if (heavy > 0 || got == 0)
        claims->stretch = 0;
}

static void claims_on_answer(void *context, const struct database_answer *answer) {
    struct flight *flight = context;
    struct claims *claims = flight->claims;
    size_t asked = (size_t)1 << flight->size, got = 0, heavy;

    claims->flights--;
    claims->flying -= asked;
    claims->heavy_flying -= flight->heavy;
    if (answer->outcome == DATABASE_OK) {
        got = result_rows(answer->results[0]);
        heavy = claims_take(claims, flight, answer->results[0]);
        claims_adapt(claims, flight, got, heavy);
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

static void claims_send(struct claims *claims, const struct wish *wish) {
    struct scheduler *scheduler = claims->scheduler;
    struct flight *flight = memory_new(sizeof *flight);
    unsigned size = size_of(wish->jobs);
    struct query query = {.statement = statement_claim(size)};
    uint64_t asked = UINT64_C(1) << size;
    char heavy[24];

    *flight = (struct flight){.claims = claims, .size = size, .term = claims->watermark_term};
    flight->heavy = wish->heavy < asked ? wish->heavy : asked;
    text_format(heavy, sizeof heavy, "%llu", (unsigned long long)flight->heavy);
    for (size_t band = 0; band < CLAIM_BANDS; band++) {
        query.values[2 * band] = claims->watermarks[band].time;
        query.values[2 * band + 1] = claims->watermarks[band].id;
    }
    query.values[2 * CLAIM_BANDS] = scheduler->owner;
    query.values[2 * CLAIM_BANDS + 1] = scheduler->lease_text;
    query.values[2 * CLAIM_BANDS + 2] = heavy;
    query.values[2 * CLAIM_BANDS + 3] = claims->light_types;
    claims->flights++;
    claims->flying += asked;
    claims->heavy_flying += flight->heavy;
    claims->woken = false;
    claims->started_ms = clock_monotonic_ms();
    scheduler_run(scheduler, &query, 1, claims_on_answer, flight);
}

static uint64_t smallest(uint64_t left, uint64_t right) {
    return left < right ? left : right;
}

static uint64_t less(uint64_t from, uint64_t taken) {
    return from > taken ? from - taken : 0;
}

static struct wish claims_wish(const struct claims *claims) {
    const struct scheduler *scheduler = claims->scheduler;
    uint64_t batch = (uint64_t)scheduler->settings->batch;
    uint64_t left, room = workers_light(scheduler->workers, &left);
    uint64_t stretch = smallest(claims->stretch, batch);
    uint64_t light_ready = leases_ready_count(scheduler->leases, true);
    uint64_t taken = leases_ready_count(scheduler->leases, false) + (room > 0 ? 0 : light_ready);
    struct wish wish = {.heavy = less(workers_credit(scheduler->workers), taken + claims->heavy_flying)};

    wish.heavy = smallest(wish.heavy, batch);
    wish.jobs = wish.heavy;
    if (room == 0)
        return wish;
    left = less(left, light_ready + claims->flying);
    /* While light jobs come in long rows, a claim waits until it is worth its round trip. */
    if (left == 0 || left < smallest(stretch, room) / 2)
        return (struct wish){.jobs = 0};
    stretch = smallest(stretch, left);
    wish.jobs = wish.heavy > stretch ? wish.heavy : stretch;
    return wish;
}

static void claims_try(struct claims *claims) {
    struct scheduler *scheduler = claims->scheduler;
    struct wish wish = claims_wish(claims);

    claims_arm_poll(claims);
    if (scheduler->draining || wish.jobs == 0 || claims->flights >= FLIGHTS_MAX || claims->lost ||
        !adoption_allows_claims(scheduler->adoption) || results_backlog(scheduler->results) > BACKLOG_MAX)
        return;
    if (clock_monotonic_ms() - claims->reset_ms >= WATERMARK_LIFE_MS)
        claims_reset(claims);
    claims_send(claims, &wish);
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
    if (claims->flights == 0 && claims_wish(claims).jobs > 0)
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

static void claims_name_light(struct claims *claims) {
    struct buffer names;

    buffer_init(&names, sizeof claims->light_types - 2);
    for (size_t i = 0; i < processor_row_count; i++)
        if (processor_rows[i].profile == PROFILE_NONE &&
            buffer_append_format(&names, "%s%s", names.size == 0 ? "" : ",", processor_rows[i].name) != 0)
            fatal("event=too_many_light_types");
    text_format(claims->light_types, sizeof claims->light_types, "{%s}", names.size == 0 ? "" : names.data);
    buffer_clear(&names);
}

struct claims *claims_new(struct scheduler *scheduler) {
    struct claims *claims = memory_new(sizeof *claims);

    claims->scheduler = scheduler;
    claims->due_ms = NEVER_MS;
    claims->soon = loop_timer_new(scheduler->loop, claims_on_soon, claims);
    claims->poll = loop_timer_new(scheduler->loop, claims_on_poll, claims);
    claims->due = loop_timer_new(scheduler->loop, claims_on_due, claims);
    claims_name_light(claims);
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
