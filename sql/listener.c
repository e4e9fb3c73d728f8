/* SPDX-License-Identifier: MIT
 * LISTEN on a connection of its own: reconnects for ever, says so once. A payload lost while it was away is
 * lost: whoever listens polls as well. */
#include "sql/database.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/memory.h"
#include "sql/link.h"

struct database_listener {
    struct link link;
    char *url;
    char *command;
    void (*fn)(void *context, const char *payload);
    void *context;
    bool told;
    bool *freed;
};

static void listener_ready(void *context) {
    struct database_listener *listener = context;

    if (PQsendQuery(listener->link.connection, listener->command) != 1 || link_flush(&listener->link) != 0) {
        link_fail(&listener->link, PQerrorMessage(listener->link.connection));
        return;
    }
    listener->told = false;
}

static void listener_readable(void *context) {
    struct database_listener *listener = context;
    PGconn *connection = listener->link.connection;
    PGnotify *notice;
    bool freed = false;

    while (!PQisBusy(connection)) {
        PGresult *result = PQgetResult(connection);
        if (result == NULL)
            break;
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            log_warn("state=listen_refused error=\"%s\"",
                     PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
        PQclear(result);
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

    (void)was_ready;
    if (!listener->told)
        log_info("state=listener_lost error=\"%s\"", listener->link.error);
    listener->told = true;
    link_open_later(&listener->link);
}

static const struct link_handlers listener_handlers = {
    .ready = listener_ready,
    .readable = listener_readable,
    .lost = listener_lost,
};

struct database_listener *database_listen(struct loop *loop, const char *url, const char *channel,
                                          void (*fn)(void *context, const char *payload), void *context) {
    struct database_listener *listener;

    if (url == NULL)
        return NULL;
    listener = memory_new(sizeof *listener);
    listener->url = memory_copy_text(url);
    listener->command = memory_format("listen \"%s\"", channel);
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
