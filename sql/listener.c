/* SPDX-License-Identifier: MIT
 * LISTEN on a connection of its own: reconnects for ever, says so once; gives up where a pooler is in between. A
 * payload lost while it was away is lost: whoever listens polls as well. */
#include "sql/database.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "sql/link.h"

#define ASK_PID "select pg_backend_pid()"

struct database_listener {
    struct link link;
    char *url;
    char *command;
    void (*fn)(void *context, const char *payload);
    void *context;
    bool is_direct;
    bool asking; /* whether a pooler is in between */
    bool pooled; /* it is: no more attempts */
    bool told;
    bool *freed;
};

static void listener_send(struct database_listener *listener, const char *command) {
    if (PQsendQuery(listener->link.connection, command) != 1 || link_flush(&listener->link) != 0)
        link_fail(&listener->link, PQerrorMessage(listener->link.connection));
}

static void listener_ready(void *context) {
    struct database_listener *listener = context;

    listener->told = false;
    listener->asking = !listener->is_direct;
    listener_send(listener, listener->asking ? ASK_PID : listener->command);
}

/* A pooler tells its clients a process of its own invention. */
static bool listener_is_pooled(const struct database_listener *listener, PGresult *result) {
    char pid[16];

    (void)text_format(pid, sizeof pid, "%d", PQbackendPID(listener->link.connection));
    return PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), pid) != 0;
}

static void listener_take(struct database_listener *listener, PGresult *result) {
    ExecStatusType status = PQresultStatus(result);

    if (status == PGRES_TUPLES_OK && listener->asking)
        listener->pooled = listener_is_pooled(listener, result);
    else if (status != PGRES_COMMAND_OK)
        log_warn("state=listen_refused error=\"%s\"", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    PQclear(result);
}

/* The question is answered. */
static void listener_go_on(struct database_listener *listener) {
    listener->asking = false;
    if (!listener->pooled) {
        listener_send(listener, listener->command);
        return;
    }
    log_warn("state=not_listening error=\"a pooler is in between and database-direct-url is not set: other nodes' "
             "jobs are found by looking\"");
    listener->told = true;
    link_fail(&listener->link, "a pooler is in between");
}

static void listener_readable(void *context) {
    struct database_listener *listener = context;
    PGconn *connection = listener->link.connection;
    PGnotify *notice;
    bool freed = false;

    while (!PQisBusy(connection)) {
        PGresult *result = PQgetResult(connection);
        if (result == NULL && !listener->asking)
            break;
        if (result == NULL) {
            listener_go_on(listener);
            return;
        }
        listener_take(listener, result);
    }
    listener->freed = &freed;
    while ((notice = PQnotifies(connection)) != NULL) {
        listener->fn(listener->context, notice->extra);
        PQfreemem(notice);
        if (freed)
            return;
    }
    listener->freed = NULL;
    if (PQstatus(connection) == CONNECTION_BAD)
        link_fail(&listener->link, PQerrorMessage(connection));
}

static void listener_lost(void *context, bool was_ready) {
    struct database_listener *listener = context;

    if (!listener->told)
        log_info("state=listener_lost error=\"%s\"", listener->link.error);
    listener->told = true;
    if (!listener->pooled)
        link_open_later(&listener->link);
}

static const struct link_handlers listener_handlers = {
    .ready = listener_ready,
    .readable = listener_readable,
    .lost = listener_lost,
};

struct database_listener *database_listen(struct loop *loop, const struct database_listening *what,
                                          void (*fn)(void *context, const char *payload), void *context) {
    struct database_listener *listener = memory_new(sizeof *listener);

    listener->url = memory_copy_text(what->url);
    listener->command = memory_format("listen \"%s\"", what->channel);
    listener->is_direct = what->is_direct;
    listener->fn = fn;
    listener->context = context;
    link_init(&listener->link, loop, listener->url, "filemill-listener");
    link_set_handlers(&listener->link, &listener_handlers, listener);
    link_open(&listener->link);
    return listener;
}

void database_listener_free(struct database_listener *listener) {
    if (listener == NULL)
        return;
    if (listener->freed != NULL)
        *listener->freed = true;
    link_clear(&listener->link);
    free(listener->url);
    free(listener->command);
    free(listener);
}
