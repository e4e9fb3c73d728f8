/* SPDX-License-Identifier: MIT
 * A list of accounts, one for each tenant that has work here or had some of late. An account is what all
 * nodes have used plus a lift: what the tenant is behind those who were here while it was away. Both are
 * halved every minute. */
#include "scheduler/usage.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "scheduler/fair.h"

#define SHARE_EVERY_MS 1000
#define FORGET_BELOW_MS 1.0
#define COST_LEAST_MS 1.0
#define LONG_WALL_MS 20000.0
#define LONG_LIMIT_MS 1000000
#define NEWEST_PART 0.2 /* of an estimate: the newest job's */
#define BUCKETS 256
#define ACCOUNT_ARRAY_MAX (4 * 1024 * 1024)

struct account {
    struct account *next, *next_in_bucket;
    size_t leases;
    char tenant[37];
    double used_ms, lift_ms, flying_ms;
    double unshared_ms; /* used here, and not yet told */
    bool is_present;    /* has work waiting */
    bool was_present;
};

/* Averages of a type; 0: nothing is known. */
struct estimate {
    double cpu_ms, wall_ms;
};

struct usage {
    struct scheduler *scheduler;
    struct account *first;
    struct account *buckets[BUCKETS];
    struct estimate *estimates; /* by row of processor_rows */
    uint64_t long_held;
    int64_t decayed_ms, shared_ms;
    bool sharing;
};

/* ---- accounts ---- */

/* Tenants' ids are random; an id that somebody chose costs a longer list and nothing else. */
static size_t bucket_of(const char *tenant) {
    return text_hash(tenant, 0) % BUCKETS;
}

static struct account *usage_find(const struct usage *usage, const char *tenant) {
    struct account *account = usage->buckets[bucket_of(tenant)];

    while (account != NULL && strcmp(account->tenant, tenant) != 0)
        account = account->next_in_bucket;
    return account;
}

static struct account *usage_open(struct usage *usage, const char *tenant) {
    struct account *account = usage_find(usage, tenant);
    size_t bucket = bucket_of(tenant);

    if (account != NULL)
        return account;
    account = memory_new(sizeof *account);
    text_copy(account->tenant, sizeof account->tenant, tenant);
    account->next = usage->first;
    usage->first = account;
    account->next_in_bucket = usage->buckets[bucket];
    usage->buckets[bucket] = account;
    return account;
}

static void usage_close(struct usage *usage, struct account *account) {
    struct account **at = &usage->buckets[bucket_of(account->tenant)];

    while (*at != account)
        at = &(*at)->next_in_bucket;
    *at = account->next_in_bucket;
    free(account);
}

/* Halves what was used, and forgets accounts that hold nothing. */
static void usage_decay(struct usage *usage) {
    int64_t now_ms = clock_monotonic_ms(), passed_ms = now_ms - usage->decayed_ms;
    struct account *account;

    usage->decayed_ms = now_ms;
    for (struct account **at = &usage->first; (account = *at) != NULL;) {
        account->used_ms = fair_decay(account->used_ms, passed_ms);
        account->lift_ms = fair_decay(account->lift_ms, passed_ms);
        if (!account->is_present && account->leases == 0 && account->unshared_ms <= 0 &&
            account->used_ms + account->lift_ms < FORGET_BELOW_MS) {
            *at = account->next;
            usage_close(usage, account);
        } else {
            at = &account->next;
        }
    }
}

static double account_level(const struct account *account) {
    return account->used_ms + account->lift_ms + account->flying_ms;
}

/* The level from which those who have just come begin: the least of those who were here; of all who have come
 * at once, the greatest. Negative: there is nobody. */
static double usage_join_level(const struct usage *usage) {
    double least = -1, greatest = -1;

    for (const struct account *account = usage->first; account != NULL; account = account->next) {
        double level = account_level(account);
        if (!account->is_present)
            continue;
        if (account->was_present && (least < 0 || level < least))
            least = level;
        if (level > greatest)
            greatest = level;
    }
    return least < 0 ? greatest : least;
}

void usage_present(struct usage *usage, const char *const *tenants, size_t count) {
    double join;

    usage_decay(usage);
    for (struct account *account = usage->first; account != NULL; account = account->next) {
        account->was_present = account->is_present;
        account->is_present = false;
    }
    for (size_t i = 0; i < count; i++)
        usage_open(usage, tenants[i])->is_present = true;
    join = usage_join_level(usage);
    for (struct account *account = usage->first; account != NULL; account = account->next)
        if (account->is_present && !account->was_present)
            account->lift_ms += fair_join(account_level(account), join) - account_level(account);
}

double usage_of(const struct usage *usage, const char *tenant) {
    const struct account *account = usage_find(usage, tenant);

    return account == NULL ? 0 : account_level(account);
}

/* ---- leases ---- */

static size_t row_of(const char *type) {
    const struct processor_row *row = processor_find(type);

    return row == NULL ? processor_row_count : (size_t)(row - processor_rows);
}

double usage_cost_ms(const struct usage *usage, const char *type) {
    double cpu_ms = usage->estimates[row_of(type)].cpu_ms;

    return cpu_ms > COST_LEAST_MS ? cpu_ms : COST_LEAST_MS;
}

bool usage_is_long(const struct usage *usage, const char *type) {
    const struct estimate *estimate = &usage->estimates[row_of(type)];
    const struct processor_row *row = processor_find(type);

    if (estimate->wall_ms > 0)
        return estimate->wall_ms > LONG_WALL_MS;
    return row != NULL && row->wall_ms > LONG_LIMIT_MS;
}

uint64_t usage_long_held(const struct usage *usage) {
    return usage->long_held;
}

void usage_hold(struct usage *usage, struct lease *lease) {
    struct account *account = usage_open(usage, lease->tenant);

    lease->charge_ms = usage_cost_ms(usage, lease->type);
    lease->is_long = usage_is_long(usage, lease->type);
    account->flying_ms += lease->charge_ms;
    account->leases++;
    usage->long_held += lease->is_long ? 1 : 0;
}

void usage_release(struct usage *usage, const struct lease *lease) {
    struct account *account = usage_find(usage, lease->tenant);

    usage->long_held -= lease->is_long ? 1 : 0;
    if (account == NULL)
        return;
    account->leases--;
    account->flying_ms = account->leases == 0 ? 0 : account->flying_ms - lease->charge_ms;
}

static double average(double old, double newest) {
    return old > 0 ? old + NEWEST_PART * (newest - old) : newest;
}

void usage_note(struct usage *usage, const struct lease *lease, uint64_t cpu_ms, uint64_t wall_ms) {
    struct account *account = usage_open(usage, lease->tenant);
    struct estimate *estimate = &usage->estimates[row_of(lease->type)];
    double used_ms = cpu_ms > 0 ? (double)cpu_ms : COST_LEAST_MS;

    estimate->cpu_ms = average(estimate->cpu_ms, used_ms);
    if (wall_ms > 0)
        estimate->wall_ms = average(estimate->wall_ms, (double)wall_ms);
    account->used_ms += used_ms;
    account->unshared_ms += used_ms;
}

/* ---- other nodes ---- */

static void usage_on_shared(void *context, const struct database_answer *answer) {
    struct usage *usage = context;

    usage->sharing = false;
    if (answer->outcome != DATABASE_OK) {
        scheduler_log_answer("usage", answer);
        return;
    }
    for (size_t row = 0; row < result_rows(answer->results[0]); row++) {
        struct account *account = usage_find(usage, result_text(answer->results[0], row, "tenant"));
        double all_ms = strtod(result_text(answer->results[0], row, "cpu_ms"), NULL);
        if (account != NULL && all_ms >= 0)
            account->used_ms = all_ms + account->unshared_ms;
    }
}

void usage_share(struct usage *usage) {
    int64_t now_ms = clock_monotonic_ms();
    struct query query = {.statement = &statements[STATEMENT_SHARE_USAGE]};
    struct buffer tenants, used;
    size_t count = 0;

    if (usage->sharing || now_ms - usage->shared_ms < SHARE_EVERY_MS)
        return;
    usage->shared_ms = now_ms;
    buffer_init(&tenants, ACCOUNT_ARRAY_MAX);
    buffer_init(&used, ACCOUNT_ARRAY_MAX);
    for (struct account *account = usage->first; account != NULL; account = account->next) {
        if (!account->is_present && account->unshared_ms <= 0)
            continue;
        if (buffer_append_format(&tenants, "%c%s", count == 0 ? '{' : ',', account->tenant) != 0 ||
            buffer_append_format(&used, "%c%.3f", count == 0 ? '{' : ',', account->unshared_ms) != 0)
            break;
        account->unshared_ms = 0;
        count++;
    }
    if (count > 0 && buffer_append_text(&tenants, "}") == 0 && buffer_append_text(&used, "}") == 0) {
        query.values[0] = tenants.data;
        query.values[1] = used.data;
        usage->sharing = true;
        scheduler_run(usage->scheduler, &query, 1, usage_on_shared, usage);
    }
    buffer_clear(&tenants);
    buffer_clear(&used);
}

struct usage *usage_new(struct scheduler *scheduler) {
    struct usage *usage = memory_new(sizeof *usage);

    usage->scheduler = scheduler;
    usage->estimates = memory_new_array(processor_row_count + 1, sizeof *usage->estimates);
    usage->decayed_ms = clock_monotonic_ms();
    return usage;
}

void usage_free(struct usage *usage) {
    if (usage == NULL)
        return;
    while (usage->first != NULL) {
        struct account *account = usage->first;
        usage->first = account->next;
        free(account);
    }
    free(usage->estimates);
    free(usage);
}
