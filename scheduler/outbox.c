/* SPDX-License-Identifier: MIT
 * Three errands: claiming, sending, settling. In memory are only the deliveries that workers have; all that a
 * death loses is found again by its lease. */
#include "scheduler/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "scheduler/drain.h"
#include "scheduler/json_text.h"
#include "scheduler/outbox_retry.h"
#include "scheduler/outbox_sign.h"
#include "scheduler/outbox_statements.h"
#include "scheduler/workers.h"

#define FLIGHTS_MAX 4096
#define CLAIM_MAX 64
#define LEASE_MARGIN_MS 15000
#define TICK_MS 1000
#define QUIET_MS 4000 /* how often is looked while nobody wants webhooks */
#define RESCUE_MS 5000
#define GRACE_MS 3000 /* what an earlier life of this node sent may still be answered for so long */
#define SETTLE_DELAY_MS 10
#define AGAIN_MS 500
#define PENDING_MAX (4 * 1024 * 1024)
#define UNKNOWN_DELAY_MS 5000

/* A delivery that a worker has. */
struct flight {
    char id[UUID_TEXT_SIZE], worker[UUID_TEXT_SIZE]; /* the worker's generation */
    uint64_t epoch, attempts;
    int64_t until_ms;
};

struct outbox {
    struct scheduler *scheduler;
    struct flight *flights;
    size_t count;
    struct loop_timer *tick, *settle;
    bool wanted;   /* somebody wants webhooks */
    bool claiming; /* a claim is under way */
    bool again;    /* something happened meanwhile */
    struct buffer pending;
    size_t settling; /* bytes of it that are being written */
    int64_t started_ms, rescued_ms;
    int64_t tick_at_ms; /* when the next tick is; 0: not set */
};

/* The next tick comes then, or before. */
static void outbox_tick_in(struct outbox *outbox, int64_t delay_ms) {
    int64_t at_ms = clock_monotonic_ms() + delay_ms;

    if (outbox->tick_at_ms != 0 && outbox->tick_at_ms <= at_ms)
        return;
    outbox->tick_at_ms = at_ms;
    loop_timer_set(outbox->tick, delay_ms);
}

/* ---- settling ---- */

static void outbox_note(struct outbox *outbox, const struct message_delivery *item,
                        const struct outbox_verdict *verdict) {
    struct buffer *pending = &outbox->pending;
    size_t before = pending->size;
    int broken = before > 0 ? buffer_append_text(pending, ",{") : buffer_append_text(pending, "{");

    broken |= json_member_text(pending, "id", item->id);
    broken |= json_member_number(pending, "epoch", (int64_t)item->epoch);
    broken |= json_member_number(pending, "counted", verdict->counted);
    broken |= json_member_number(pending, "ok", verdict->delivered);
    broken |= json_member_number(pending, "gone", verdict->gone);
    if (verdict->again)
        broken |= json_member_number(pending, "delay", verdict->delay_ms);
    broken |= json_member_number(pending, "rest", verdict->rest_ms);
    if (item->status > 0)
        broken |= json_member_number(pending, "status", (int64_t)item->status);
    broken |= json_member_text(pending, "error", item->error);
    broken |= json_member_number(pending, "latency", (int64_t)item->latency_ms);
    broken |= json_member_text(pending, "excerpt", item->excerpt);
    broken |= json_close(pending, '}');
    if (broken != 0) {
        log_warn("webhook=%s state=not_settled reason=\"too many\"", item->id);
        buffer_cut(pending, before);
    } else if (outbox->settling == 0) {
        loop_timer_set(outbox->settle, SETTLE_DELAY_MS);
    }
    /* A short wait need not last until the next tick. */
    if (verdict->again && verdict->delay_ms < TICK_MS)
        outbox_tick_in(outbox, verdict->delay_ms + 2 * SETTLE_DELAY_MS);
}

/* Gives it back unsent, and not counted as an attempt. */
static void outbox_return(struct outbox *outbox, const char *id, uint64_t epoch, int64_t delay_ms) {
    const struct message_delivery item = {.id = id, .epoch = epoch};
    const struct outbox_verdict verdict = {.again = true, .delay_ms = delay_ms};

    outbox_note(outbox, &item, &verdict);
}

static void outbox_on_settled(void *context, const struct database_answer *answer) {
    struct outbox *outbox = context;
    size_t written = outbox->settling;

    outbox->settling = 0;
    if (answer->outcome != DATABASE_OK && answer->outcome != DATABASE_REFUSED) {
        scheduler_log_answer("outbox_settle", answer);
        loop_timer_set(outbox->settle, AGAIN_MS);
        return;
    }
    if (answer->outcome == DATABASE_REFUSED)
        scheduler_log_answer("outbox_settle", answer); /* their leases run out, and they are sent again */
    else if (result_number(answer->results[0], 0, "disabled") > 0)
        log_warn("webhooks=disabled endpoints=%lld",
                 (long long)result_number(answer->results[0], 0, "disabled"));
    buffer_consume(&outbox->pending, written < outbox->pending.size ? written + 1 : written);
    if (outbox->pending.size > 0)
        loop_timer_set(outbox->settle, 0);
    outbox_wake(outbox); /* there may be room for more now */
    drain_check(outbox->scheduler->drain);
}

static void outbox_on_settle(void *context) {
    struct outbox *outbox = context;
    char days[24];
    char *array;
    struct query query = {.statement = &outbox_statements[OUTBOX_SETTLE]};

    if (outbox->settling > 0 || outbox->pending.size == 0)
        return;
    outbox->settling = outbox->pending.size;
    (void)text_format(days, sizeof days, "%lld",
                      (long long)outbox->scheduler->settings->webhook_failing_days);
    array = memory_format("[%s]", outbox->pending.data);
    query.values[0] = array;
    query.values[1] = days;
    scheduler_run(outbox->scheduler, &query, 1, outbox_on_settled, outbox);
    free(array);
}

bool outbox_is_settled(const struct outbox *outbox) {
    return outbox->pending.size == 0;
}

/* ---- what workers have ---- */

static struct flight *outbox_find(struct outbox *outbox, const char *id, uint64_t epoch) {
    for (size_t i = 0; i < outbox->count; i++)
        if (outbox->flights[i].epoch == epoch && strcmp(outbox->flights[i].id, id) == 0)
            return &outbox->flights[i];
    return NULL;
}

static void outbox_remove(struct outbox *outbox, struct flight *flight) {
    *flight = outbox->flights[--outbox->count];
}

/* Of a delivery that was sent by a scheduler before this one, the attempts are not known: a success counts,
 * anything else is tried again. */
static void outbox_on_answer(struct outbox *outbox, const struct message_delivery *item) {
    struct flight *flight = outbox_find(outbox, item->id, item->epoch);
    struct outbox_attempt attempt = {.before = flight != NULL ? flight->attempts : 0,
                                     .status = item->status,
                                     .retry_after_s = item->retry_after_s,
                                     .error = item->error};
    struct outbox_verdict verdict;
    uint32_t random;

    text_random(&random, sizeof random);
    verdict = outbox_judge(&attempt, outbox->scheduler->settings->webhook_retry_unit_ms, random);
    if (flight != NULL)
        outbox_remove(outbox, flight);
    else if (!verdict.delivered)
        verdict = (struct outbox_verdict){.again = true, .delay_ms = UNKNOWN_DELAY_MS};
    outbox_note(outbox, item, &verdict);
}

void outbox_on_delivered(struct outbox *outbox, const struct message_deliveries *delivered) {
    for (size_t i = 0; i < delivered->count; i++)
        outbox_on_answer(outbox, &delivered->items[i]);
}

static int64_t held_by(const struct outbox *outbox, const struct peer *worker) {
    int64_t held = 0;

    for (size_t i = 0; i < outbox->count; i++)
        held += strcmp(outbox->flights[i].worker, worker->generation) == 0;
    return held;
}

/* The worker with the most room, and in *room the room of all. */
static struct peer *outbox_choose(const struct outbox *outbox, int64_t *room) {
    int64_t each = outbox->scheduler->settings->webhook_concurrency, most = 0;
    struct peer *best = NULL;

    *room = 0;
    for (struct peer *worker = workers_next(outbox->scheduler->workers, NULL); worker != NULL;
         worker = workers_next(outbox->scheduler->workers, worker)) {
        int64_t left = each - held_by(outbox, worker);
        if (left <= 0)
            continue;
        *room += left;
        if (left > most) {
            most = left;
            best = worker;
        }
    }
    return best;
}

static bool is_alive(const struct outbox *outbox, const char *generation) {
    for (struct peer *worker = workers_next(outbox->scheduler->workers, NULL); worker != NULL;
         worker = workers_next(outbox->scheduler->workers, worker))
        if (strcmp(worker->generation, generation) == 0)
            return true;
    return false;
}

/* Those of a dead worker are sent again at once; those that nobody answered are found by their leases. */
static void outbox_check(struct outbox *outbox) {
    int64_t now_ms = clock_monotonic_ms();

    for (size_t i = outbox->count; i-- > 0;) {
        struct flight *flight = &outbox->flights[i];
        bool alive = is_alive(outbox, flight->worker);
        if (!alive)
            outbox_return(outbox, flight->id, flight->epoch, 0);
        if (!alive || flight->until_ms < now_ms)
            outbox_remove(outbox, flight);
    }
}

/* ---- sending ---- */

struct parcel {
    struct message message;
    char ids[MESSAGE_MAX_DELIVERIES][64];
    char signatures[MESSAGE_MAX_DELIVERIES][OUTBOX_SIGNATURE_MAX];
};

static int64_t lease_ms(const struct outbox *outbox) {
    return outbox->scheduler->settings->webhook_timeout_ms + LEASE_MARGIN_MS;
}

static void parcel_send(struct outbox *outbox, struct parcel *parcel, const uint64_t *attempts) {
    struct message_deliveries *items = &parcel->message.deliveries;
    int64_t room;
    struct peer *worker = outbox_choose(outbox, &room);
    char generation[UUID_TEXT_SIZE] = "";

    if (worker != NULL)
        (void)text_copy(generation, sizeof generation, worker->generation);
    if (worker == NULL || workers_send(outbox->scheduler->workers, worker, &parcel->message) != 0) {
        for (size_t i = 0; i < items->count; i++)
            outbox_return(outbox, items->items[i].id, items->items[i].epoch, AGAIN_MS);
        return;
    }
    for (size_t i = 0; i < items->count && outbox->count < FLIGHTS_MAX; i++) {
        struct flight *flight = &outbox->flights[outbox->count++];
        *flight = (struct flight){.epoch = items->items[i].epoch,
                                  .attempts = attempts[i],
                                  .until_ms = clock_monotonic_ms() + lease_ms(outbox)};
        (void)text_copy(flight->id, sizeof flight->id, items->items[i].id);
        (void)text_copy(flight->worker, sizeof flight->worker, generation);
    }
}

/* Fails what can't be sent at all. */
static void outbox_refuse(struct outbox *outbox, const struct message_delivery *item, const char *why) {
    struct message_delivery failed = {.id = item->id, .epoch = item->epoch, .error = why};
    const struct outbox_verdict verdict = {.counted = true};

    log_warn("webhook=%s state=refused reason=%s", item->id, why);
    outbox_note(outbox, &failed, &verdict);
}

static void parcel_add(struct outbox *outbox, struct parcel *parcel, const struct database_result *rows,
                       size_t row) {
    struct message_deliveries *items = &parcel->message.deliveries;
    struct message_delivery *item = &items->items[items->count];
    char *id = parcel->ids[items->count], *signature = parcel->signatures[items->count];
    struct outbox_text text = {.id = id,
                               .timestamp_s = result_number(rows, row, "stamp"),
                               .body = result_text(rows, row, "payload")};

    *item =
        (struct message_delivery){.id = result_text(rows, row, "id"),
                                  .epoch = (uint64_t)result_number(rows, row, "epoch"),
                                  .url = result_text(rows, row, "url"),
                                  .message = id,
                                  .timestamp = (uint64_t)text.timestamp_s,
                                  .signature = signature,
                                  .body = text.body,
                                  .trace = result_text(rows, row, "trace"),
                                  .timeout_ms = (uint64_t)outbox->scheduler->settings->webhook_timeout_ms};
    (void)text_format(id, sizeof parcel->ids[0], "msg_%s", item->id);
    if (strlen(text.body) > MESSAGE_MAX_WEBHOOK)
        outbox_refuse(outbox, item, "too_large");
    else if (outbox_sign(signature, &text, result_text(rows, row, "secret"),
                         result_text(rows, row, "previous")) != 0)
        outbox_refuse(outbox, item, "bad_secret");
    else
        items->count++;
}

static void outbox_send(struct outbox *outbox, const struct database_result *rows) {
    struct parcel *parcel = memory_new(sizeof *parcel);
    uint64_t attempts[MESSAGE_MAX_DELIVERIES];
    size_t count = result_rows(rows);

    parcel->message.type = MESSAGE_DELIVER;
    for (size_t row = 0; row < count; row++) {
        attempts[parcel->message.deliveries.count] = (uint64_t)result_number(rows, row, "attempts");
        parcel_add(outbox, parcel, rows, row);
        if (parcel->message.deliveries.count == MESSAGE_MAX_DELIVERIES ||
            (row + 1 == count && parcel->message.deliveries.count > 0)) {
            parcel_send(outbox, parcel, attempts);
            parcel->message.deliveries.count = 0;
        }
    }
    free(parcel);
}

/* ---- claiming ---- */

static void outbox_on_claimed(void *context, const struct database_answer *answer) {
    struct outbox *outbox = context;
    size_t claimed = 0;

    outbox->claiming = false;
    if (answer->outcome != DATABASE_OK) {
        scheduler_log_answer("outbox_claim", answer);
        return; /* the tick goes on */
    }
    outbox->wanted = result_bool(answer->results[0], 0, "enabled");
    if (answer->result_count > 1) {
        claimed = result_rows(answer->results[1]);
        outbox_send(outbox, answer->results[1]);
    } else if (outbox->wanted) {
        outbox->again = true; /* the first endpoint there is */
    }
    if (claimed > 0 || outbox->again)
        outbox_wake(outbox);
}

/* Look, and while somebody wants webhooks claim, in one transaction. */
static void outbox_claim(struct outbox *outbox) {
    const struct scheduler *scheduler = outbox->scheduler;
    char lease[24], most[24];
    int64_t room;
    struct query queries[2] = {
        {.statement = &outbox_statements[OUTBOX_LOOK]},
        {.statement = &outbox_statements[OUTBOX_CLAIM], .values = {scheduler->owner, lease, most}}};
    bool can_send = outbox_choose(outbox, &room) != NULL && outbox->count + CLAIM_MAX < FLIGHTS_MAX;

    if (outbox->claiming || scheduler->draining || !can_send)
        return;
    outbox->claiming = true;
    outbox->again = false;
    (void)text_format(lease, sizeof lease, "%lld", (long long)lease_ms(outbox));
    (void)text_format(most, sizeof most, "%lld", (long long)(room < CLAIM_MAX ? room : CLAIM_MAX));
    scheduler_run(outbox->scheduler, queries, outbox->wanted ? 2 : 1, outbox_on_claimed, outbox);
}

void outbox_wake(struct outbox *outbox) {
    if (!outbox->wanted)
        return;
    outbox->again = true;
    if (!outbox->claiming)
        outbox_tick_in(outbox, 1);
}

static void outbox_on_rescued(void *context, const struct database_answer *answer) {
    if (answer->outcome != DATABASE_OK)
        scheduler_log_answer("outbox_rescue", answer);
    else if (result_affected(answer->results[0]) > 0)
        outbox_wake(context);
}

static void outbox_rescue(struct outbox *outbox, int64_t now_ms) {
    bool settled_in = now_ms - outbox->started_ms >= GRACE_MS;
    const struct query query = {
        .statement = &outbox_statements[OUTBOX_RESCUE],
        .values = {settled_in ? outbox->scheduler->node_prefix : "", outbox->scheduler->owner}};

    if (!settled_in || (outbox->rescued_ms != 0 && now_ms - outbox->rescued_ms < RESCUE_MS))
        return;
    outbox->rescued_ms = now_ms;
    scheduler_run(outbox->scheduler, &query, 1, outbox_on_rescued, outbox);
}

static void outbox_on_tick(void *context) {
    struct outbox *outbox = context;

    outbox->tick_at_ms = 0;
    outbox_tick_in(outbox, outbox->wanted ? TICK_MS : QUIET_MS);
    if (outbox->wanted) {
        outbox_check(outbox);
        outbox_rescue(outbox, clock_monotonic_ms());
    }
    outbox_claim(outbox);
}

struct outbox *outbox_new(struct scheduler *scheduler) {
    struct outbox *outbox = memory_new(sizeof *outbox);

    outbox->scheduler = scheduler;
    outbox->flights = memory_new(FLIGHTS_MAX * sizeof *outbox->flights);
    outbox->started_ms = clock_monotonic_ms();
    buffer_init(&outbox->pending, PENDING_MAX);
    outbox->tick = loop_timer_new(scheduler->loop, outbox_on_tick, outbox);
    outbox->settle = loop_timer_new(scheduler->loop, outbox_on_settle, outbox);
    outbox_tick_in(outbox, TICK_MS);
    return outbox;
}

void outbox_free(struct outbox *outbox) {
    if (outbox == NULL)
        return;
    buffer_clear(&outbox->pending);
    loop_timer_free(outbox->tick);
    loop_timer_free(outbox->settle);
    free(outbox->flights);
    free(outbox);
}
