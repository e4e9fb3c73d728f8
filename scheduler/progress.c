/* SPDX-License-Identifier: MIT
 * A quarter second gathers what has changed; one transaction writes it. Lost progress is not worth a retry:
 * the next one says more. */
#include "scheduler/progress.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/memory.h"
#include "scheduler/json_text.h"
#include "scheduler/workers.h"

#define GATHER_MS 250
#define EVERY_MS 1000
#define BATCH_MAX 256
#define ARRAY_MAX (256 * 1024)

struct progress {
    struct scheduler *scheduler;
    struct loop_timer *timer;
    bool armed, flying;
};

static void progress_arm(struct progress *progress) {
    if (progress->armed)
        return;
    progress->armed = true;
    loop_timer_set(progress->timer, GATHER_MS);
}

void progress_note(struct progress *progress, struct lease *lease, uint64_t done, uint64_t total) {
    if (lease->done == done && lease->total == total)
        return;
    lease->done = done;
    lease->total = total;
    lease->progress_dirty = true;
    progress_arm(progress);
}

static void progress_on_answer(void *context, const struct database_answer *answer) {
    struct progress *progress = context;

    progress->flying = false;
    if (answer->outcome != DATABASE_OK) {
        scheduler_log_answer("progress", answer);
        return;
    }
    for (size_t i = 1; i < answer->result_count; i++)
        workers_send_events(progress->scheduler->workers, answer->results[i]);
}

static void ids_add(struct buffer *ids, const char *id) {
    if (id[0] != '\0')
        (void)buffer_append_format(ids, "%c%s", ids->size == 0 ? '{' : ',', id);
}

static void progress_add(struct lease *lease, struct buffer *files, struct buffer *parents, struct buffer *rows) {
    ids_add(files, lease->file);
    if (strcmp(lease->file, lease->parent_file) != 0)
        ids_add(files, lease->parent_file);
    ids_add(parents, lease->parent);
    if (rows->size == 0)
        (void)json_open(rows, '[');
    (void)json_open(rows, '{');
    (void)json_member_text(rows, "job", lease->job);
    (void)json_member_number(rows, "epoch", (int64_t)lease->epoch);
    (void)json_member_number(rows, "done", (int64_t)lease->done);
    (void)json_member_number(rows, "total", (int64_t)lease->total);
    (void)json_close(rows, '}');
}

static void progress_on_timer(void *context) {
    struct progress *progress = context;
    struct scheduler *scheduler = progress->scheduler;
    int64_t now_ms = clock_monotonic_ms();
    struct buffer files, parents, rows;
    size_t count = 0;
    bool more = false;

    progress->armed = false;
    buffer_init(&files, ARRAY_MAX);
    buffer_init(&parents, ARRAY_MAX);
    buffer_init(&rows, ARRAY_MAX);
    for (struct lease *lease = leases_first(scheduler->leases); lease != NULL; lease = lease->next) {
        if (!lease->progress_dirty || lease->state != LEASE_SENT)
            continue;
        if (progress->flying || count == BATCH_MAX || now_ms - lease->progress_ms < EVERY_MS) {
            more = true;
            continue;
        }
        lease->progress_dirty = false;
        lease->progress_ms = now_ms;
        progress_add(lease, &files, &parents, &rows);
        count++;
    }
    if (count > 0) {
        struct query queries[] = {{.statement = &statements[STATEMENT_LOCK_FILES]},
                                  {.statement = &statements[STATEMENT_PROGRESS]},
                                  {.statement = &statements[STATEMENT_PARENT_PROGRESS]}};
        (void)buffer_append_text(&files, "}");
        (void)json_close(&rows, ']');
        queries[0].values[0] = files.data;
        queries[1].values[0] = rows.data;
        if (parents.size > 0)
            (void)buffer_append_text(&parents, "}");
        queries[2].values[0] = parents.data;
        progress->flying = true;
        scheduler_run(scheduler, queries, parents.size > 0 ? 3 : 2, progress_on_answer, progress);
    }
    buffer_clear(&files);
    buffer_clear(&parents);
    buffer_clear(&rows);
    if (more)
        progress_arm(progress);
}

struct progress *progress_new(struct scheduler *scheduler) {
    struct progress *progress = memory_new(sizeof *progress);

    progress->scheduler = scheduler;
    progress->timer = loop_timer_new(scheduler->loop, progress_on_timer, progress);
    return progress;
}

void progress_free(struct progress *progress) {
    if (progress == NULL)
        return;
    loop_timer_free(progress->timer);
    free(progress);
}
