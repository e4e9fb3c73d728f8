/* SPDX-License-Identifier: MIT
 * A survey's lanes are kept until the next: each claim moves their beginnings on and closes those that ran
 * dry. */
#include "scheduler/lanes.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "scheduler/claim.h"
#include "scheduler/lease.h"
#include "scheduler/usage.h"
#include "scheduler/workers.h"

#define LANES_MAX 400 /* as the statement says */
#define SURVEY_EVERY_MS 1000
#define SURVEY_OPEN_MS 200  /* after a change, while there is something to claim */
#define SURVEY_CLOSED_MS 20 /* the same, while there is nothing */
#define SURVEY_SHARE 10     /* at most one part in so many of the time is spent on surveys */
#define ARRAY_MAX (64 * 1024)
#define NOBODY "00000000-0000-0000-0000-000000000000"

enum column { COLUMN_TENANT, COLUMN_TYPE, COLUMN_BAND, COLUMN_USER, COLUMN_SINCE, COLUMN_COUNT, COLUMNS };

struct lane {
    char tenant[37], user[37], since[48];
    char type[101];
    uint64_t got;
};

struct lanes {
    struct scheduler *scheduler;
    struct lane rows[LANES_MAX];
    struct fair_lane fair[LANES_MAX]; /* of the same places */
    size_t count;
    const char *tenants[LANES_MAX]; /* by fair_lane.tenant */
    double used_ms[LANES_MAX];
    size_t tenant_count;
    unsigned turn;
    bool leads, rules, needed;
    bool suspected, stale; /* worth a survey; something has changed since the last */
    bool under_way;
    int64_t surveyed_ms, took_ms;
    struct lane last; /* where the next survey goes on */
    char last_band[24];
    struct loop_timer *again;
};

bool lanes_lead(const struct lanes *lanes) {
    return lanes->leads;
}

void lanes_suspect(struct lanes *lanes) {
    lanes->suspected = lanes->stale = true;
    lanes->surveyed_ms = clock_monotonic_ms() - SURVEY_EVERY_MS;
}

void lanes_note_backlog(struct lanes *lanes) {
    lanes->suspected = true;
}

void lanes_note_change(struct lanes *lanes) {
    lanes->stale = true;
}

void lanes_note_rules(struct lanes *lanes, bool rules) {
    if (rules && !lanes->rules)
        lanes_suspect(lanes);
}

void lanes_need(struct lanes *lanes, bool needed) {
    if (needed && !lanes->leads && !lanes->under_way) {
        lanes->leads = true;
        lanes->count = lanes->tenant_count = 0;
        lanes_suspect(lanes);
    }
    lanes->needed = needed;
}

/* ---- the survey ---- */

static size_t tenant_index(struct lanes *lanes, const char *tenant) {
    /* Lanes come in order of tenants. */
    if (lanes->tenant_count == 0 || strcmp(lanes->tenants[lanes->tenant_count - 1], tenant) != 0)
        lanes->tenants[lanes->tenant_count++] = tenant;
    return lanes->tenant_count - 1;
}

static void lanes_add(struct lanes *lanes, const struct database_result *result, size_t row) {
    const struct scheduler *scheduler = lanes->scheduler;
    struct lane *lane = &lanes->rows[lanes->count];
    struct fair_lane *fair = &lanes->fair[lanes->count];
    const char *type = result_text(result, row, "type");

    *lane = (struct lane){.got = 0};
    if (text_copy(lane->tenant, sizeof lane->tenant, result_text(result, row, "tenant")) != 0 ||
        text_copy(lane->user, sizeof lane->user, result_text(result, row, "usr")) != 0 ||
        text_copy(lane->since, sizeof lane->since, result_text(result, row, "since")) != 0 ||
        text_copy(lane->type, sizeof lane->type, type) != 0)
        return; /* no type of ours is so long */
    *fair = (struct fair_lane){
        .tenant = tenant_index(lanes, lane->tenant),
        .band = result_number(result, row, "band"),
        .class = processor_class(processor_find(type), scheduler->settings),
        .is_long = usage_is_long(scheduler->usage, type),
        .is_closed = result_bool(result, row, "paused"),
        .age_ms = result_number(result, row, "age_ms"),
        .room =
            result_text(result, row, "room") == NULL ? FAIR_UNLIMITED : result_number(result, row, "room"),
        .cost_ms = usage_cost_ms(scheduler->usage, type),
    };
    if (fair->room != FAIR_UNLIMITED && fair->room < 0)
        fair->room = 0;
    lanes->count++;
}

static bool is_open(const struct fair_lane *lane) {
    return !lane->is_closed && lane->room != 0;
}

/* Those who could have a place: who can't saves nothing up. */
static void lanes_note_tenants(struct lanes *lanes) {
    const char *present[LANES_MAX];
    size_t count = 0;

    for (size_t i = 0; i < lanes->count; i++)
        if (is_open(&lanes->fair[i]) &&
            (count == 0 || present[count - 1] != lanes->tenants[lanes->fair[i].tenant]))
            present[count++] = lanes->tenants[lanes->fair[i].tenant];
    usage_present(lanes->scheduler->usage, present, count);
}

/* A rule is about one of the lanes, tenants compete, or a band is overdue behind another. */
static bool lanes_should_lead(const struct lanes *lanes) {
    int64_t ageing_ms = lanes->scheduler->settings->ageing_ms;
    int64_t first = INT64_MAX;

    if (lanes->tenant_count > 1 || lanes->needed)
        return true;
    for (size_t i = 0; i < lanes->count; i++)
        if (lanes->fair[i].band < first)
            first = lanes->fair[i].band;
    for (size_t i = 0; i < lanes->count; i++) {
        const struct fair_lane *lane = &lanes->fair[i];
        if (lane->room != FAIR_UNLIMITED || lane->is_closed ||
            (ageing_ms > 0 && lane->band > first && lane->age_ms >= ageing_ms))
            return true;
    }
    return false;
}

/* More lanes than a survey takes: the next goes on behind the last. */
static void lanes_move_cursor(struct lanes *lanes, const struct database_result *result) {
    size_t rows = result_rows(result);

    lanes->last = (struct lane){.tenant = NOBODY, .user = NOBODY};
    text_copy(lanes->last_band, sizeof lanes->last_band, "-1");
    if (rows < LANES_MAX)
        return;
    result_copy(lanes->last.tenant, sizeof lanes->last.tenant, result, rows - 1, "tenant");
    result_copy(lanes->last.user, sizeof lanes->last.user, result, rows - 1, "usr");
    result_copy(lanes->last.type, sizeof lanes->last.type, result, rows - 1, "type");
    result_copy(lanes->last_band, sizeof lanes->last_band, result, rows - 1, "band");
}

static void lanes_on_survey(void *context, const struct database_answer *answer) {
    struct lanes *lanes = context;
    bool led = lanes->leads;

    lanes->under_way = false;
    lanes->took_ms = clock_monotonic_ms() - lanes->surveyed_ms;
    if (answer->outcome != DATABASE_OK) {
        scheduler_log_answer("survey", answer);
        lanes->stale = true;
        return; /* the poll asks again */
    }
    lanes->count = lanes->tenant_count = 0;
    lanes->rules = result_bool(answer->results[0], 0, "rules");
    for (size_t row = 0; row < result_rows(answer->results[1]); row++)
        if (result_bool(answer->results[1], row, "due"))
            lanes_add(lanes, answer->results[1], row);
    lanes_move_cursor(lanes, answer->results[1]);
    lanes_note_tenants(lanes);
    lanes->leads = lanes_should_lead(lanes);
    if (lanes->tenant_count > 1)
        usage_share(lanes->scheduler->usage);
    if (led != lanes->leads) {
        log_debug("lanes=%zu tenants=%zu state=%s", lanes->count, lanes->tenant_count,
                  lanes->leads ? "by_lanes" : "by_head");
        claims_reach_back(lanes->scheduler->claims);
    }
    if (led || lanes->leads)
        claims_go_on(lanes->scheduler->claims);
}

static void lanes_survey(struct lanes *lanes) {
    struct query queries[] = {
        {.statement = &statements[STATEMENT_SURVEY_RULES]},
        {.statement = &statements[STATEMENT_SURVEY],
         .values = {lanes->last.tenant, lanes->last.type, lanes->last_band, lanes->last.user}}};

    lanes->under_way = true;
    lanes->suspected = lanes->stale = false;
    lanes->surveyed_ms = clock_monotonic_ms();
    scheduler_run(lanes->scheduler, queries, 2, lanes_on_survey, lanes);
}

/* How long after the last survey the next may be. */
static int64_t lanes_wait_ms(const struct lanes *lanes) {
    int64_t wait_ms = lanes->leads || lanes->rules ? SURVEY_CLOSED_MS : SURVEY_EVERY_MS;

    for (size_t i = 0; i < lanes->count && wait_ms == SURVEY_CLOSED_MS; i++)
        if (is_open(&lanes->fair[i]))
            wait_ms = SURVEY_OPEN_MS;
    return wait_ms > SURVEY_SHARE * lanes->took_ms ? wait_ms : SURVEY_SHARE * lanes->took_ms;
}

bool lanes_refresh(struct lanes *lanes) {
    int64_t since_ms = clock_monotonic_ms() - lanes->surveyed_ms;
    int64_t wait_ms = lanes_wait_ms(lanes);
    bool wanted = lanes->suspected ||
                  ((lanes->leads || lanes->rules) && (lanes->stale || since_ms >= SURVEY_EVERY_MS - 1));

    if (lanes->under_way || !wanted)
        return lanes->under_way;
    if (since_ms < wait_ms) {
        if (lanes->leads || lanes->rules)
            loop_timer_set(lanes->again, wait_ms - since_ms);
        return false;
    }
    lanes_survey(lanes);
    return true;
}

static void lanes_on_again(void *context) {
    struct lanes *lanes = context;

    claims_go_on(lanes->scheduler->claims);
}

/* ---- the claim ---- */

static void lanes_decide(struct lanes *lanes, struct fair_wish *wish) {
    for (size_t i = 0; i < lanes->tenant_count; i++)
        lanes->used_ms[i] = usage_of(lanes->scheduler->usage, lanes->tenants[i]);
    wish->turn = lanes->turn;
    (void)fair_choose(lanes->fair, lanes->count, lanes->used_ms, wish);
    lanes->turn = wish->turn;
}

static void append_lane(struct buffer *columns, const struct lane *lane, const struct fair_lane *fair) {
    char open = columns[COLUMN_TENANT].size == 0 ? '{' : ',';
    int broken = buffer_append_format(&columns[COLUMN_TENANT], "%c%s", open, lane->tenant);

    broken |= buffer_append_format(&columns[COLUMN_TYPE], "%c\"", open);
    for (const char *at = lane->type; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            broken |= buffer_append_text(&columns[COLUMN_TYPE], "\\");
        broken |= buffer_append(&columns[COLUMN_TYPE], at, 1);
    }
    broken |= buffer_append_text(&columns[COLUMN_TYPE], "\"");
    broken |= buffer_append_format(&columns[COLUMN_BAND], "%c%lld", open, (long long)fair->band);
    broken |= buffer_append_format(&columns[COLUMN_USER], "%c%s", open, lane->user);
    broken |= buffer_append_format(&columns[COLUMN_SINCE], "%c\"%s\"", open, lane->since);
    broken |= buffer_append_format(&columns[COLUMN_COUNT], "%c%llu", open, (unsigned long long)fair->asked);
    if (broken != 0)
        fatal("event=too_many_lanes"); /* LANES_MAX of them fit */
}

static int by_sequence(const void *left, const void *right) {
    const struct fair_lane *const *first = left, *const *second = right;

    return (*first)->sequence < (*second)->sequence ? -1 : (*first)->sequence > (*second)->sequence;
}

/* The lanes that were given something, in their turn. */
static size_t lanes_pick(struct lanes *lanes, struct fair_lane **picked) {
    size_t count = 0;

    for (size_t i = 0; i < lanes->count; i++)
        if (lanes->fair[i].asked > 0)
            picked[count++] = &lanes->fair[i];
    qsort(picked, count, sizeof picked[0], by_sequence);
    return count;
}

uint64_t lanes_claim(struct lanes *lanes, struct fair_wish *wish, database_done_fn *done, void *context) {
    struct scheduler *scheduler = lanes->scheduler;
    struct query queries[] = {
        {.statement = &statements[STATEMENT_ADMIT], .values = {scheduler->owner, scheduler->lease_text}},
        {.statement = &statements[STATEMENT_ADMITTED]}};
    struct fair_lane *picked[LANES_MAX];
    struct buffer columns[COLUMNS];
    uint64_t asked = 0;
    size_t count;

    lanes_decide(lanes, wish);
    count = lanes_pick(lanes, picked);
    if (count == 0)
        return 0;
    for (size_t i = 0; i < COLUMNS; i++)
        buffer_init(&columns[i], ARRAY_MAX);
    for (size_t i = 0; i < count; i++) {
        append_lane(columns, &lanes->rows[picked[i] - lanes->fair], picked[i]);
        asked += picked[i]->asked;
    }
    for (size_t i = 0; i < COLUMNS; i++) {
        if (buffer_append_text(&columns[i], "}") != 0)
            fatal("event=too_many_lanes");
        queries[0].values[2 + i] = columns[i].data;
    }
    scheduler_run(scheduler, queries, 2, done, context);
    for (size_t i = 0; i < COLUMNS; i++)
        buffer_clear(&columns[i]);
    return asked;
}

static struct lane *lanes_find(struct lanes *lanes, const struct database_result *result, size_t row) {
    const char *tenant = result_text(result, row, "tenant"), *type = result_text(result, row, "type");
    const char *user = result_text(result, row, "usr") == NULL ? NOBODY : result_text(result, row, "usr");
    int64_t band = result_number(result, row, "priority");

    for (size_t i = 0; i < lanes->count; i++)
        if (lanes->fair[i].asked > 0 && lanes->fair[i].band == band &&
            strcmp(lanes->rows[i].tenant, tenant) == 0 && strcmp(lanes->rows[i].type, type) == 0 &&
            strcmp(lanes->rows[i].user, user) == 0)
            return &lanes->rows[i];
    return NULL;
}

void lanes_take(struct lanes *lanes, const struct database_result *result) {
    size_t rows = result == NULL ? 0 : result_rows(result);

    for (size_t row = 0; row < rows; row++) {
        struct lane *lane = lanes_find(lanes, result, row);
        bool live = result_bool(result, row, "live");
        if (lane == NULL)
            continue;
        lane->got++;
        text_copy(lane->since, sizeof lane->since,
                  result_text(result, row, live ? "live_time" : "band_time"));
    }
    for (size_t i = 0; i < lanes->count; i++) {
        struct fair_lane *fair = &lanes->fair[i];
        if (result != NULL && lanes->rows[i].got < fair->asked)
            fair->is_closed = true;
        if (fair->room > 0)
            fair->room -= (int64_t)lanes->rows[i].got < fair->room ? (int64_t)lanes->rows[i].got : fair->room;
        lanes->rows[i].got = fair->asked = 0;
    }
}

struct lanes *lanes_new(struct scheduler *scheduler) {
    struct lanes *lanes = memory_new(sizeof *lanes);

    lanes->scheduler = scheduler;
    lanes->again = loop_timer_new(scheduler->loop, lanes_on_again, lanes);
    lanes->last = (struct lane){.tenant = NOBODY, .user = NOBODY};
    text_copy(lanes->last_band, sizeof lanes->last_band, "-1");
    lanes_suspect(lanes);
    return lanes;
}

void lanes_free(struct lanes *lanes) {
    if (lanes == NULL)
        return;
    loop_timer_free(lanes->again);
    free(lanes);
}
