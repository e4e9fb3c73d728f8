/* SPDX-License-Identifier: MIT
 * A hash table of leases by job, and a list of them in order of age. */
#include "scheduler/lease.h"

#include <stdlib.h>
#include <string.h>

#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "scheduler/remember.h"
#include "scheduler/usage.h"
#include "scheduler/workers.h"
#include "storage/keys.h"
#include "storage/portal_paths.h"

#define BUCKETS 4096

struct ready {
    struct lease *first, *last;
    size_t count;
};

struct leases {
    struct scheduler *scheduler;
    struct lease *buckets[BUCKETS];
    struct lease *first, *last;
    size_t count;
    struct ready ready[CLASS_COUNT];
};

/* Jobs' ids are ours and random: no flooding. */
static size_t bucket_of(const char *job) {
    return text_hash(job, 0) % BUCKETS;
}

struct leases *leases_new(struct scheduler *scheduler) {
    struct leases *leases = memory_new(sizeof *leases);

    leases->scheduler = scheduler;
    scheduler->usage = usage_new(scheduler);
    return leases;
}

void leases_free(struct leases *leases) {
    if (leases == NULL)
        return;
    while (leases->first != NULL)
        leases_remove(leases, leases->first);
    usage_free(leases->scheduler->usage);
    free(leases);
}

static char *take_field(const struct database_result *result, size_t row, const char *column) {
    const char *text = result_text(result, row, column);

    return text == NULL ? NULL : memory_copy_text(text);
}

bool lease_publishes(const struct lease *lease) {
    return lease->processor != NULL && lease->processor->output_count > 0 &&
           lease->processor->outputs[0].place == PLACE_PUBLISHED;
}

static void lease_fill(struct lease *lease, const struct database_result *result, size_t row,
                       const struct settings *settings) {
    int64_t own_crashes = result_number(result, row, "crashes");
    int64_t bytes_crashes = result_number(result, row, "bytes_crashes");
    const char *status = result_text(result, row, "file_status");
    const char *type = result_text(result, row, "type");

    result_copy(lease->job, sizeof lease->job, result, row, "job");
    result_copy(lease->file, sizeof lease->file, result, row, "file");
    result_copy(lease->tenant, sizeof lease->tenant, result, row, "tenant");
    result_copy(lease->owner, sizeof lease->owner, result, row, "owner");
    result_copy(lease->trace, sizeof lease->trace, result, row, "trace");
    result_copy(lease->sha256, sizeof lease->sha256, result, row, "sha256");
    text_copy(lease->type, sizeof lease->type, type); /* cut when it is no name of ours */
    lease->processor = processor_find(type);
    lease->class = processor_class(lease->processor, settings);
    lease->epoch = (uint64_t)result_number(result, row, "epoch");
    lease->generation = result_number(result, row, "generation");
    lease->planned = result_bool(result, row, "planned");
    lease->attempts = result_number(result, row, "attempts");
    lease->max_attempts = result_number(result, row, "max_attempts");
    if (lease->max_attempts <= 0 && lease->processor != NULL && lease_publishes(lease))
        lease->max_attempts = settings->publish_attempts;
    if (lease->max_attempts <= 0 && lease->processor != NULL)
        lease->max_attempts = (int64_t)lease->processor->max_attempts;
    if (lease->max_attempts <= 0)
        lease->max_attempts = settings->max_attempts;
    lease->crashes = own_crashes > bytes_crashes ? own_crashes : bytes_crashes;
    lease->file_gone = status != NULL && (strcmp(status, "deleted") == 0 || strcmp(status, "uploading") == 0);
    result_copy(lease->parent, sizeof lease->parent, result, row, "parent");
    result_copy(lease->parent_file, sizeof lease->parent_file, result, row, "parent_file");
    lease->joins = result_bool(result, row, "joins");
    lease->is_range = result_bool(result, row, "is_range");
    lease->derived = result_bool(result, row, "derived");
    if (lease->is_range)
        lease->crashes = own_crashes; /* one bad range of a document says nothing of the others */
    lease->parts = take_field(result, row, "parts");
    lease->seal = take_field(result, row, "seal");
    lease->seals = settings->encryption_key != NULL || settings->encryption_keys_file != NULL;
    lease->key = take_field(result, row, "key");
    lease->outside = lease->key != NULL && key_source(lease->key) != NULL;
    lease->mime = take_field(result, row, "mime");
    lease->etag = take_field(result, row, "etag");
    lease->payload = take_field(result, row, "payload");
    lease->size_bytes = result_number(result, row, "size_bytes");
    lease->created_ms = result_number(result, row, "created_ms");
}

static void leases_link(struct leases *leases, struct lease *lease) {
    size_t bucket = bucket_of(lease->job);

    lease->next_in_bucket = leases->buckets[bucket];
    leases->buckets[bucket] = lease;
    lease->previous = leases->last;
    if (leases->last != NULL)
        leases->last->next = lease;
    else
        leases->first = lease;
    leases->last = lease;
    usage_hold(leases->scheduler->usage, lease);
    counter_set(COUNT_QUEUE_RUNNING, ++leases->count);
}

struct lease *leases_add(struct leases *leases, const struct database_result *result, size_t row,
                         enum lease_state state) {
    struct lease *lease = memory_new(sizeof *lease);
    struct lease *older;

    lease_fill(lease, result, row, leases->scheduler->settings);
    lease->state = state;
    older = leases_find(leases, lease->job);
    if (older != NULL) {
        workers_forget_lease(leases->scheduler->workers, older);
        leases_remove(leases, older);
    }
    leases_link(leases, lease);
    return lease;
}

struct lease *leases_find(struct leases *leases, const char *job) {
    struct lease *lease = leases->buckets[bucket_of(job)];

    while (lease != NULL && strcmp(lease->job, job) != 0)
        lease = lease->next_in_bucket;
    return lease;
}

struct lease *leases_find_epoch(struct leases *leases, const char *job, uint64_t epoch) {
    struct lease *lease = leases_find(leases, job);

    return lease != NULL && lease->epoch == epoch ? lease : NULL;
}

void lease_free_input(struct lease *lease) {
    free(lease->key);
    free(lease->mime);
    free(lease->etag);
    free(lease->payload);
    free(lease->parts);
    free(lease->seal);
    lease->parts = lease->seal = NULL;
    lease->key = lease->mime = lease->etag = lease->payload = NULL;
}

/* ---- ready ---- */

void leases_push_ready(struct leases *leases, struct lease *lease) {
    struct ready *ready = &leases->ready[lease->class];

    lease->state = LEASE_READY;
    lease->next_ready = NULL;
    if (ready->last != NULL)
        ready->last->next_ready = lease;
    else
        ready->first = lease;
    ready->last = lease;
    ready->count++;
}

struct lease *leases_first_ready(const struct leases *leases, enum processor_class class) {
    return leases->ready[class].first;
}

void leases_pop_ready(struct leases *leases, enum processor_class class) {
    struct ready *ready = &leases->ready[class];

    ready->first = ready->first->next_ready;
    if (ready->first == NULL)
        ready->last = NULL;
    ready->count--;
}

size_t leases_ready_count(const struct leases *leases, enum processor_class class) {
    return leases->ready[class].count;
}

static void leases_drop_ready(struct leases *leases, const struct lease *lease) {
    struct ready *ready = &leases->ready[lease->class];
    struct lease *before = NULL;

    for (struct lease *at = ready->first; at != NULL; before = at, at = at->next_ready) {
        if (at != lease)
            continue;
        if (before == NULL) {
            leases_pop_ready(leases, lease->class);
            return;
        }
        before->next_ready = at->next_ready;
        if (ready->last == at)
            ready->last = before;
        ready->count--;
        return;
    }
}

void leases_remove(struct leases *leases, struct lease *lease) {
    struct lease **link = &leases->buckets[bucket_of(lease->job)];

    if (lease->state == LEASE_READY)
        leases_drop_ready(leases, lease);

    while (*link != lease)
        link = &(*link)->next_in_bucket;
    *link = lease->next_in_bucket;
    if (lease->previous != NULL)
        lease->previous->next = lease->next;
    else
        leases->first = lease->next;
    if (lease->next != NULL)
        lease->next->previous = lease->previous;
    else
        leases->last = lease->previous;
    usage_release(leases->scheduler->usage, lease);
    counter_set(COUNT_QUEUE_RUNNING, --leases->count);
    lease_free_input(lease);
    remembered_free(lease->remembered);
    free(lease);
}

struct lease *leases_first(const struct leases *leases) {
    return leases->first;
}

size_t leases_count(const struct leases *leases) {
    return leases->count;
}

#define EXPORT_CLASS "wordlist-exports" /* of sql/migrations/0048_retention.sql */

/* Where document portals look: each lease of a job has names of its own. */
static int lease_portal_path(char *target, const struct lease *lease, const struct processor_output *output,
                             uint64_t epoch) {
    char document[UUID_TEXT_SIZE], name[96];
    unsigned long long later = epoch > 1 ? (unsigned long long)(epoch - 1) : 0;
    int cut;

    portal_document_of(document, lease->job, epoch);
    if (output->place == PLACE_MASTER)
        return portal_path_master(target, KEY_MAX, lease->owner, document);
    if (output->place == PLACE_STAMPED_OUTPUT)
        cut = text_format(name, sizeof name, "%llu_%s.%s", (unsigned long long)lease->created_ms + later,
                          output->kind, output->extension);
    else if (later == 0)
        cut = text_format(name, sizeof name, "%s.%s", output->kind, output->extension);
    else
        cut = text_format(name, sizeof name, "%s-%llu.%s", output->kind, later, output->extension);
    return cut != 0 ? -1 : portal_path_output(target, KEY_MAX, lease->owner, lease->job, name);
}

int lease_key(char *target, const struct lease *lease, const struct processor_output *output,
              uint64_t epoch) {
    const struct key_parts parts = {.tenant = lease->tenant,
                                    .file = lease->file,
                                    .kind = output->kind,
                                    .extension = output->extension,
                                    .job = lease->job,
                                    .epoch = epoch,
                                    .first = output->place != PLACE_PUBLISHED && lease->generation == 0 &&
                                             epoch == 1 && lease->planned && !lease->is_range,
                                    .published = output->place == PLACE_PUBLISHED};

    if (output->place == PLACE_EXPORT)
        return key_retained_output(target, KEY_MAX, EXPORT_CLASS, lease->owner, &parts);
    return output->place == PLACE_DERIVED || output->place == PLACE_PUBLISHED
               ? key_derivative(target, KEY_MAX, &parts)
               : lease_portal_path(target, lease, output, epoch);
}

int lease_sealed_key(char *target, const struct lease *lease, const struct processor_output *output,
                     uint64_t epoch) {
    size_t size;

    if (lease_key(target, lease, output, epoch) != 0)
        return -1;
    size = strlen(target);
    return text_ends_with(target, ".enc") ? 0 : text_copy(target + size, KEY_MAX - size, ".enc");
}
