/* SPDX-License-Identifier: MIT
 * Decisions about an ended lease, written down as the JSON that the statements take. */
#include "scheduler/finish.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "proto/catalog.h"
#include "scheduler/children.h"
#include "scheduler/json_text.h"
#include "scheduler/publish.h"
#include "scheduler/remember.h"
#include "scheduler/results.h"
#include "scheduler/usage.h"
#include "scheduler/workers.h"
#include "storage/keys.h"

#define ELEMENT_MAX (512 * 1024)
#define GARBAGE_DELAY_MS ((int64_t)(TASK_URL_SECONDS + 60) * 1000)
#define OVERLOAD_DELAY_MS 100

/* What the end of a lease says, before it is JSON. */
struct ending {
    const char *status;
    bool failed, crashed;
    int64_t delay_ms; /* -1: none */
    const char *code, *detail, *stage;
    const struct message_result *result; /* DONE only */
    const struct message_result *usage;  /* what the attempt took; NULL: not known, or nobody keeps it */
    const char *maker;                   /* of its outputs: workers_maker; "" unknown */
    const char *input_sha256;
    const char *copied_from; /* the job that made them; NULL: this one */
    const struct scheduler *publisher;   /* of published outputs; else NULL */
    bool memorable;          /* may be copied in its turn */
};

/* All but the garbage, which is a fact however the job ends. */
static void clear_elements(struct finish *finish) {
    char **const elements[] = {&finish->end,       &finish->split, &finish->outputs, &finish->parts,
                               &finish->followers, &finish->calls, &finish->hash,    &finish->crash};

    for (size_t i = 0; i < sizeof elements / sizeof elements[0]; i++) {
        free(*elements[i]);
        *elements[i] = NULL;
    }
}

void finish_free(struct finish *finish) {
    if (finish == NULL)
        return;
    clear_elements(finish);
    free(finish->garbage);
    free(finish->stale_garbage);
    free(finish);
}

static struct finish *finish_new(const struct lease *lease) {
    struct finish *finish = memory_new(sizeof *finish);

    text_copy(finish->job, sizeof finish->job, lease->job);
    text_copy(finish->file, sizeof finish->file, lease->file);
    text_copy(finish->tenant, sizeof finish->tenant, lease->tenant);
    text_copy(finish->type, sizeof finish->type, lease->type);
    text_copy(finish->trace, sizeof finish->trace, lease->trace);
    text_copy(finish->parent, sizeof finish->parent, lease->parent);
    text_copy(finish->parent_file, sizeof finish->parent_file, lease->parent_file);
    finish->joins = lease->joins;
    finish->epoch = lease->epoch;
    finish->begun_us = clock_monotonic_us();
    finish->delay_ms = -1;
    return finish;
}

/* ---- the job's row ---- */

/* What the outputs come from; the database adds the parameters. */
static int append_provenance(struct buffer *buffer, const struct finish *finish,
                             const struct ending *ending) {
    const struct catalog_row *row = catalog_find(finish->type);
    size_t version = strcspn(ending->maker, " ");
    const char *engines = ending->maker[version] == ' ' ? ending->maker + version + 1 : NULL;
    int broken = json_name(buffer, "provenance") | json_open(buffer, '{');

    broken |= json_member_text(buffer, "input_sha256", ending->input_sha256);
    broken |= json_member_text(buffer, "processor", finish->type);
    broken |= json_member_number(buffer, "version", row == NULL ? 1 : (int64_t)row->version);
    broken |= json_member_text(buffer, "engines", engines);
    broken |= json_member_number(buffer, "outputs", (int64_t)ending->result->output_count);
    broken |= json_member_number(buffer, "cpu_ms", (int64_t)ending->result->cpu_ms);
    broken |= json_member_number(buffer, "peak_memory_bytes", (int64_t)ending->result->peak_rss_bytes);
    broken |= json_member_text(buffer, "copied_from", ending->copied_from);
    return broken | json_close(buffer, '}');
}

/* The result column of a done job. */
static int append_success(struct buffer *buffer, const struct finish *finish, const struct ending *ending) {
    const struct message_result *result = ending->result;
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = {{"cpu_ms", result->cpu_ms},          {"peak_rss_bytes", result->peak_rss_bytes},
                   {"fetch_ms", result->fetch_ms},      {"parse_ms", result->parse_ms},
                   {"store_ms", result->store_ms},      {"pages", result->pages},
                   {"input_bytes", result->input_bytes}};
    uint64_t bytes = 0;
    int broken = json_open(buffer, '{');

    broken |= json_name(buffer, "ok") | buffer_append_text(buffer, "true");
    if (result->output_count > 0)
        broken |= json_member_text(buffer, "derived_key", result->outputs[0].key);
    for (size_t i = 0; i < result->output_count; i++)
        bytes += result->outputs[i].size_bytes;
    broken |= json_member_number(buffer, "bytes", (int64_t)bytes);
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        if (figures[i].value > 0)
            broken |= json_member_number(buffer, figures[i].name, (int64_t)figures[i].value);
    if (ending->publisher != NULL)
        broken |= published_append_urls(buffer, ending->publisher, result);
    if (result->output_count > 0)
        broken |= append_provenance(buffer, finish, ending);
    return broken | json_close(buffer, '}');
}

/* What the attempt took, for cpu_usage. */
static int append_usage(struct buffer *buffer, const struct message_result *usage) {
    int broken = json_name(buffer, "usage") | json_open(buffer, '{');

    broken |= json_member_number(buffer, "cpu", (int64_t)usage->cpu_ms);
    broken |= json_member_number(buffer, "fetch", (int64_t)usage->fetch_ms);
    broken |= json_member_number(buffer, "parse", (int64_t)usage->parse_ms);
    broken |= json_member_number(buffer, "store", (int64_t)usage->store_ms);
    return broken | json_close(buffer, '}');
}

static char *write_end(const struct finish *finish, const struct ending *ending) {
    struct buffer buffer;
    int broken;

    buffer_init(&buffer, ELEMENT_MAX);
    broken = json_open(&buffer, '{');
    broken |= json_member_text(&buffer, "job", finish->job);
    broken |= json_member_number(&buffer, "epoch", (int64_t)finish->epoch);
    broken |= json_member_text(&buffer, "status", ending->status);
    broken |= json_member_number(&buffer, "failed", ending->failed ? 1 : 0);
    broken |= json_member_number(&buffer, "crashed", ending->crashed ? 1 : 0);
    if (ending->delay_ms >= 0)
        broken |= json_member_number(&buffer, "delay", ending->delay_ms);
    broken |= json_member_text(&buffer, "code", ending->code);
    broken |= json_member_text(&buffer, "detail", ending->detail);
    broken |= json_member_text(&buffer, "stage", ending->stage);
    if (ending->result != NULL) {
        broken |= json_name(&buffer, "result") | append_success(&buffer, finish, ending);
        if (ending->memorable) {
            broken |= json_member_text(&buffer, "maker", ending->maker);
            broken |= json_member_text(&buffer, "input", ending->input_sha256);
        }
        broken |= json_member_text(&buffer, "metrics", ending->result->metrics);
    }
    if (ending->usage != NULL)
        broken |= append_usage(&buffer, ending->usage);
    broken |= json_close(&buffer, '}');
    return json_take(&buffer, broken);
}

/* ---- outputs, garbage, hash, crash ---- */

/* The row of an output that is this lease's, else NULL. */
static const struct processor_output *find_own(const struct lease *lease,
                                               const struct message_output *output) {
    bool sealed = output->seal[0] != '\0';
    char key[KEY_MAX];

    for (size_t i = 0; i < lease->processor->output_count; i++) {
        const struct processor_output *row = &lease->processor->outputs[i];
        if (strcmp(row->kind, output->kind) != 0)
            continue;
        if ((sealed ? lease_sealed_key : lease_key)(key, lease, row, lease->epoch) != 0)
            return NULL;
        return strcmp(key, output->key) == 0 ? row : NULL;
    }
    return NULL;
}

/* NULL also when a worker names an object that is not this lease's: *foreign tells. Parts are none of these.
 */
static char *write_outputs(const struct scheduler *scheduler, const struct lease *lease,
                           const struct message_result *result,
                           struct buffer *parts, bool *foreign) {
    char url[PUBLISHED_URL_MAX];
    struct buffer buffer;
    int broken = 0;

    *foreign = false;
    buffer_init(&buffer, ELEMENT_MAX);
    for (size_t i = 0; i < result->output_count; i++) {
        const struct message_output *output = &result->outputs[i];
        const struct processor_output *row = find_own(lease, output);
        if (row == NULL || (row->is_part && lease->parent[0] == '\0')) {
            *foreign = true;
            break;
        }
        if (row->is_part) {
            broken |= children_append_part(parts, lease, output);
            continue;
        }
        broken |= json_open(&buffer, '{');
        broken |= json_member_text(&buffer, "job", lease->job);
        broken |= json_member_number(&buffer, "epoch", (int64_t)lease->epoch);
        broken |= json_member_text(&buffer, "kind", output->kind);
        broken |= json_member_text(&buffer, "key", output->key);
        broken |= json_member_text(&buffer, "mime", row->mime);
        broken |= json_member_number(&buffer, "size", (int64_t)output->size_bytes);
        broken |= json_member_text(&buffer, "sha256", output->sha256);
        broken |= json_member_text(&buffer, "metadata", output->metadata);
        if (row->place == PLACE_PUBLISHED)
            broken |= json_member_text(&buffer, "url", published_url(url, scheduler, output->key));
        else if (row->place != PLACE_DERIVED)
            broken |= json_member_number(&buffer, "own", 1);
        if (output->seal[0] != '\0') {
            broken |= json_member_text(&buffer, "seal", output->seal);
            broken |= json_member_number(&buffer, "stored_size", (int64_t)output->stored_bytes);
            broken |= json_member_text(&buffer, "stored_sha256", output->stored_sha256);
        }
        broken |= json_close(&buffer, '}');
    }
    return json_take(&buffer, broken | (*foreign ? -1 : 0));
}

/* What models were asked, if any were. */
static char *write_calls(const struct lease *lease, const char *status, const char *calls) {
    struct buffer buffer;
    int broken;

    if (calls[0] == '\0')
        return NULL;
    buffer_init(&buffer, ELEMENT_MAX);
    broken = json_open(&buffer, '{') | json_member_text(&buffer, "job", lease->job) |
             json_member_number(&buffer, "epoch", (int64_t)lease->epoch) |
             json_member_text(&buffer, "status", status) | json_member_text(&buffer, "calls", calls) |
             json_close(&buffer, '}');
    return json_take(&buffer, broken);
}

static int append_garbage(struct buffer *buffer, const char *key, int64_t delay_ms) {
    int broken = json_open(buffer, '{');

    broken |= json_member_text(buffer, "key", key) | json_member_number(buffer, "delay", delay_ms);
    return broken | json_close(buffer, '}');
}

char *finish_result_garbage(const struct message_result *result) {
    struct buffer buffer;
    int broken = 0;

    buffer_init(&buffer, ELEMENT_MAX);
    for (size_t i = 0; i < result->output_count; i++)
        if (key_is_valid(result->outputs[i].key))
            broken |= append_garbage(&buffer, result->outputs[i].key, 0);
    return json_take(&buffer, broken);
}

/* Every object that a lease with this epoch may have written or may still write. */
static char *write_possible_garbage(const struct lease *lease, uint64_t epoch) {
    char key[KEY_MAX];
    struct buffer buffer;
    int broken = 0;

    buffer_init(&buffer, ELEMENT_MAX);
    for (size_t i = 0; lease->processor != NULL && epoch > 0 && i < lease->processor->output_count; i++) {
        const struct processor_output *row = &lease->processor->outputs[i];
        if (lease_key(key, lease, row, epoch) == 0)
            broken |= append_garbage(&buffer, key, GARBAGE_DELAY_MS);
        if (lease->seals && lease_sealed_key(key, lease, row, epoch) == 0)
            broken |= append_garbage(&buffer, key, GARBAGE_DELAY_MS);
    }
    return json_take(&buffer, broken);
}

static char *write_hash(const struct lease *lease, const char *sha256) {
    struct buffer buffer;
    int broken;

    if (lease->outside || lease->sha256[0] != '\0' || sha256[0] == '\0' || lease->derived)
        return NULL;
    buffer_init(&buffer, ELEMENT_MAX);
    broken = json_open(&buffer, '{') | json_member_text(&buffer, "file", lease->file) |
             json_member_text(&buffer, "sha256", sha256) | json_close(&buffer, '}');
    return json_take(&buffer, broken);
}

static char *write_crash(const struct lease *lease, const char *sha256, const char *reason) {
    struct buffer buffer;
    int broken;

    if (sha256[0] == '\0')
        sha256 = lease->sha256;
    if (sha256[0] == '\0' || lease->is_range || lease->derived)
        return NULL; /* the job's own count still stops it */
    buffer_init(&buffer, ELEMENT_MAX);
    broken = json_open(&buffer, '{') | json_member_text(&buffer, "tenant", lease->tenant) |
             json_member_text(&buffer, "sha256", sha256) | json_member_text(&buffer, "type", lease->type) |
             json_member_text(&buffer, "reason", reason[0] != '\0' ? reason : "crash") |
             json_close(&buffer, '}');
    return json_take(&buffer, broken);
}

/* ---- decisions ---- */

static void finish_submit(struct scheduler *scheduler, struct lease *lease, struct finish *finish,
                          const struct ending *ending) {
    finish->status = ending->status;
    finish->delay_ms = ending->delay_ms;
    finish->end = write_end(finish, ending);
    if (finish->end == NULL)
        fatal("event=end_too_large job=%s", finish->job); /* every field of a message has its limit */
    lease->state = LEASE_ENDING;
    workers_assign(lease, NULL);
    lease_free_input(lease);
    results_add(scheduler->results, finish);
}

static struct retry_verdict judge(const struct scheduler *scheduler, const struct lease *lease,
                                  enum retry_cause cause, bool retryable) {
    struct retry_limits limits = scheduler->retry;
    struct retry_failure failure = {
        .cause = cause, .retryable = retryable, .attempts = lease->attempts, .crashes = lease->crashes};
    uint32_t random;

    limits.max_attempts = lease->max_attempts;
    text_random(&random, sizeof random);
    return retry_next(&limits, &failure, random);
}

static void finish_failed(struct scheduler *scheduler, struct lease *lease,
                          const struct message_result *result, const char *code, bool retryable) {
    struct finish *finish = finish_new(lease);
    struct retry_verdict verdict =
        judge(scheduler, lease, result->crash ? RETRY_CRASH : RETRY_ERROR, retryable);
    struct ending ending = {
        .status = verdict.again ? "retry" : "failed",
        .failed = true,
        .crashed = result->crash,
        .delay_ms = verdict.again ? verdict.delay_ms : -1,
        .code = code,
        .detail = result->detail,
        .stage = result->stage,
        .usage = scheduler->settings->credits ? result : NULL,
    };

    finish->quarantined = verdict.quarantine;
    finish->calls = write_calls(lease, ending.status, result->calls);
    if (result->crash)
        finish->crash = write_crash(lease, result->input_sha256, code);
    if (strcmp(result->stage, "store") == 0 || result->output_count > 0)
        finish->garbage = write_possible_garbage(lease, lease->epoch);
    finish_submit(scheduler, lease, finish, &ending);
}

static void finish_done(struct scheduler *scheduler, struct lease *lease,
                        const struct message_result *result) {
    struct finish *finish;
    char maker[MESSAGE_ENGINES_SIZE];
    struct ending ending = {.status = "done",
                            .delay_ms = -1,
                            .result = result,
                            .usage = scheduler->settings->credits ? result : NULL,
                            .maker = maker,
                            .input_sha256 =
                                result->input_sha256[0] != '\0' ? result->input_sha256 : lease->sha256,
                            .copied_from = lease->remembered == NULL ? NULL : lease->remembered->source,
                            .publisher = lease_publishes(lease) ? scheduler : NULL};
    struct message_result failed = *result;
    bool foreign;
    struct buffer parts;
    char *outputs;

    buffer_init(&parts, ELEMENT_MAX);
    outputs = write_outputs(scheduler, lease, result, &parts, &foreign);
    if (foreign) {
        buffer_clear(&parts);
        failed.crash = false;
        failed.detail = "the worker named an object that is not of this lease";
        finish_failed(scheduler, lease, &failed, "bad_result", true);
        return;
    }
    workers_maker(scheduler->workers, lease->worker, lease->type, maker);
    ending.memorable = maker[0] != '\0' && outputs != NULL && ending.input_sha256[0] != '\0' && !lease->joins &&
                       !lease->is_range;
    finish = finish_new(lease);
    finish->outputs = outputs;
    finish->parts = json_take(&parts, 0);
    finish->followers = children_write_followers(scheduler, lease);
    finish->calls = write_calls(lease, ending.status, result->calls);
    finish->hash = write_hash(lease, result->input_sha256);
    finish->stale_garbage = finish_result_garbage(result);
    finish_submit(scheduler, lease, finish, &ending);
}

/* The document is long: the job waits for its ranges. */
static void finish_split(struct scheduler *scheduler, struct lease *lease,
                         const struct message_result *result) {
    struct ending ending = {.status = "waiting", .delay_ms = -1};
    struct message_result failed = *result;
    char *split = children_write_split(lease, result);
    struct finish *finish;

    if (split == NULL || result->output_count > 0) {
        free(split);
        failed.crash = false;
        failed.detail = "ranges that nobody asked for";
        finish_failed(scheduler, lease, &failed, "bad_result", true);
        return;
    }
    finish = finish_new(lease);
    finish->split = split;
    finish->hash = write_hash(lease, result->input_sha256);
    finish_submit(scheduler, lease, finish, &ending);
    finish->delay_ms = 0; /* its ranges can be claimed */
}

static void observe_phases(const struct message_result *result) {
    const struct {
        enum counter histogram;
        uint64_t ms;
    } phases[] = {{COUNT_JOB_FETCH, result->fetch_ms},
                  {COUNT_JOB_PARSE, result->parse_ms},
                  {COUNT_JOB_STORE, result->store_ms}};

    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++)
        if (phases[i].ms > 0)
            counter_observe(phases[i].histogram, phases[i].ms * 1000);
}

/* A copy is as if it had been made here; one that failed is no failure of the job. */
static void finish_copied(struct scheduler *scheduler, struct lease *lease,
                          const struct message_result *result) {
    struct message_result copied = *result;

    if (result->outcome != OUTCOME_DONE || !remembered_is(lease->remembered, result)) {
        remember_forget(scheduler, lease->remembered);
        finish_released(scheduler, lease, "source gone");
        return;
    }
    counter_add(COUNT_JOBS_COPIED, 1);
    copied.metrics = lease->remembered->metrics == NULL ? "" : lease->remembered->metrics;
    copied.input_sha256 = lease->sha256;
    finish_done(scheduler, lease, &copied);
}

void finish_result(struct scheduler *scheduler, struct lease *lease, const struct message_result *result) {
    bool other_bytes = !lease->outside && lease->sha256[0] != '\0' && result->input_sha256[0] != '\0' &&
                       strcmp(lease->sha256, result->input_sha256) != 0;
    const char *code = result->error[0] != '\0' ? result->error : "failed";

    observe_phases(result);
    usage_note(scheduler->usage, lease, result->cpu_ms,
               result->fetch_ms + result->parse_ms + result->store_ms);
    if (lease->processor == NULL)
        finish_refused(scheduler, lease, "unknown_job_type", NULL);
    else if (lease->remembered != NULL)
        finish_copied(scheduler, lease, result);
    else if (other_bytes)
        finish_failed(scheduler, lease, result, "checksum_mismatch", false);
    else if (result->outcome == OUTCOME_DONE && result->split[0] != '\0')
        finish_split(scheduler, lease, result);
    else if (result->outcome == OUTCOME_DONE)
        finish_done(scheduler, lease, result);
    else
        finish_failed(scheduler, lease, result, code, result->retryable);
}

void finish_lost(struct scheduler *scheduler, struct lease *lease, const char *code) {
    struct finish *finish = finish_new(lease);
    struct retry_verdict verdict = judge(scheduler, lease, RETRY_LOST, true);
    struct ending ending = {
        .status = verdict.again ? "retry" : "failed",
        .failed = true,
        .delay_ms = verdict.again ? verdict.delay_ms : -1,
        .code = code,
    };

    finish->garbage = write_possible_garbage(lease, lease->rescued ? lease->epoch - 1 : lease->epoch);
    finish_submit(scheduler, lease, finish, &ending);
}

void finish_released(struct scheduler *scheduler, struct lease *lease, const char *reason) {
    struct finish *finish = finish_new(lease);
    struct ending ending = {
        .status = lease->attempts > 0 ? "retry" : "queued",
        .delay_ms = strcmp(reason, "overload") == 0 ? OVERLOAD_DELAY_MS : -1,
    };

    if (lease->state == LEASE_SENT && lease->worker != NULL)
        finish->garbage = write_possible_garbage(lease, lease->epoch);
    finish->released = true;
    log_debug("job=%s lease=%llu state=released reason=\"%s\" trace=%s", lease->job,
              (unsigned long long)lease->epoch, reason, lease->trace);
    finish_submit(scheduler, lease, finish, &ending);
    finish->delay_ms = ending.delay_ms >= 0 ? ending.delay_ms : 0;
}

void finish_refused(struct scheduler *scheduler, struct lease *lease, const char *code, const char *detail) {
    struct finish *finish = finish_new(lease);
    struct ending ending = {.status = "failed",
                            .failed = lease->attempts < lease->max_attempts,
                            .delay_ms = -1,
                            .code = code,
                            .detail = detail};

    finish_submit(scheduler, lease, finish, &ending);
}

void finish_make_plain(struct finish *finish) {
    struct ending ending = {.status = "failed",
                            .failed = true,
                            .delay_ms = -1,
                            .code = "bad_result",
                            .detail = "the database refused what the worker reported"};

    clear_elements(finish);
    if (finish->garbage == NULL) {
        finish->garbage = finish->stale_garbage;
        finish->stale_garbage = NULL;
    }
    finish->status = ending.status;
    finish->delay_ms = -1;
    finish->plain = true;
    finish->end = write_end(finish, &ending);
}
