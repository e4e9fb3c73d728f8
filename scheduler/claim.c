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
#include "scheduler/lanes.h"
#include "scheduler/lease.h"
#include "scheduler/results.h"
#include "scheduler/tasks.h"
#include "scheduler/usage.h"
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
    uint64_t flying, heavy_flying; /* jobs asked for; how many of them may be of CLASS_RUNNER */
    uint64_t network_flying;       /* how many of CLASS_NETWORK */
    uint64_t stretch; /* so many were light lately, one after the other: as many may be asked for at once */
    char light_types[512], network_types[512],
        apart_types[1024]; /* arrays for the statement; both together */
    bool woken;            /* since the last claim was sent */
    bool lost;             /* a claim's answer was lost: rows may carry our name unknown to us */
    struct loop_timer *soon, *poll, *due;
    int64_t due_ms; /* monotonic */
};

struct flight {
    struct claims *claims;
    unsigned size, term;
    uint64_t heavy;   /* at most so many for runners */
    uint64_t network; /* at most so many that ask a service */
    bool apart;       /* those have room of their own: they are not among the heavy ones */
};

/* What a claim may ask for. */
struct wish {
    uint64_t jobs, heavy, network;
    bool apart;
};

/* How many jobs of each class an answer brought, as its claim counted them. */
struct catch {
    size_t of[CLASS_COUNT];
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

static struct catch claims_take(struct claims *claims, const struct flight *flight,
                                const struct database_result *result) {
    struct scheduler *scheduler = claims->scheduler;
    struct catch catch = {{0}};

    for (size_t row = 0; row < result_rows(result); row++) {
        struct lease *lease = leases_add(scheduler->leases, result, row, LEASE_ENDING);
        catch.of[lease->class == CLASS_NETWORK && !flight->apart ? CLASS_RUNNER : lease->class]++;
        if (flight->term == claims->watermark_term)
            claims_move_watermark(claims, result, row);
        counter_add(COUNT_JOBS_CLAIMED, 1);
        counter_observe(COUNT_JOB_QUEUE, (uint64_t)result_number(result, row, "waited_us"));
        tasks_accept(scheduler, lease);
    }
    return catch;
}

/* A claim may be larger than the credit only while what it brings needs none. One that was cut at a job that
 * does has locked those behind it for a moment, so that another may have passed over them: the next starts
 * from the beginning. */
static void claims_adapt(struct claims *claims, const struct flight *flight, const struct catch *catch) {
    uint64_t asked = UINT64_C(1) << flight->size;
    size_t heavy = catch->of[CLASS_RUNNER], network = catch->of[CLASS_NETWORK];
    size_t got = heavy + network + catch->of[CLASS_LIGHT];
    bool is_full = heavy == flight->heavy || (flight->network > 0 && network == flight->network);

    if (heavy + network == 0 && got == asked) {
        claims->stretch = 2 * (claims->stretch > asked ? claims->stretch : asked);
        if (claims->stretch > STRETCH_MAX)
            claims->stretch = STRETCH_MAX;
        return;
    }
    if (flight->heavy < asked && got < asked && is_full)
        claims_reset(claims);
    if (heavy + network > 0 || got == 0)
        claims->stretch = 0;
}

static void claims_after(struct claims *claims, const struct database_answer *answer, bool more) {
    if (answer->outcome != DATABASE_OK)
        loop_timer_set(claims->poll, AGAIN_DELAY_MS);
    else if (more || claims->woken)
        claims_try(claims);
    if (claims->lost && claims->flights == 0) {
        claims->lost = false;
        adoption_find_own(claims->scheduler->adoption);
    }
}

static void claims_on_answer(void *context, const struct database_answer *answer) {
    struct flight *flight = context;
    struct claims *claims = flight->claims;
    size_t asked = (size_t)1 << flight->size, got = 0;
    struct catch catch;

    claims->flights--;
    claims->flying -= asked;
    claims->heavy_flying -= flight->heavy;
    claims->network_flying -= flight->network;
    if (answer->outcome == DATABASE_OK) {
        got = result_rows(answer->results[0]);
        catch = claims_take(claims, flight, answer->results[0]);
        claims_adapt(claims, flight, &catch);
        tasks_dispatch(claims->scheduler);
    } else {
        scheduler_log_answer("claim", answer);
        claims->lost |= answer->outcome == DATABASE_LOST;
    }
    free(flight);
    if (got == asked)
        lanes_note_backlog(claims->scheduler->lanes);
    claims_after(claims, answer, got == asked || lanes_lead(claims->scheduler->lanes));
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
    char heavy[24], network[24];

    *flight =
        (struct flight){.claims = claims, .size = size, .term = claims->watermark_term, .apart = wish->apart};
    flight->heavy = wish->heavy < asked ? wish->heavy : asked;
    flight->network = wish->network < asked ? wish->network : asked;
    text_format(heavy, sizeof heavy, "%llu", (unsigned long long)flight->heavy);
    text_format(network, sizeof network, "%llu", (unsigned long long)flight->network);
    for (size_t band = 0; band < CLAIM_BANDS; band++) {
        query.values[2 * band] = claims->watermarks[band].time;
        query.values[2 * band + 1] = claims->watermarks[band].id;
    }
    query.values[2 * CLAIM_BANDS] = scheduler->owner;
    query.values[2 * CLAIM_BANDS + 1] = scheduler->lease_text;
    query.values[2 * CLAIM_BANDS + 2] = heavy;
    query.values[2 * CLAIM_BANDS + 3] = wish->apart ? claims->apart_types : claims->light_types;
    query.values[2 * CLAIM_BANDS + 4] = wish->apart ? claims->network_types : "{}";
    query.values[2 * CLAIM_BANDS + 5] = network;
    claims->flights++;
    claims->flying += asked;
    claims->heavy_flying += flight->heavy;
    claims->network_flying += flight->network;
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

/* How many more jobs that last long may be claimed; UINT64_MAX where there are too few runners for a reserve.
 */
static uint64_t claims_long_room(const struct claims *claims) {
    const struct scheduler *scheduler = claims->scheduler;
    uint64_t reserve = (uint64_t)scheduler->settings->short_reserve;
    uint64_t slots = workers_slots(scheduler->workers);

    if (reserve == 0 || slots < reserve)
        return UINT64_MAX;
    return less(fair_long_places(slots, reserve), usage_long_held(scheduler->usage));
}

/* The reserve for short work is all that is left: only lanes tell that apart. */
static bool claims_are_down_to_reserve(const struct claims *claims) {
    return claims_long_room(claims) == 0;
}

/* What runners and services have room for. Where no worker offers room for network tasks they need credit. */
static struct wish claims_heavy_wish(const struct claims *claims, uint64_t light_taken) {
    const struct scheduler *scheduler = claims->scheduler;
    uint64_t batch = (uint64_t)scheduler->settings->batch;
    uint64_t network_left, network_ready = leases_ready_count(scheduler->leases, CLASS_NETWORK);
    struct wish wish = {.apart = workers_room(scheduler->workers, CLASS_NETWORK, &network_left) > 0};
    uint64_t taken =
        leases_ready_count(scheduler->leases, CLASS_RUNNER) + light_taken + (wish.apart ? 0 : network_ready);

    wish.heavy = smallest(less(workers_credit(scheduler->workers), taken + claims->heavy_flying), batch);
    if (wish.apart)
        wish.network = smallest(less(network_left, network_ready + claims->network_flying), batch);
    wish.jobs = smallest(wish.heavy + wish.network, batch);
    return wish;
}

static struct wish claims_wish(const struct claims *claims) {
    const struct scheduler *scheduler = claims->scheduler;
    uint64_t left, room = workers_room(scheduler->workers, CLASS_LIGHT, &left);
    uint64_t stretch = smallest(claims->stretch, (uint64_t)scheduler->settings->batch);
    uint64_t light_ready = leases_ready_count(scheduler->leases, CLASS_LIGHT);
    struct wish wish = claims_heavy_wish(claims, room > 0 ? 0 : light_ready);

    /* Any of them may last long. */
    wish.heavy = smallest(wish.heavy, less(claims_long_room(claims), claims->heavy_flying));
    wish.jobs = smallest(wish.jobs, wish.heavy + wish.network);
    if (room == 0)
        return wish;
    left = less(left, light_ready + claims->flying);
    /* While light jobs come in long rows, a claim waits until it is worth its round trip. */
    if (left == 0 || left < smallest(stretch, room) / 2)
        return (struct wish){.jobs = 0};
    stretch = smallest(stretch, left);
    wish.jobs = wish.jobs > stretch ? wish.jobs : stretch;
    return wish;
}

/* ---- by lanes ---- */

/* A class without room of its own takes credit. */
static struct fair_wish claims_lane_wish(const struct claims *claims) {
    const struct scheduler *scheduler = claims->scheduler;
    uint64_t batch = (uint64_t)scheduler->settings->batch, light_ready, left, room;
    struct fair_wish wish = {.ageing_ms = scheduler->settings->ageing_ms};
    struct wish heavy;

    light_ready = leases_ready_count(scheduler->leases, CLASS_LIGHT);
    room = workers_room(scheduler->workers, CLASS_LIGHT, &left);
    heavy = claims_heavy_wish(claims, room > 0 ? 0 : light_ready);
    wish.room[CLASS_RUNNER] = heavy.heavy;
    wish.room[CLASS_NETWORK] = heavy.network;
    wish.room[CLASS_LIGHT] = room > 0 ? less(left, light_ready) : 0;
    wish.is_shared[CLASS_NETWORK] = !heavy.apart;
    wish.is_shared[CLASS_LIGHT] = room == 0;
    wish.jobs = smallest(wish.room[CLASS_RUNNER] + wish.room[CLASS_NETWORK] + wish.room[CLASS_LIGHT], batch);
    wish.long_room = claims_long_room(claims);
    return wish;
}

static void claims_on_lanes(void *context, const struct database_answer *answer) {
    struct flight *flight = context;
    struct claims *claims = flight->claims;

    claims->flights--;
    if (answer->outcome == DATABASE_OK) {
        (void)claims_take(claims, flight, answer->results[1]);
        lanes_take(claims->scheduler->lanes, answer->results[1]);
        tasks_dispatch(claims->scheduler);
    } else {
        lanes_take(claims->scheduler->lanes, NULL);
        scheduler_log_answer("admit", answer);
        claims->lost |= answer->outcome == DATABASE_LOST;
    }
    free(flight);
    claims_after(claims, answer, true);
}

/* One at a time: each decision builds on what the one before it brought. */
static void claims_try_lanes(struct claims *claims) {
    struct fair_wish wish = claims_lane_wish(claims);
    struct flight *flight;

    if (wish.jobs == 0 || claims->flights > 0)
        return;
    flight = memory_new(sizeof *flight);
    *flight = (struct flight){.claims = claims, .term = claims->watermark_term - 1};
    claims->woken = false;
    claims->started_ms = clock_monotonic_ms();
    if (lanes_claim(claims->scheduler->lanes, &wish, claims_on_lanes, flight) > 0)
        claims->flights++;
    else
        free(flight);
}

static bool claims_have_room(const struct claims *claims) {
    return lanes_lead(claims->scheduler->lanes) ? claims_lane_wish(claims).jobs > 0
                                                : claims_wish(claims).jobs > 0;
}

static bool claims_may_ask(const struct claims *claims) {
    const struct scheduler *scheduler = claims->scheduler;

    return !scheduler->draining && claims->flights < FLIGHTS_MAX && !claims->lost &&
           adoption_allows_claims(scheduler->adoption) && results_backlog(scheduler->results) <= BACKLOG_MAX;
}

static void claims_try(struct claims *claims) {
    struct scheduler *scheduler = claims->scheduler;
    struct wish wish = claims_wish(claims);
    bool surveying;

    claims_arm_poll(claims);
    if (!claims_may_ask(claims) || (!claims_have_room(claims) && !claims_are_down_to_reserve(claims)))
        return;
    lanes_need(scheduler->lanes, claims_are_down_to_reserve(claims));
    surveying = lanes_refresh(scheduler->lanes);
    if (lanes_lead(scheduler->lanes)) {
        if (!surveying)
            claims_try_lanes(claims);
        return;
    }
    if (wish.jobs == 0)
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
    lanes_note_change(claims->scheduler->lanes);
    /* While one is under way its answer starts the next. */
    if (claims->flights == 0 && (claims_have_room(claims) || claims_are_down_to_reserve(claims)))
        loop_timer_set(claims->soon, since_ms >= COALESCE_MS ? 0 : COALESCE_MS - since_ms);
}

void claims_go_on(struct claims *claims) {
    claims_try(claims);
}

void claims_reach_back(struct claims *claims) {
    claims_reset(claims);
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

/* The types of the classes in a bit set, as an array for the statement. */
static void name_types(const struct settings *settings, unsigned classes, char *target, size_t size) {
    struct buffer names;

    buffer_init(&names, size - 2);
    for (size_t i = 0; i < processor_row_count; i++)
        if ((1u << processor_class(&processor_rows[i], settings) & classes) != 0 &&
            buffer_append_format(&names, "%s%s", names.size == 0 ? "" : ",", processor_rows[i].name) != 0)
            fatal("event=too_many_types");
    text_format(target, size, "{%s}", names.size == 0 ? "" : names.data);
    buffer_clear(&names);
}

static void claims_name_types(struct claims *claims) {
    const struct settings *settings = claims->scheduler->settings;
    const unsigned light = 1u << CLASS_LIGHT, network = 1u << CLASS_NETWORK;

    name_types(settings, light, claims->light_types, sizeof claims->light_types);
    name_types(settings, network, claims->network_types, sizeof claims->network_types);
    name_types(settings, light | network, claims->apart_types, sizeof claims->apart_types);
}

struct claims *claims_new(struct scheduler *scheduler) {
    struct claims *claims = memory_new(sizeof *claims);

    claims->scheduler = scheduler;
    claims->due_ms = NEVER_MS;
    claims->soon = loop_timer_new(scheduler->loop, claims_on_soon, claims);
    claims->poll = loop_timer_new(scheduler->loop, claims_on_poll, claims);
    claims->due = loop_timer_new(scheduler->loop, claims_on_due, claims);
    scheduler->lanes = lanes_new(scheduler);
    claims_name_types(claims);
    claims_reset(claims);
    claims_arm_poll(claims);
    return claims;
}

void claims_free(struct claims *claims) {
    if (claims == NULL)
        return;
    lanes_free(claims->scheduler->lanes);
    loop_timer_free(claims->soon);
    loop_timer_free(claims->poll);
    loop_timer_free(claims->due);
    free(claims);
}
