/* SPDX-License-Identifier: MIT
 * Batches of ends. A batch goes out when it is full, after 5 ms, or at once when no other is under way. One
 * that the database refuses for its content is sent again end by end, and an end refused alone becomes a
 * plain failure. */
#include "scheduler/results.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "scheduler/claim.h"
#include "scheduler/garbage.h"
#include "scheduler/outbox.h"
#include "scheduler/workers.h"

#define FLUSH_DELAY_MS 5
#define AGAIN_DELAY_MS 200
#define FLIGHTS_MAX 2
#define BATCH_MAX 512
#define BATCH_BYTES_MAX (4 * 1024 * 1024)
#define ARRAY_MAX (16 * 1024 * 1024)

struct results {
    struct scheduler *scheduler;
    struct finish *first, *last;
    size_t waiting, flying;
    unsigned flights;
    size_t alone_left; /* a batch was refused: so many ends go one at a time */
    bool held;         /* the database was away: the timer decides */
    struct loop_timer *timer;
};

struct batch {
    struct results *results;
    struct finish *first;
    size_t count;
    size_t woken; /* index of the answer about parents; 0: there are none */
};

static void results_push(struct results *results, struct finish *finish) {
    finish->next = NULL;
    if (results->last == NULL)
        results->first = finish;
    else
        results->last->next = finish;
    results->last = finish;
    results->waiting++;
}

static struct finish *results_pop(struct results *results) {
    struct finish *finish = results->first;

    results->first = finish->next;
    if (results->first == NULL)
        results->last = NULL;
    results->waiting--;
    return finish;
}

static void results_schedule(struct results *results) {
    size_t batch = (size_t)results->scheduler->settings->batch;

    if (results->first == NULL || results->flights >= FLIGHTS_MAX || results->held)
        return;
    loop_timer_set(results->timer, results->flights == 0 || results->waiting >= batch ? 0 : FLUSH_DELAY_MS);
}

void results_add(struct results *results, struct finish *finish) {
    results_push(results, finish);
    /* The timer runs already for the ends before this one, unless this one fills the batch. */
    if (results->waiting == 1 || results->waiting == (size_t)results->scheduler->settings->batch)
        results_schedule(results);
}

size_t results_backlog(const struct results *results) {
    return results->waiting + results->flying;
}

/* ---- the answer ---- */

static const struct {
    const char *status;
    enum counter counter;
} ends[] = {
    {"done", COUNT_JOBS_DONE},       {"failed", COUNT_JOBS_FAILED}, {"retry", COUNT_JOBS_RETRIED},
    {"queued", COUNT_JOBS_REQUEUED}, {"waiting", COUNT_JOBS_SPLIT},
};

/* The ends of a batch in order of one of their texts, to be found by it. */
struct sorted {
    struct finish *ends[BATCH_MAX];
    size_t count;
    size_t field; /* offset of the text */
};

static const char *field_of(const struct finish *finish, size_t field) {
    return (const char *)finish + field;
}

static int by_job(const void *left, const void *right) {
    return strcmp((*(struct finish *const *)left)->job, (*(struct finish *const *)right)->job);
}

static int by_file(const void *left, const void *right) {
    return strcmp((*(struct finish *const *)left)->file, (*(struct finish *const *)right)->file);
}

static void sorted_fill(struct sorted *sorted, const struct batch *batch, size_t field,
                        int (*compare)(const void *, const void *)) {
    sorted->count = 0;
    sorted->field = field;
    for (struct finish *finish = batch->first; finish != NULL; finish = finish->next)
        sorted->ends[sorted->count++] = finish;
    qsort(sorted->ends, sorted->count, sizeof sorted->ends[0], compare);
}

/* The first whose text is this one; the end of the list when there is none. */
static size_t sorted_find(const struct sorted *sorted, const char *text) {
    size_t low = 0, high = sorted->count;

    while (text != NULL && low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(field_of(sorted->ends[middle], sorted->field), text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (text == NULL || low == sorted->count || strcmp(field_of(sorted->ends[low], sorted->field), text) != 0)
        return sorted->count;
    return low;
}

static void sorted_note_events(const struct sorted *files, const struct database_result *result) {
    for (size_t row = 0; row < result_rows(result); row++) {
        size_t at = sorted_find(files, result_text(result, row, "file"));
        uint64_t event = (uint64_t)result_number(result, row, "event");
        if (at < files->count && event > files->ends[at]->event)
            files->ends[at]->event = event;
    }
}

/* One EVENT per file, with its newest event. */
static void batch_send_events(const struct batch *batch, const struct database_answer *answer) {
    struct sorted files;

    sorted_fill(&files, batch, offsetof(struct finish, file), by_file);
    sorted_note_events(&files, answer->results[1]);
    sorted_note_events(&files, answer->results[answer->result_count - 1]);
    for (size_t i = 0; i < files.count; i++) {
        const struct finish *finish = files.ends[i];
        struct message event = {
            .type = MESSAGE_EVENT,
            .event = {.file = finish->file, .tenant = finish->tenant, .event = finish->event}};
        if (i == 0 || strcmp(files.ends[i - 1]->file, finish->file) != 0)
            workers_send_gateways(batch->results->scheduler->workers, &event);
    }
}

/* Files of parents, which need not be files of the batch. */
static void batch_send_woken(const struct batch *batch, const struct database_answer *answer) {
    const struct database_result *woken = answer->results[batch->woken];

    if (batch->woken == 0)
        return;
    workers_send_events(batch->results->scheduler->workers, woken);
    if (result_rows(woken) > 0)
        claims_due_in(batch->results->scheduler->claims, 0);
}

static void batch_note_accepted(const struct batch *batch, const struct database_result *ended) {
    struct sorted jobs;

    sorted_fill(&jobs, batch, offsetof(struct finish, job), by_job);
    for (size_t row = 0; row < result_rows(ended); row++) {
        const char *job = result_text(ended, row, "job");
        for (size_t at = sorted_find(&jobs, job); at < jobs.count && strcmp(jobs.ends[at]->job, job) == 0;
             at++)
            jobs.ends[at]->accepted = true;
    }
}

static void finish_accepted(struct scheduler *scheduler, const struct finish *finish) {
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (strcmp(ends[i].status, finish->status) == 0)
            counter_add(ends[i].counter, 1);
    counter_observe(COUNT_JOB_COMMIT, (uint64_t)(clock_monotonic_us() - finish->begun_us));
    if (finish->quarantined) {
        counter_add(COUNT_JOBS_QUARANTINED, 1);
        log_warn("job=%s type=%s state=quarantined trace=%s", finish->job, finish->type, finish->trace);
    }
    if (finish->delay_ms >= 0)
        claims_due_in(scheduler->claims, finish->delay_ms);
}

static void finish_stale(struct scheduler *scheduler, struct finish *finish) {
    counter_add(finish->released ? COUNT_JOBS_CANCELLED : COUNT_JOBS_STALE_RESULTS, 1);
    log_info("job=%s lease=%llu state=stale trace=%s", finish->job, (unsigned long long)finish->epoch,
             finish->trace);
    if (finish->stale_garbage != NULL)
        garbage_add(scheduler->garbage, finish->stale_garbage);
    finish->stale_garbage = NULL;
}

static void batch_accept(struct batch *batch, const struct database_answer *answer) {
    struct scheduler *scheduler = batch->results->scheduler;
    struct finish *next;

    batch_note_accepted(batch, answer->results[1]);
    batch_send_events(batch, answer);
    batch_send_woken(batch, answer);
    for (struct finish *finish = batch->first; finish != NULL; finish = next) {
        struct lease *lease = leases_find_epoch(scheduler->leases, finish->job, finish->epoch);
        next = finish->next;
        if (finish->accepted)
            finish_accepted(scheduler, finish);
        else
            finish_stale(scheduler, finish);
        if (lease != NULL && lease->state == LEASE_ENDING)
            leases_remove(scheduler->leases, lease);
        finish_free(finish);
    }
    batch->first = NULL;
}

/* Back to the head of the line, in order. */
static void batch_return(struct batch *batch) {
    struct results *results = batch->results;
    struct finish *last = batch->first;

    if (last == NULL)
        return;
    while (last->next != NULL)
        last = last->next;
    last->next = results->first;
    results->first = batch->first;
    if (results->last == NULL)
        results->last = last;
    results->waiting += batch->count;
    batch->first = NULL;
}

/* Data exceptions and violated constraints are the content's fault; anything else may pass. */
static bool is_content_fault(const struct database_answer *answer) {
    return answer->outcome == DATABASE_REFUSED &&
           (strncmp(answer->sqlstate, "22", 2) == 0 || strncmp(answer->sqlstate, "23", 2) == 0);
}

static void batch_on_answer(void *context, const struct database_answer *answer) {
    struct batch *batch = context;
    struct results *results = batch->results;

    results->flights--;
    results->flying -= batch->count;
    if (answer->outcome == DATABASE_OK) {
        batch_accept(batch, answer);
        outbox_wake(results->scheduler->outbox);
        results->alone_left -= batch->count < results->alone_left ? batch->count : results->alone_left;
    } else if (is_content_fault(answer)) {
        scheduler_log_answer("finish", answer);
        if (batch->count == 1)
            finish_make_plain(batch->first);
        results->alone_left = results->alone_left > batch->count ? results->alone_left : batch->count;
        batch_return(batch);
    } else {
        scheduler_log_answer("finish", answer);
        batch_return(batch);
        results->held = true;
        loop_timer_set(results->timer, AGAIN_DELAY_MS);
    }
    free(batch);
    results_schedule(results);
    claims_wake(results->scheduler->claims);
}

/* ---- sending ---- */

/* JSON arrays in the order of their statements; then lists of ids. */
enum array { ENDS, SPLITS, OUTPUTS, PARTS, FOLLOWERS, CALLS, HASHES, CRASHES, GARBAGE, ARRAY_COUNT };

static const struct {
    enum statement_name statement;
    size_t element; /* offset in a finish */
} array_rows[ARRAY_COUNT] = {
    [ENDS] = {STATEMENT_FINISH_JOBS, offsetof(struct finish, end)},
    [SPLITS] = {STATEMENT_SPLIT, offsetof(struct finish, split)},
    [OUTPUTS] = {STATEMENT_DERIVATIVES, offsetof(struct finish, outputs)},
    [PARTS] = {STATEMENT_PARTS, offsetof(struct finish, parts)},
    [FOLLOWERS] = {STATEMENT_FOLLOW, offsetof(struct finish, followers)},
    [CALLS] = {STATEMENT_CALLS, offsetof(struct finish, calls)},
    [HASHES] = {STATEMENT_HASHES, offsetof(struct finish, hash)},
    [CRASHES] = {STATEMENT_CRASHES, offsetof(struct finish, crash)},
    [GARBAGE] = {STATEMENT_GARBAGE, offsetof(struct finish, garbage)},
};

struct arrays {
    struct buffer files, parents, joiners;
    struct buffer lists[ARRAY_COUNT];
};

static const char *element_of(const struct finish *finish, enum array array) {
    const char *element;

    memcpy(&element, (const char *)finish + array_rows[array].element, sizeof element);
    return element;
}

static void array_add(struct buffer *array, const char *element) {
    if (element == NULL)
        return;
    if (buffer_append_text(array, array->size == 0 ? "[" : ",") != 0 ||
        buffer_append_text(array, element) != 0)
        fatal("event=batch_too_large"); /* the batch is bounded in bytes before it comes here */
}

static size_t finish_size(const struct finish *finish) {
    size_t size = 0;

    for (enum array array = 0; array < ARRAY_COUNT; array++)
        size += element_of(finish, array) == NULL ? 0 : strlen(element_of(finish, array));
    return size;
}

static struct batch *results_take(struct results *results) {
    struct batch *batch = memory_new(sizeof *batch);
    struct finish *last = NULL;
    size_t most = results->alone_left > 0 ? 1 : (size_t)results->scheduler->settings->batch;
    size_t bytes = 0;

    if (most > BATCH_MAX)
        most = BATCH_MAX;
    batch->results = results;
    while (results->first != NULL && batch->count < most && bytes < BATCH_BYTES_MAX) {
        struct finish *finish = results_pop(results);
        bytes += finish_size(finish);
        finish->next = NULL;
        if (last == NULL)
            batch->first = finish;
        else
            last->next = finish;
        last = finish;
        batch->count++;
    }
    return batch;
}

/* The text of a Postgres array, kept open until it is used. */
static void ids_add(struct buffer *ids, const char *id) {
    if (id[0] != '\0')
        (void)buffer_append_format(ids, "%c%s", ids->size == 0 ? '{' : ',', id);
}

static void arrays_fill(struct arrays *arrays, const struct batch *batch) {
    const struct finish *last = NULL;

    buffer_init(&arrays->files, ARRAY_MAX);
    buffer_init(&arrays->parents, ARRAY_MAX);
    buffer_init(&arrays->joiners, ARRAY_MAX);
    for (enum array array = 0; array < ARRAY_COUNT; array++)
        buffer_init(&arrays->lists[array], ARRAY_MAX);
    for (const struct finish *finish = batch->first; finish != NULL; finish = finish->next) {
        if (last == NULL || strcmp(last->file, finish->file) != 0)
            ids_add(&arrays->files, finish->file);
        if (strcmp(finish->file, finish->parent_file) != 0)
            ids_add(&arrays->files, finish->parent_file);
        ids_add(&arrays->parents, finish->parent);
        if (finish->joins)
            ids_add(&arrays->joiners, finish->job);
        last = finish;
        for (enum array array = 0; array < ARRAY_COUNT; array++)
            array_add(&arrays->lists[array], element_of(finish, array));
    }
    (void)buffer_append_text(&arrays->files, "}");
}

static void arrays_clear(struct arrays *arrays) {
    buffer_clear(&arrays->files);
    buffer_clear(&arrays->parents);
    buffer_clear(&arrays->joiners);
    for (enum array array = 0; array < ARRAY_COUNT; array++)
        buffer_clear(&arrays->lists[array]);
}

static void query_ids(struct query *queries, size_t *count, enum statement_name name, struct buffer *ids) {
    if (ids->size == 0)
        return;
    if (ids->data[ids->size - 1] != '}')
        (void)buffer_append_text(ids, "}");
    queries[(*count)++] = (struct query){.statement = &statements[name], .values = {ids->data}};
}

static void batch_send(struct batch *batch) {
    struct arrays arrays;
    struct query queries[ARRAY_COUNT + 6];
    size_t count = 0;

    arrays_fill(&arrays, batch);
    query_ids(queries, &count, STATEMENT_LOCK_FILES, &arrays.files);
    for (enum array array = 0; array < ARRAY_COUNT; array++) {
        struct buffer *list = &arrays.lists[array];
        if (list->size == 0)
            continue;
        (void)buffer_append_text(list, "]");
        queries[count++] =
            (struct query){.statement = &statements[array_rows[array].statement], .values = {list->data}};
    }
    if (batch->results->scheduler->settings->credits)
        queries[count++] =
            (struct query){.statement = &statements[STATEMENT_USAGE], .values = {arrays.lists[ENDS].data}};
    query_ids(queries, &count, STATEMENT_DROP_PARTS, &arrays.joiners);
    query_ids(queries, &count, STATEMENT_PARENT_PROGRESS, &arrays.parents);
    batch->woken = arrays.parents.size == 0 ? 0 : count;
    query_ids(queries, &count, STATEMENT_WAKE_PARENTS, &arrays.parents);
    query_ids(queries, &count, STATEMENT_REFRESH_FILES, &arrays.files);
    scheduler_run(batch->results->scheduler, queries, count, batch_on_answer, batch);
    arrays_clear(&arrays);
}

static void results_flush(struct results *results) {
    while (results->first != NULL && results->flights < FLIGHTS_MAX) {
        struct batch *batch = results_take(results);
        results->flights++;
        results->flying += batch->count;
        batch_send(batch);
    }
}

static void results_on_timer(void *context) {
    struct results *results = context;

    results->held = false;
    results_flush(results);
}

struct results *results_new(struct scheduler *scheduler) {
    struct results *results = memory_new(sizeof *results);

    results->scheduler = scheduler;
    results->timer = loop_timer_new(scheduler->loop, results_on_timer, results);
    return results;
}

void results_free(struct results *results) {
    if (results == NULL)
        return;
    while (results->first != NULL)
        finish_free(results_pop(results));
    loop_timer_free(results->timer);
    free(results);
}
