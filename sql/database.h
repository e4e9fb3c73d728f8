/* SPDX-License-Identifier: MIT
 * Postgres on the event loop: a pool of libpq connections in pipeline mode. The unit is a transaction that is
 * sent whole (one round trip): LOCAL settings, the statements, a Sync, which commits (or rolls all of it
 * back). Nothing but prepared names outlives a transaction in the session, so PgBouncer's transaction mode is
 * fine. This folder's link, transaction, result, listener and database sources are the home of libpq-fe.h.
 *
 * Statements are rows of a program's table. With prepare they are prepared once per connection by name; else
 * they are parsed each time. LIMITs are literals in the text, never parameters. */
#ifndef SQL_DATABASE_H
#define SQL_DATABASE_H

#include "lib/loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct database;
struct database_result;

struct database_options {
    const char *url;  /* postgresql:// or key=value */
    const char *role; /* SET LOCAL ROLE in every transaction; NULL: none */
    const char *application_name;
    unsigned connections;
    bool prepare;
    int64_t statement_timeout_ms; /* also lock and idle-in-transaction timeouts; 0: none */
    size_t max_waiting;           /* transactions waiting for a connection; more are refused at once */
};

struct statement {
    const char *name;
    const char *text;
    unsigned parameters;
};

#define QUERY_MAX_PARAMETERS 24

struct query {
    const struct statement *statement;
    const char *values[QUERY_MAX_PARAMETERS]; /* text form; NULL is SQL NULL */
};

/* LOCAL settings of a transaction ("filemill.user" = …); name NULL ends the list. */
struct database_local {
    const char *name;
    const char *value;
};

enum database_outcome {
    DATABASE_OK,
    DATABASE_UNAVAILABLE, /* no connection, or too many waiting: nothing was done */
    DATABASE_LOST,        /* the link broke: it may or may not have been committed */
    DATABASE_REFUSED,     /* an SQL error: nothing was done; see sqlstate */
};

/* Answer of a transaction, valid during the callback. Results are numbered as the queries were. */
struct database_answer {
    enum database_outcome outcome;
    char sqlstate[6];       /* "23505"; "" if none */
    const char *message;    /* server's message for the log, one line */
    const char *constraint; /* "" if none */
    struct database_result *const *results;
    size_t result_count;
};

typedef void database_done_fn(void *context, const struct database_answer *answer);

struct database *database_new(struct loop *loop, const struct database_options *options);
void database_free(struct database *database); /* no callbacks after this */
bool database_is_available(const struct database *database);

/* Queues one transaction; texts are copied. `done` is called exactly once, never from inside this call.
 * Errors 40001 and 40P01 are retried here up to three times. `locals` may be NULL. */
void database_run(struct database *database, const struct database_local *locals, const struct query *queries,
                  size_t count, database_done_fn *done, void *context);

size_t result_rows(const struct database_result *result);
size_t result_affected(const struct database_result *result);
/* Text of a field; NULL for SQL NULL or an unknown column (a warning is logged once). */
const char *result_text(const struct database_result *result, size_t row, const char *column);
/* The same into target, cut where it does not fit; "" for NULL. */
void result_copy(char *target, size_t size, const struct database_result *result, size_t row,
                 const char *column);
int64_t result_number(const struct database_result *result, size_t row, const char *column); /* 0 for NULL */
bool result_bool(const struct database_result *result, size_t row, const char *column);

/* What the server calls the process behind the pool's first connection: a pooler in between makes that up, so it is
 * not what pg_backend_pid() answers. 0: not connected. */
int database_backend_pid(const struct database *database);

/* LISTEN on one channel over a connection of its own; reconnects are tried for ever, quietly. Where a pooler turns
 * out to be in between there will be no notices, and a LISTEN would stay in a session that is others' next: it gives
 * up, saying so once, unless the URL is said to be right. */
struct database_listening {
    const char *url;
    const char *channel;
    bool is_direct;
};
struct database_listener;
struct database_listener *database_listen(struct loop *loop, const struct database_listening *what,
                                          void (*fn)(void *context, const char *payload), void *context);
void database_listener_free(struct database_listener *listener);

#endif
