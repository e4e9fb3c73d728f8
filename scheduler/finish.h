/* SPDX-License-Identifier: MIT
 * The end of a lease, decided: what its row, its outputs, its file's hash, its crash count and its garbage
 * become. Pure but for the clockless randomness of the jitter; results.h commits it. */
#ifndef SCHEDULER_FINISH_H
#define SCHEDULER_FINISH_H

#include "scheduler/lease.h"
#include "scheduler/scheduler.h"

/* Elements of JSON arrays, in the shape that the statements take; NULL: none. */
struct finish {
    struct finish *next;
    char job[37], file[37], tenant[37], type[65], trace[65];
    char parent[37], parent_file[37]; /* who waits for the job; "" */
    bool joins;                       /* the job has waited for others */
    uint64_t epoch;
    char *end;           /* STATEMENT_FINISH_JOBS */
    char *split;         /* STATEMENT_SPLIT */
    char *outputs;       /* STATEMENT_DERIVATIVES */
    char *parts;         /* STATEMENT_PARTS */
    char *followers;     /* STATEMENT_FOLLOW */
    char *calls;         /* STATEMENT_CALLS */
    char *hash;          /* STATEMENT_HASHES */
    char *crash;         /* STATEMENT_CRASHES */
    char *garbage;       /* STATEMENT_GARBAGE */
    char *stale_garbage; /* the same, when the lease turns out to be lost */
    const char *status;
    int64_t begun_us;
    uint64_t event;   /* of the first of a file's: the newest that its transaction wrote */
    bool accepted;    /* the database took it */
    int64_t delay_ms; /* until it may run again; -1: it won't */
    bool quarantined;
    bool released;
    bool plain; /* without anything that a worker wrote, after the database refused that */
};

void finish_free(struct finish *finish);

/* All of these end the lease and hand it to results. */
void finish_result(struct scheduler *scheduler, struct lease *lease, const struct message_result *result);
/* The worker, or the scheduler that had it, is dead: counts as an attempt. */
void finish_lost(struct scheduler *scheduler, struct lease *lease, const char *code);
/* Given back: counts as nothing. */
void finish_released(struct scheduler *scheduler, struct lease *lease, const char *reason);
/* Not to be run at all: `code` says why. */
void finish_refused(struct scheduler *scheduler, struct lease *lease, const char *code, const char *detail);

/* Replaces an end that the database can't store by a plain failure. */
void finish_make_plain(struct finish *finish);

/* Elements for STATEMENT_GARBAGE of the objects that a result names; NULL if none. The caller frees it. */
char *finish_result_garbage(const struct message_result *result);

#endif
