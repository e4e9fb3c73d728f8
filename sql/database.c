/* SPDX-License-Identifier: MIT
 * The pool. Transactions wait in one line; each goes to the idlest connection, and several may be in flight
 * on one, in pipeline mode, so that a busy pool never waits for a round trip. Connections beyond the first
 * are opened when they are needed. While none can be had, what comes is refused at once. Answers are put in a
 * second line and delivered by a timer, so that a callback never runs inside database_run or libpq's reading
 * loop. */
#include "sql/database.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "sql/link.h"
#include "sql/transaction.h"

#define IN_FLIGHT_MAX 4 /* per connection */
#define WAIT_MAX_MS 5000
#define ANSWER_GRACE_MS 5000 /* beyond the server's own timeout */
#define TICK_MS 500

struct queue {
    struct transaction *first, *last;
    size_t count;
};

struct connection {
    struct database *database;
    struct link link;
    struct prepared *prepared;
    struct queue in_flight;
};

struct database {
    struct loop *loop;
    struct database_options options;
    char *url, *role, *application_name;
    struct connection *connections;
    struct queue waiting, finished;
    struct loop_timer *kick; /* sends what waits, delivers what is finished */
    struct loop_timer *tick; /* deadlines; armed while anything waits or runs */
    bool ticking;
    bool down;   /* the last attempt to connect failed and nothing is connected */
    bool *freed; /* set by database_free during a delivery */
};

/* ---- queues ---- */

static void queue_push(struct queue *queue, struct transaction *transaction) {
    transaction->next = NULL;
    if (queue->last == NULL)
        queue->first = transaction;
    else
        queue->last->next = transaction;
    queue->last = transaction;
    queue->count++;
}

static struct transaction *queue_pop(struct queue *queue) {
    struct transaction *transaction = queue->first;

    if (transaction == NULL)
        return NULL;
    queue->first = transaction->next;
    if (queue->first == NULL)
        queue->last = NULL;
    queue->count--;
    return transaction;
}

static void queue_clear(struct queue *queue) {
    struct transaction *transaction;

    while ((transaction = queue_pop(queue)) != NULL)
        transaction_free(transaction);
}

static void database_finish(struct database *database, struct transaction *transaction,
                            enum database_outcome outcome) {
    transaction->outcome = outcome;
    queue_push(&database->finished, transaction);
    loop_timer_set(database->kick, 0);
}

/* ---- connections ---- */

bool database_is_available(const struct database *database) {
    for (unsigned i = 0; i < database->options.connections; i++)
        if (database->connections[i].link.state == LINK_READY)
            return true;
    return false;
}

int database_backend_pid(const struct database *database) {
    const struct link *link = &database->connections[0].link;

    return link->state == LINK_READY ? PQbackendPID(link->connection) : 0;
}

static void database_count_connections(const struct database *database) {
    uint64_t open = 0;

    for (unsigned i = 0; i < database->options.connections; i++)
        open += database->connections[i].link.state == LINK_READY;
    counter_set(COUNT_DATABASE_CONNECTIONS, open);
}

static void connection_ready(void *context) {
    struct connection *connection = context;
    struct database *database = connection->database;

    if (PQenterPipelineMode(connection->link.connection) != 1) {
        link_fail(&connection->link, PQerrorMessage(connection->link.connection));
        return;
    }
    if (database->options.prepare)
        connection->prepared = prepared_new();
    if (database->down)
        log_info("state=database_up");
    database->down = false;
    database_count_connections(database);
    loop_timer_set(database->kick, 0);
}

static void connection_lost(void *context, bool was_ready) {
    struct connection *connection = context;
    struct database *database = connection->database;
    struct transaction *transaction;

    prepared_free(connection->prepared);
    connection->prepared = NULL;
    while ((transaction = queue_pop(&connection->in_flight)) != NULL)
        database_finish(database, transaction, DATABASE_LOST);
    database_count_connections(database);
    if (was_ready)
        log_warn("state=database_connection_lost error=\"%s\"", connection->link.error);
    if (!was_ready && !database_is_available(database)) {
        if (!database->down)
            log_warn("state=database_down error=\"%s\"", connection->link.error);
        database->down = true;
        while ((transaction = queue_pop(&database->waiting)) != NULL)
            database_finish(database, transaction, DATABASE_UNAVAILABLE);
    }
    /* The first connection knocks for ever; the others follow when there is work and it is in. */
    if (connection == &database->connections[0])
        link_open_later(&connection->link);
    loop_timer_set(database->kick, 0);
}

static void connection_settle(struct connection *connection) {
    struct transaction *transaction = queue_pop(&connection->in_flight);
    struct database *database = connection->database;

    if (transaction_settle(transaction, connection->prepared)) {
        transaction_rewind(transaction);
        transaction->deadline_ms = clock_monotonic_ms() + WAIT_MAX_MS;
        queue_push(&database->waiting, transaction);
    } else {
        database_finish(database, transaction, transaction->outcome);
    }
    loop_timer_set(database->kick, 0);
}

/* Nobody here listens, but a session of a pooler may have come from somebody who did. */
static void connection_drop_notices(PGconn *session) {
    PGnotify *notice;

    while ((notice = PQnotifies(session)) != NULL)
        PQfreemem(notice);
}

static void connection_readable(void *context) {
    struct connection *connection = context;
    PGconn *session = connection->link.connection;
    unsigned nothing = 0;

    while (connection->in_flight.first != NULL && !PQisBusy(session)) {
        PGresult *result = PQgetResult(session);
        if (result == NULL) {
            /* One NULL stands between two statements; two in a row would be a session out of step. */
            if (++nothing < 2)
                continue;
            link_fail(&connection->link, "session out of step");
            return;
        }
        nothing = 0;
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            connection_settle(connection);
        } else {
            transaction_take(connection->in_flight.first, result);
        }
    }
    connection_drop_notices(session);
    if (PQstatus(session) == CONNECTION_BAD)
        link_fail(&connection->link, PQerrorMessage(session));
}

static const struct link_handlers connection_handlers = {
    .ready = connection_ready,
    .readable = connection_readable,
    .lost = connection_lost,
};

/* ---- sending ---- */

static struct connection *database_choose(struct database *database) {
    struct connection *best = NULL, *closed = NULL;
    bool opening = false;

    for (unsigned i = 0; i < database->options.connections; i++) {
        struct connection *connection = &database->connections[i];
        if (connection->link.state == LINK_READY &&
            (best == NULL || connection->in_flight.count < best->in_flight.count))
            best = connection;
        if (connection->link.state == LINK_CLOSED && i > 0 && closed == NULL)
            closed = connection;
        opening |= connection->link.state == LINK_CONNECTING;
    }
    if (best != NULL && best->in_flight.count > 0 && closed != NULL && !opening)
        link_open(&closed->link);
    return best != NULL && best->in_flight.count < IN_FLIGHT_MAX ? best : NULL;
}

static void database_send(struct database *database) {
    struct connection *connection;

    while (database->waiting.first != NULL && (connection = database_choose(database)) != NULL) {
        struct transaction *transaction = queue_pop(&database->waiting);
        int64_t allowed_ms = database->options.statement_timeout_ms;
        transaction->deadline_ms =
            allowed_ms > 0 ? clock_monotonic_ms() + 2 * allowed_ms + ANSWER_GRACE_MS : INT64_MAX;
        queue_push(&connection->in_flight, transaction);
        if (transaction_send(transaction, connection->link.connection, connection->prepared) != 0 ||
            link_flush(&connection->link) != 0)
            link_fail(&connection->link, PQerrorMessage(connection->link.connection));
    }
}

static void database_deliver(struct database *database) {
    struct transaction *transaction;
    bool freed = false;

    database->freed = &freed;
    while ((transaction = queue_pop(&database->finished)) != NULL) {
        transaction_deliver(transaction, transaction->outcome);
        transaction_free(transaction);
        if (freed)
            return;
    }
    database->freed = NULL;
}

static void database_on_kick(void *context) {
    struct database *database = context;

    database_send(database);
    database_deliver(database); /* may free the database */
}

static void database_on_tick(void *context) {
    struct database *database = context;
    int64_t now_ms = clock_monotonic_ms();
    bool more = false;

    database->ticking = false;
    while (database->waiting.first != NULL && database->waiting.first->deadline_ms <= now_ms)
        database_finish(database, queue_pop(&database->waiting), DATABASE_UNAVAILABLE);
    for (unsigned i = 0; i < database->options.connections; i++) {
        struct connection *connection = &database->connections[i];
        if (connection->in_flight.first != NULL && connection->in_flight.first->deadline_ms <= now_ms)
            link_fail(&connection->link, "no answer within the deadline");
        more |= connection->in_flight.first != NULL;
    }
    if (more || database->waiting.first != NULL) {
        database->ticking = true;
        loop_timer_set(database->tick, TICK_MS);
    }
}

void database_run(struct database *database, const struct database_local *locals, const struct query *queries,
                  size_t count, database_done_fn *done, void *context) {
    struct transaction *transaction =
        transaction_new(database->role, database->options.statement_timeout_ms, locals, queries, count);

    transaction->done = done;
    transaction->context = context;
    if (database->down || database->waiting.count >= database->options.max_waiting) {
        database_finish(database, transaction, DATABASE_UNAVAILABLE);
        return;
    }
    transaction->deadline_ms = clock_monotonic_ms() + WAIT_MAX_MS;
    queue_push(&database->waiting, transaction);
    loop_timer_set(database->kick, 0);
    if (!database->ticking) {
        database->ticking = true;
        loop_timer_set(database->tick, TICK_MS);
    }
}

/* ---- life ---- */

struct database *database_new(struct loop *loop, const struct database_options *options) {
    struct database *database = memory_new(sizeof *database);

    database->loop = loop;
    database->options = *options;
    database->options.connections = options->connections > 0 ? options->connections : 1;
    database->url = memory_copy_text(options->url);
    database->role = options->role == NULL ? NULL : memory_copy_text(options->role);
    database->application_name =
        memory_copy_text(options->application_name == NULL ? "filemill" : options->application_name);
    database->kick = loop_timer_new(loop, database_on_kick, database);
    database->tick = loop_timer_new(loop, database_on_tick, database);
    database->connections = memory_new_array(database->options.connections, sizeof *database->connections);
    for (unsigned i = 0; i < database->options.connections; i++) {
        struct connection *connection = &database->connections[i];
        connection->database = database;
        link_init(&connection->link, loop, database->url, database->application_name);
        link_set_handlers(&connection->link, &connection_handlers, connection);
    }
    link_open(&database->connections[0].link);
    return database;
}

void database_free(struct database *database) {
    if (database == NULL)
        return;
    if (database->freed != NULL)
        *database->freed = true;
    for (unsigned i = 0; i < database->options.connections; i++) {
        link_clear(&database->connections[i].link);
        prepared_free(database->connections[i].prepared);
        queue_clear(&database->connections[i].in_flight);
    }
    queue_clear(&database->waiting);
    queue_clear(&database->finished);
    loop_timer_free(database->kick);
    loop_timer_free(database->tick);
    free(database->connections);
    free(database->url);
    free(database->role);
    free(database->application_name);
    free(database);
}
