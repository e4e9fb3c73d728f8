/* SPDX-License-Identifier: MIT
 * Adoption waits 20 ms so that a worker's whole list is one statement. Leases of this node's earlier
 * schedulers that no worker has named 5 s after the start are taken over. */
#include "scheduler/adopt.h"

#include <stdlib.h>
#include <string.h>

#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "scheduler/claim.h"
#include "scheduler/dispatch.h"
#include "scheduler/finish.h"
#include "scheduler/garbage.h"
#include "scheduler/lease.h"
#include "scheduler/workers.h"

#define GATHER_MS 20
#define AGAIN_MS 500
#define ORPHANS_AFTER_MS 5000
#define ENTRIES_MAX 10000
#define BATCH_MAX 500
#define ARRAY_MAX (1024 * 1024)

struct entry {
    struct entry *next;
    char job[37];
    uint64_t epoch;
    struct channel_peer peer;
    struct buffer message; /* encoded again, to be dispatched once more */
    bool sent;
};

struct adoption {
    struct scheduler *scheduler;
    struct entry *first;
    size_t count;
    bool flying;
    bool own_wanted, own_flying;
    struct loop_timer *timer, *orphans, *own;
};

static void entry_free(struct entry *entry) {
    buffer_clear(&entry->message);
    free(entry);
}

/* ---- adoption ---- */

static void name_lease(const struct message *message, const char **job, uint64_t *epoch) {
    switch (message->type) {
    case MESSAGE_PROGRESS:
        *job = message->progress.job;
        *epoch = message->progress.epoch;
        break;
    case MESSAGE_RESULT:
        *job = message->result.job;
        *epoch = message->result.epoch;
        break;
    default:
        *job = message->release.job;
        *epoch = message->release.epoch;
        break;
    }
}

void adoption_add(struct adoption *adoption, const struct channel_peer *peer, const struct message *message) {
    struct entry *entry, **link = &adoption->first;
    const char *job;
    uint64_t epoch;

    name_lease(message, &job, &epoch);
    for (; *link != NULL; link = &(*link)->next)
        if (message->type == MESSAGE_PROGRESS && (*link)->epoch == epoch && strcmp((*link)->job, job) == 0)
            return; /* it is on its way */
    if (adoption->count >= ENTRIES_MAX) {
        log_warn("job=%s lease=%llu state=dropped reason=\"too many unknown leases\"", job,
                 (unsigned long long)epoch);
        return;
    }
    entry = memory_new(sizeof *entry);
    text_copy(entry->job, sizeof entry->job, job);
    entry->epoch = epoch;
    entry->peer = *peer;
    buffer_init(&entry->message, MESSAGE_MAX_BYTES);
    if (message_encode(&entry->message, message) != 0) {
        entry_free(entry);
        return;
    }
    *link = entry;
    adoption->count++;
    if (!adoption->flying)
        loop_timer_set(adoption->timer, GATHER_MS);
}

/* A lease that is nobody's any more: whoever works on it stops, what it has written goes. */
static void entry_refuse(struct scheduler *scheduler, struct entry *entry, const struct message *message) {
    char *garbage;

    if (message->type == MESSAGE_PROGRESS) {
        workers_cancel(scheduler->workers, &entry->peer, entry->job, entry->epoch);
        return;
    }
    if (message->type != MESSAGE_RESULT)
        return;
    counter_add(COUNT_JOBS_STALE_RESULTS, 1);
    log_info("job=%s lease=%llu state=stale", entry->job, (unsigned long long)entry->epoch);
    garbage = finish_result_garbage(&message->result);
    if (garbage != NULL)
        garbage_add(scheduler->garbage, garbage);
}

static void entry_settle(struct adoption *adoption, struct entry *entry) {
    static struct message message; /* large */
    const char *error;

    if (message_decode(&message, entry->message.data, entry->message.size, &error) != 0)
        return;
    if (leases_find_epoch(adoption->scheduler->leases, entry->job, entry->epoch) == NULL)
        entry_refuse(adoption->scheduler, entry, &message);
    else
        dispatch_message(adoption->scheduler, &entry->peer, &message);
}

static void adoption_on_answer(void *context, const struct database_answer *answer) {
    struct adoption *adoption = context;
    struct entry **link = &adoption->first, *settled = NULL, *next;

    adoption->flying = false;
    if (answer->outcome != DATABASE_OK) {
        scheduler_log_answer("adopt", answer);
        loop_timer_set(adoption->timer, AGAIN_MS);
        return;
    }
    for (size_t row = 0; row < result_rows(answer->results[0]); row++) {
        struct lease *lease = leases_add(adoption->scheduler->leases, answer->results[0], row, LEASE_SENT);
        lease->confirmed = true;
        lease_free_input(lease);
        log_info("job=%s lease=%llu state=adopted trace=%s", lease->job, (unsigned long long)lease->epoch,
                 lease->trace);
    }
    while (*link != NULL) {
        struct entry *entry = *link;
        if (!entry->sent) {
            link = &entry->next;
            continue;
        }
        *link = entry->next;
        entry->next = settled;
        settled = entry;
        adoption->count--;
    }
    for (; settled != NULL; settled = next) {
        next = settled->next;
        entry_settle(adoption, settled);
        entry_free(settled);
    }
    if (adoption->first != NULL)
        loop_timer_set(adoption->timer, 0);
}

static void adoption_on_timer(void *context) {
    struct adoption *adoption = context;
    struct buffer jobs, epochs;
    struct query query = {.statement = &statements[STATEMENT_ADOPT],
                          .values = {adoption->scheduler->owner, adoption->scheduler->lease_text}};
    size_t count = 0;

    if (adoption->flying || adoption->first == NULL)
        return;
    buffer_init(&jobs, ARRAY_MAX);
    buffer_init(&epochs, ARRAY_MAX);
    for (struct entry *entry = adoption->first; entry != NULL && count < BATCH_MAX;
         entry = entry->next, count++) {
        (void)buffer_append_format(&jobs, "%c%s", count == 0 ? '{' : ',', entry->job);
        (void)buffer_append_format(&epochs, "%c%llu", count == 0 ? '{' : ',',
                                   (unsigned long long)entry->epoch);
        entry->sent = true;
    }
    (void)buffer_append_text(&jobs, "}");
    (void)buffer_append_text(&epochs, "}");
    query.values[2] = jobs.data;
    query.values[3] = epochs.data;
    adoption->flying = true;
    scheduler_run(adoption->scheduler, &query, 1, adoption_on_answer, adoption);
    buffer_clear(&jobs);
    buffer_clear(&epochs);
}

/* ---- rescue ---- */

size_t adoption_end_rescued(struct adoption *adoption, const struct database_result *result,
                            const char *code) {
    struct scheduler *scheduler = adoption->scheduler;
    size_t rows = result_rows(result);

    for (size_t row = 0; row < rows; row++) {
        struct lease *lease = leases_add(scheduler->leases, result, row, LEASE_ENDING);
        lease->rescued = true;
        log_warn("job=%s lease=%llu state=rescued reason=%s trace=%s", lease->job,
                 (unsigned long long)lease->epoch, code == NULL ? "unknown_claim" : code, lease->trace);
        if (code == NULL)
            finish_released(scheduler, lease, "unknown claim");
        else
            finish_lost(scheduler, lease, code);
    }
    return rows;
}

static void orphans_on_answer(void *context, const struct database_answer *answer) {
    struct adoption *adoption = context;

    if (answer->outcome != DATABASE_OK) {
        loop_timer_set(adoption->orphans, AGAIN_MS);
        return;
    }
    /* A full statement may have left some. */
    if (adoption_end_rescued(adoption, answer->results[0], "scheduler_lost") > 0)
        loop_timer_set(adoption->orphans, 0);
}

static void adoption_on_orphans(void *context) {
    struct adoption *adoption = context;
    struct query query = {.statement = &statements[STATEMENT_RESCUE_NODE],
                          .values = {adoption->scheduler->owner, adoption->scheduler->lease_text,
                                     adoption->scheduler->node_prefix}};

    /* First what the workers have named. */
    if (adoption->first != NULL || adoption->flying) {
        loop_timer_set(adoption->orphans, AGAIN_MS);
        return;
    }
    scheduler_run(adoption->scheduler, &query, 1, orphans_on_answer, adoption);
}

static void own_on_answer(void *context, const struct database_answer *answer) {
    struct adoption *adoption = context;

    adoption->own_flying = false;
    if (answer->outcome != DATABASE_OK) {
        loop_timer_set(adoption->own, AGAIN_MS);
        return;
    }
    adoption->own_wanted = adoption_end_rescued(adoption, answer->results[0], NULL) > 0;
    if (adoption->own_wanted)
        loop_timer_set(adoption->own, 0);
    else
        claims_wake(adoption->scheduler->claims);
}

static void adoption_on_own(void *context) {
    struct adoption *adoption = context;
    struct buffer known;
    struct query query = {.statement = &statements[STATEMENT_RESCUE_OWN],
                          .values = {adoption->scheduler->owner, adoption->scheduler->lease_text}};

    if (adoption->own_flying || !claims_are_settled(adoption->scheduler->claims)) {
        loop_timer_set(adoption->own, AGAIN_MS);
        return;
    }
    buffer_init(&known, 64 * ARRAY_MAX);
    (void)buffer_append_text(&known, "{");
    for (struct lease *lease = leases_first(adoption->scheduler->leases); lease != NULL; lease = lease->next)
        (void)buffer_append_format(&known, "%s%s", known.size == 1 ? "" : ",", lease->job);
    (void)buffer_append_text(&known, "}");
    query.values[2] = known.data;
    adoption->own_flying = true;
    scheduler_run(adoption->scheduler, &query, 1, own_on_answer, adoption);
    buffer_clear(&known);
}

void adoption_find_own(struct adoption *adoption) {
    adoption->own_wanted = true;
    loop_timer_set(adoption->own, 0);
}

bool adoption_allows_claims(const struct adoption *adoption) {
    return !adoption->own_wanted;
}

struct adoption *adoption_new(struct scheduler *scheduler) {
    struct adoption *adoption = memory_new(sizeof *adoption);

    adoption->scheduler = scheduler;
    adoption->timer = loop_timer_new(scheduler->loop, adoption_on_timer, adoption);
    adoption->orphans = loop_timer_new(scheduler->loop, adoption_on_orphans, adoption);
    adoption->own = loop_timer_new(scheduler->loop, adoption_on_own, adoption);
    loop_timer_set(adoption->orphans, ORPHANS_AFTER_MS);
    return adoption;
}

void adoption_free(struct adoption *adoption) {
    struct entry *next;

    if (adoption == NULL)
        return;
    for (struct entry *entry = adoption->first; entry != NULL; entry = next) {
        next = entry->next;
        entry_free(entry);
    }
    loop_timer_free(adoption->timer);
    loop_timer_free(adoption->orphans);
    loop_timer_free(adoption->own);
    free(adoption);
}
