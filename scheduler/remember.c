/* SPDX-License-Identifier: MIT
 * Looking for results made before; see remember.h. Between the look and the copy the old object may go: then the worker
 * says so, the old job is struck from memory, and this one is leased again and runs. */
#include "scheduler/remember.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "scheduler/finish.h"
#include "scheduler/tasks.h"
#include "scheduler/workers.h"

struct look {
    struct scheduler *scheduler;
    char job[37];
    uint64_t epoch;
};

void remembered_free(struct remembered *remembered) {
    if (remembered == NULL)
        return;
    for (size_t i = 0; i < remembered->count; i++) {
        free(remembered->outputs[i].key);
        free(remembered->outputs[i].metadata);
        free(remembered->outputs[i].seal);
    }
    free(remembered->metrics);
    free(remembered);
}

static const struct processor_output *find_output(const struct processor_row *processor, const char *kind) {
    for (size_t i = 0; kind != NULL && i < processor->output_count; i++)
        if (strcmp(processor->outputs[i].kind, kind) == 0)
            return &processor->outputs[i];
    return NULL;
}

static bool take_output(const struct lease *lease, const struct database_result *result, size_t row,
                        struct remembered *remembered) {
    const char *key = result_text(result, row, "key");
    const char *sha256 = result_text(result, row, "sha256");
    const char *metadata = result_text(result, row, "metadata");
    const char *seal = result_text(result, row, "seal");
    struct remembered_output *output = &remembered->outputs[row];

    output->row = find_output(lease->processor, result_text(result, row, "kind"));
    if (output->row == NULL || key == NULL || sha256 == NULL ||
        text_copy(output->sha256, sizeof output->sha256, sha256) != 0)
        return false;
    output->size_bytes = (uint64_t)result_number(result, row, "size_bytes");
    output->key = memory_copy_text(key);
    output->metadata = memory_copy_text(metadata == NULL ? "" : metadata);
    output->seal = seal == NULL ? NULL : memory_copy_text(seal);
    remembered->count++;
    return true;
}

/* NULL unless all that the old job made is still there. */
static struct remembered *take_rows(const struct lease *lease, const struct database_result *result) {
    size_t rows = result_rows(result);
    struct remembered *remembered;
    const char *metrics;

    if (rows == 0 || rows > MESSAGE_MAX_OUTPUTS || result_number(result, 0, "outputs") != (int64_t)rows)
        return NULL;
    remembered = memory_new(sizeof *remembered);
    result_copy(remembered->source, sizeof remembered->source, result, 0, "source");
    metrics = result_text(result, 0, "metrics");
    remembered->metrics = metrics == NULL ? NULL : memory_copy_text(metrics);
    for (size_t row = 0; row < rows; row++) {
        if (!take_output(lease, result, row, remembered)) {
            remembered_free(remembered);
            return NULL;
        }
    }
    return remembered;
}

static void on_answer(void *context, const struct database_answer *answer) {
    struct look *look = context;
    struct scheduler *scheduler = look->scheduler;
    struct lease *lease = leases_find_epoch(scheduler->leases, look->job, look->epoch);

    free(look);
    if (lease == NULL)
        return;
    if (answer->outcome == DATABASE_OK)
        lease->remembered = take_rows(lease, answer->results[0]);
    else
        scheduler_log_answer("remembered", answer);
    if (scheduler->draining) {
        finish_released(scheduler, lease, "drain");
        return;
    }
    leases_push_ready(scheduler->leases, lease);
    tasks_dispatch(scheduler);
}

/* A reprocess asks for results made anew. */
static bool is_eligible(const struct scheduler *scheduler, const struct lease *lease) {
    return scheduler->settings->remember_results && lease->sha256[0] != '\0' && lease->generation == 0 &&
           lease->processor->output_count > 0 && !lease->joins && !lease->is_range && lease->remembered == NULL &&
           !lease_publishes(lease) &&
           (lease->derived || (lease->etag != NULL && lease->etag[0] != '\0'));
}

bool remember_look(struct scheduler *scheduler, struct lease *lease) {
    struct query query = {
        .statement = &statements[lease->derived ? STATEMENT_REMEMBERED_DERIVED : STATEMENT_REMEMBERED]};
    char maker[MESSAGE_ENGINES_SIZE], size[24];
    struct look *look;

    if (!is_eligible(scheduler, lease))
        return false;
    workers_maker(scheduler->workers, NULL, lease->type, maker);
    if (maker[0] == '\0')
        return false;
    text_format(size, sizeof size, "%" PRId64, lease->size_bytes);
    query.values[0] = lease->tenant;
    query.values[1] = lease->type;
    query.values[2] = maker;
    query.values[3] = lease->payload == NULL ? "{}" : lease->payload;
    query.values[4] = lease->sha256;
    if (!lease->derived) {
        query.values[5] = lease->etag;
        query.values[6] = size;
    }
    look = memory_new(sizeof *look);
    *look = (struct look){.scheduler = scheduler, .epoch = lease->epoch};
    text_copy(look->job, sizeof look->job, lease->job);
    scheduler_run(scheduler, &query, 1, on_answer, look);
    return true;
}

bool remembered_is(const struct remembered *remembered, const struct message_result *result) {
    if (result->output_count != remembered->count)
        return false;
    for (size_t i = 0; i < remembered->count; i++)
        if (strcmp(remembered->outputs[i].row->kind, result->outputs[i].kind) != 0 ||
            strcmp(remembered->outputs[i].sha256, result->outputs[i].sha256) != 0)
            return false;
    return true;
}

static void on_forgotten(void *context, const struct database_answer *answer) {
    if (answer->outcome != DATABASE_OK)
        scheduler_log_answer("forget", answer);
}

void remember_forget(struct scheduler *scheduler, const struct remembered *remembered) {
    const struct query query = {.statement = &statements[STATEMENT_FORGET], .values = {remembered->source}};

    log_info("source=%s state=forgotten", remembered->source);
    scheduler_run(scheduler, &query, 1, on_forgotten, NULL);
}
