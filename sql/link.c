/* SPDX-License-Identifier: MIT
 * libpq's non-blocking connect (PostgreSQL manual, 34.1 and 34.4) driven by the loop. */
#include "sql/link.h"

#include <string.h>

#include "lib/memory.h"
#include "lib/text.h"

#define CONNECT_DEADLINE_MS 5000
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MOST_MS 2000

void link_copy_line(char *target, size_t size, const char *message) {
    size_t used = 0;

    for (; message != NULL && *message != '\0' && *message != '\n' && used + 1 < size; message++)
        target[used++] = (unsigned char)*message < 0x20 ? ' ' : *message;
    target[used] = '\0';
}

static void ignore_notice(void *context, const PGresult *result) {
}

static void link_unwatch(struct link *link) {
    if (link->watch != NULL)
        loop_watch_free(link->watch);
    link->watch = NULL;
    link->watched_fd = -1;
}

static void link_close(struct link *link) {
    link_unwatch(link);
    loop_timer_stop(link->timer);
    if (link->connection != NULL)
        PQfinish(link->connection);
    link->connection = NULL;
    link->state = LINK_CLOSED;
}

void link_fail(struct link *link, const char *reason) {
    bool was_ready = link->state == LINK_READY;

    link_copy_line(link->error, sizeof link->error, reason);
    link_close(link);
    link->handlers->lost(link->context, was_ready);
}

static void link_on_event(void *context, uint32_t events);

static void link_watch(struct link *link, uint32_t events) {
    int fd = PQsocket(link->connection);

    if (link->watch != NULL && fd == link->watched_fd) {
        loop_watch_set(link->watch, events);
        return;
    }
    link_unwatch(link);
    link->watch = loop_watch_new(link->loop, fd, events, link_on_event, link);
    link->watched_fd = fd;
}

static void link_connected(struct link *link) {
    link->state = LINK_READY;
    link->backoff_ms = 0;
    loop_timer_stop(link->timer);
    PQsetnonblocking(link->connection, 1);
    link_watch(link, LOOP_READ);
    link->handlers->ready(link->context);
}

static void link_poll(struct link *link) {
    /* libpq may close its socket and open another between two polls, under the same number. */
    link_unwatch(link);
    switch (PQconnectPoll(link->connection)) {
    case PGRES_POLLING_OK:
        link_connected(link);
        break;
    case PGRES_POLLING_READING:
        link_watch(link, LOOP_READ);
        break;
    case PGRES_POLLING_WRITING:
        link_watch(link, LOOP_WRITE);
        break;
    default:
        link_fail(link, PQerrorMessage(link->connection));
        break;
    }
}

static void link_on_event(void *context, uint32_t events) {
    struct link *link = context;

    if (link->state == LINK_CONNECTING) {
        link_poll(link);
        return;
    }
    if ((events & (LOOP_READ | LOOP_HANGUP)) != 0) {
        if (PQconsumeInput(link->connection) == 0) {
            /* What came before the end is still to be read: it may be the answer to a COMMIT. */
            PGconn *connection = link->connection;
            link->handlers->readable(link->context);
            if (link->connection == connection)
                link_fail(link, PQerrorMessage(connection));
            return;
        }
        link->handlers->readable(link->context);
    }
    if (link->state == LINK_READY && (events & LOOP_WRITE) != 0 && link_flush(link) != 0)
        link_fail(link, PQerrorMessage(link->connection));
}

int link_flush(struct link *link) {
    int left = PQflush(link->connection);

    if (left < 0)
        return -1;
    link_watch(link, left > 0 ? LOOP_READ | LOOP_WRITE : LOOP_READ);
    return 0;
}

static void link_on_timer(void *context) {
    struct link *link = context;

    if (link->state == LINK_CONNECTING)
        link_fail(link, PQstatus(link->connection) == CONNECTION_BAD ? PQerrorMessage(link->connection)
                                                                     : "no connection within the deadline");
    else
        link_open(link);
}

void link_open(struct link *link) {
    /* What stands before dbname is overridden by what the URL says. */
    const char *const names[] = {
        "keepalives_idle", "keepalives_interval",       "keepalives_count", "tcp_user_timeout",
        "client_encoding", "fallback_application_name", "dbname",           NULL};
    const char *const values[] = {"30", "10", "3", "30000", "UTF8", link->application_name, link->url, NULL};

    if (link->state != LINK_CLOSED)
        return;
    link->state = LINK_CONNECTING;
    link->connection = PQconnectStartParams(names, values, 1);
    if (link->connection == NULL || PQstatus(link->connection) == CONNECTION_BAD) {
        loop_timer_set(link->timer, 0); /* fails from the loop */
        return;
    }
    PQsetNoticeReceiver(link->connection, ignore_notice, NULL);
    link_watch(link, LOOP_WRITE);
    loop_timer_set(link->timer, CONNECT_DEADLINE_MS);
}

void link_open_later(struct link *link) {
    uint16_t random;

    if (link->state != LINK_CLOSED)
        return;
    link->backoff_ms = link->backoff_ms == 0 ? BACKOFF_FIRST_MS : link->backoff_ms * 2;
    if (link->backoff_ms > BACKOFF_MOST_MS)
        link->backoff_ms = BACKOFF_MOST_MS;
    text_random(&random, sizeof random);
    loop_timer_set(link->timer, link->backoff_ms - link->backoff_ms * random / 65536 / 4);
}

void link_init(struct link *link, struct loop *loop, const char *url, const char *application_name) {
    *link = (struct link){.loop = loop, .url = url, .application_name = application_name, .watched_fd = -1};
    link->timer = loop_timer_new(loop, link_on_timer, link);
}

void link_set_handlers(struct link *link, const struct link_handlers *handlers, void *context) {
    link->handlers = handlers;
    link->context = context;
}

void link_clear(struct link *link) {
    link_close(link);
    loop_timer_free(link->timer);
    link->timer = NULL;
}
