/* SPDX-License-Identifier: MIT
 * The leases that this scheduler holds, in memory: one per job, named by job and epoch. The database has the
 * truth; a lease here says who works on it and what its end will need. */
#ifndef SCHEDULER_LEASE_H
#define SCHEDULER_LEASE_H

#include "proto/processors.h"
#include "scheduler/scheduler.h"

enum lease_state {
    LEASE_READY,  /* claimed, waiting for a worker */
    LEASE_SENT,   /* a worker has it */
    LEASE_ENDING, /* its end is being committed */
    LEASE_STATE_COUNT
};

struct peer;
struct remembered;

struct lease {
    struct lease *next_in_bucket;
    struct lease *next, *previous; /* all leases, oldest first */
    struct lease *next_ready;
    char job[37], file[37], tenant[37], owner[37]; /* owner: of the file */
    char type[65], trace[65], sha256[65];
    uint64_t epoch;
    enum lease_state state;
    const struct processor_row *processor; /* NULL: unknown type */
    enum processor_class class;            /* whose room it takes */
    int64_t generation, attempts, max_attempts,
        crashes;         /* crashes: of the job or of its bytes, the greater */
    struct peer *worker; /* SENT: who has it; NULL when that one is gone. workers_assign sets it */
    bool confirmed;      /* the worker has named it since its last hello */
    bool rescued;        /* taken over from a dead owner, which had the epoch before this one */
    int64_t unowned_ms;  /* since when it is SENT without a worker; 0: it isn't */
    bool file_gone;
    bool outside; /* the file lies at a source outside (storage/keys.h): its bytes may change */
    bool is_long;     /* as its type was when it was claimed (usage.h) */
    double charge_ms; /* what its tenant is charged while it is held */
    bool planned; /* by finalize: only such a job's first objects have plain names, so that none is overwritten */
    char parent[37], parent_file[37]; /* the job that waits for this one; "" */
    bool joins;                       /* it has waited for others, and makes one of what they made */
    bool is_range;                    /* its parent's document, some pages of it */
    bool derived;                     /* its input is a derivative of the file; key "": there is none */
    /* progress */
    uint64_t done, total;
    bool progress_dirty;
    int64_t progress_ms; /* when it was last written */
    /* what the task needs; freed when it was sent */
    char *key, *mime, *etag, *payload;
    char *seal; /* of the input; NULL: it is plain */
    char *parts; /* lines of "key size sha256 seal"; seal "-": plain. NULL: none */
    int64_t size_bytes;
    struct remembered *remembered; /* what is copied instead of made; NULL: nothing */
    int64_t created_ms; /* since the epoch: stamps names of outputs */
    bool seals;         /* some of its outputs may be sealed */
};

struct leases *leases_new(struct scheduler *scheduler);
void leases_free(struct leases *leases);
/* Takes over one row of LEASE_ROWS (statements.c). A lease of the same job with an older epoch is dropped
 * first, and its worker told. */
struct lease *leases_add(struct leases *leases, const struct database_result *result, size_t row,
                         enum lease_state state);
struct lease *leases_find(struct leases *leases, const char *job);
/* NULL also when the epoch differs. */
struct lease *leases_find_epoch(struct leases *leases, const char *job, uint64_t epoch);
void leases_remove(struct leases *leases, struct lease *lease);
void lease_free_input(struct lease *lease);
struct lease *leases_first(const struct leases *leases); /* then ->next */
size_t leases_count(const struct leases *leases);

/* Its outputs go to the bucket that media is published to. */
bool lease_publishes(const struct lease *lease);

/* Claimed leases in their order, until a worker takes them: one line for each class. */
void leases_push_ready(struct leases *leases, struct lease *lease);
struct lease *leases_first_ready(const struct leases *leases, enum processor_class class);
void leases_pop_ready(struct leases *leases, enum processor_class class);
size_t leases_ready_count(const struct leases *leases, enum processor_class class);

/* The object key of one output as of the lease's `epoch`; the first lease ever of the file's type has the
 * plain keys. `target` holds KEY_MAX; -1 when no key can be made. */
int lease_key(char *target, const struct lease *lease, const struct processor_output *output, uint64_t epoch);
/* The same of an output that is sealed. */
int lease_sealed_key(char *target, const struct lease *lease, const struct processor_output *output, uint64_t epoch);

#endif
