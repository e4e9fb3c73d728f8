/* SPDX-License-Identifier: MIT
 * One transaction: a copy of what the caller asked for, its results as they come in, its answer. Private to
 * sql/. A pipeline up to its Sync is one transaction to Postgres, so BEGIN and COMMIT need not be sent: an
 * error rolls all of it back at the Sync and leaves the session clean for the next transaction in flight. */
#ifndef SQL_TRANSACTION_H
#define SQL_TRANSACTION_H

#include "sql/database.h"
#include <libpq-fe.h>

struct database_result {
    PGresult *result;
};

struct prepared; /* names known to one session */

struct transaction {
    struct transaction *next;
    database_done_fn *done;
    void *context;
    int64_t deadline_ms; /* monotonic: of waiting, then of running */
    unsigned tries;
    /* the request; texts are in one block */
    size_t query_count;
    const struct statement **statements;
    const char *(*values)[QUERY_MAX_PARAMETERS];
    struct statement local_statement; /* parameters 0: no locals */
    char local_name[32];
    const char **local_values;
    char *texts;
    /* the answer */
    const struct statement **prepared; /* Parse messages that went before the statements */
    size_t prepares;
    size_t step; /* results taken so far */
    size_t error_step;
    struct database_result *results;
    struct database_result **result_list;
    PGresult *error;
    enum database_outcome outcome;
};

/* Copies everything. `role` and `timeout_ms` (0: none) become LOCAL settings before the caller's own. */
struct transaction *transaction_new(const char *role, int64_t timeout_ms, const struct database_local *locals,
                                    const struct query *queries, size_t count);
void transaction_free(struct transaction *transaction);

/* Writes all of it and the Sync into the connection's buffer; -1: the connection is broken. `prepared` NULL:
 * statements are parsed each time. */
int transaction_send(struct transaction *transaction, PGconn *connection, struct prepared *prepared);
/* Takes one result that PQgetResult gave (not the Sync's). */
void transaction_take(struct transaction *transaction, PGresult *result);
/* At the Sync: names that this transaction failed to prepare are forgotten, the outcome is settled. Returns
 * true if the same transaction should be sent again. */
bool transaction_settle(struct transaction *transaction, struct prepared *prepared);
/* Back to how it was before it was sent. */
void transaction_rewind(struct transaction *transaction);
/* Calls done, if it still has one. */
void transaction_deliver(struct transaction *transaction, enum database_outcome outcome);

struct prepared *prepared_new(void);
void prepared_free(struct prepared *prepared);

#endif
