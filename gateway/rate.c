/* SPDX-License-Identifier: MIT
 * Token buckets; see rate.h. A bucket holds one minute's worth and fills steadily. The table is
 * open-addressed over a short run of places; where a run is full, the bucket used longest ago gives way,
 * which can only be kind: its user starts with a full one. */
#include "gateway/rate.h"

#include "lib/memory.h"
#include "lib/text.h"
#include <stdlib.h>
#include <string.h>

#define RATE_BUCKETS 16384u /* power of two */
#define RATE_RUN 8u
#define MS_PER_MINUTE 60000

struct bucket {
    char user[UUID_TEXT_SIZE];
    int64_t tokens; /* in units of 1/60000 request */
    int64_t used_ms;
};

struct rate {
    int64_t per_minute;
    uint64_t seed;
    struct bucket *buckets;
};

struct rate *rate_new(int64_t per_minute) {
    struct rate *rate = memory_new(sizeof *rate);
    rate->per_minute = per_minute;
    if (per_minute > 0) {
        rate->buckets = memory_new_array(RATE_BUCKETS, sizeof *rate->buckets);
        text_random(&rate->seed, sizeof rate->seed);
    }
    return rate;
}

void rate_free(struct rate *rate) {
    if (rate != NULL) {
        free(rate->buckets);
        free(rate);
    }
}

static struct bucket *find_bucket(struct rate *rate, const char *user, int64_t now_ms) {
    uint64_t hash = text_hash(user, rate->seed);
    struct bucket *oldest = NULL;
    hash ^= hash >> 32;
    for (unsigned i = 0; i < RATE_RUN; i++) {
        struct bucket *bucket = &rate->buckets[(hash + i) & (RATE_BUCKETS - 1)];
        if (strcmp(bucket->user, user) == 0) {
            return bucket;
        }
        if (oldest == NULL || bucket->used_ms < oldest->used_ms) {
            oldest = bucket;
        }
    }
    text_copy(oldest->user, sizeof oldest->user, user);
    oldest->tokens = rate->per_minute * MS_PER_MINUTE;
    oldest->used_ms = now_ms;
    return oldest;
}

int64_t rate_take(struct rate *rate, const char *user, int64_t now_ms) {
    if (rate->per_minute == 0) {
        return 0;
    }
    struct bucket *bucket = find_bucket(rate, user, now_ms);
    int64_t full = rate->per_minute * MS_PER_MINUTE;
    int64_t elapsed = now_ms > bucket->used_ms ? now_ms - bucket->used_ms : 0;
    elapsed = elapsed > MS_PER_MINUTE ? MS_PER_MINUTE : elapsed;
    bucket->tokens += elapsed * rate->per_minute;
    bucket->tokens = bucket->tokens > full ? full : bucket->tokens;
    bucket->used_ms = now_ms;
    if (bucket->tokens >= MS_PER_MINUTE) {
        bucket->tokens -= MS_PER_MINUTE;
        return 0;
    }
    int64_t wait_ms = (MS_PER_MINUTE - bucket->tokens + rate->per_minute - 1) / rate->per_minute;
    return wait_ms < 1000 ? 1 : (wait_ms + 999) / 1000;
}
