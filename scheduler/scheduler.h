/* SPDX-License-Identifier: MIT
 * What the scheduler's modules share: the process' handles, its names, and each other. Everything runs on one
 * loop; a module is told of the rest through this struct and never reaches into another's. */
#ifndef SCHEDULER_SCHEDULER_H
#define SCHEDULER_SCHEDULER_H

#include "config/settings.h"
#include "lib/loop.h"
#include "proto/channel.h"
#include "scheduler/retry.h"
#include "scheduler/statements.h"
#include "sql/database.h"
#include "storage/storage.h"

/* Presigned URLs of a task live this long; what a lost lease may still write is deleted after it. */
#define TASK_URL_SECONDS 3600

struct workers;
struct leases;
struct claims;
struct lanes;
struct usage;
struct results;
struct children;
struct adoption;
struct tick;
struct progress;
struct garbage;
struct maintenance;
struct notifier;
struct outbox;
struct drain;

struct scheduler {
    struct loop *loop;
    const struct settings *settings;
    struct database *database;
    struct channel *channel;
    struct storage *storage;
    struct keyring *keyring; /* storage/keyring.h */
    struct storage *published; /* where media is published to; NULL: nowhere */
    struct retry_limits retry;
    char generation[37];
    char node_prefix[80]; /* "node:" */
    char owner[128];      /* "node:generation", as in jobs.locked_by */
    char lease_text[24];  /* lease in ms */
    bool draining;        /* nothing new is leased */

    struct workers *workers;
    struct leases *leases;
    struct claims *claims;
    struct lanes *lanes;
    struct usage *usage;
    struct results *results;
    struct children *children;
    struct adoption *adoption;
    struct tick *tick;
    struct progress *progress;
    struct garbage *garbage;
    struct maintenance *maintenance;
    struct notifier *notifier;
    struct outbox *outbox;
    struct drain *drain;
};

/* One transaction as the scheduler's role, with the settings that its plans need. */
void scheduler_run(struct scheduler *scheduler, const struct query *queries, size_t count,
                   database_done_fn *done, void *context);
/* Logs an answer that is not DATABASE_OK. */
void scheduler_log_answer(const char *what, const struct database_answer *answer);

#endif
