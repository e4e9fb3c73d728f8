/* SPDX-License-Identifier: MIT
 * The table of waits and the rule around it. */
#include "scheduler/outbox_retry.h"

#include <string.h>

#define UNSENT_DELAY_MS 500
#define JITTER_PERCENT 10

/* In units of webhook-retry-unit, a second: 72 hours in all, less 17 minutes. */
static const int64_t waits[] = {5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 43200, 43200, 43200, 72000};
#define WAITS (sizeof waits / sizeof waits[0])
const size_t outbox_attempts_max = WAITS + 1;

static bool was_not_sent(const struct outbox_attempt *attempt) {
    return attempt->status == 0 && attempt->error != NULL &&
           (strcmp(attempt->error, "overload") == 0 || strcmp(attempt->error, "drain") == 0);
}

static int64_t spread(int64_t delay_ms, uint32_t random) {
    int64_t most = delay_ms * JITTER_PERCENT / 100;

    return most == 0 ? delay_ms : delay_ms - most + (int64_t)(random % (uint64_t)(2 * most + 1));
}

struct outbox_verdict outbox_judge(const struct outbox_attempt *attempt, int64_t unit_ms, uint32_t random) {
    struct outbox_verdict verdict = {.counted = true};
    uint64_t rest_s = attempt->retry_after_s < OUTBOX_REST_MAX_S ? attempt->retry_after_s : OUTBOX_REST_MAX_S;

    if (was_not_sent(attempt))
        return (struct outbox_verdict){.again = true, .delay_ms = spread(UNSENT_DELAY_MS, random)};
    if (attempt->status >= 200 && attempt->status <= 299) {
        verdict.delivered = true;
        return verdict;
    }
    if (attempt->status == 410) {
        verdict.gone = true;
        return verdict;
    }
    if (attempt->status == 429 || attempt->status == 503)
        verdict.rest_ms = (int64_t)rest_s * 1000;
    verdict.again = attempt->before < WAITS;
    if (verdict.again)
        verdict.delay_ms = spread(waits[attempt->before] * unit_ms, random);
    if (verdict.delay_ms < verdict.rest_ms)
        verdict.delay_ms = verdict.rest_ms;
    return verdict;
}
