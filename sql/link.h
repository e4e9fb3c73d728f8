/* SPDX-License-Identifier: MIT
 * One libpq connection on the event loop: opening without blocking, a deadline for it, backoff between
 * attempts, flushing, and word of its end. Private to sql/: what travels over it is the pool's or the
 * listener's matter. Looking up a host name may block (libpq asks getaddrinfo); a Unix socket or an address
 * does not. */
#ifndef SQL_LINK_H
#define SQL_LINK_H

#include "lib/loop.h"
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

enum link_state { LINK_CLOSED, LINK_CONNECTING, LINK_READY, LINK_STATE_COUNT };

struct link_handlers {
    void (*ready)(void *context);    /* connected, non-blocking */
    void (*readable)(void *context); /* input was consumed */
    /* The connection failed or broke and is closed; was_ready tells which. May call link_open_later. */
    void (*lost)(void *context, bool was_ready);
};

struct link {
    struct loop *loop;
    const char *url;
    const char *application_name;
    const struct link_handlers *handlers;
    void *context;
    PGconn *connection;
    enum link_state state;
    struct loop_watch *watch;
    int watched_fd;
    struct loop_timer *timer; /* deadline of an attempt, or the wait before the next one */
    int64_t backoff_ms;
    char error[256]; /* why the last attempt failed or the link broke, one line */
};

/* Texts and handlers are borrowed for the link's life. Closed at first. */
void link_init(struct link *link, struct loop *loop, const char *url, const char *application_name);
void link_set_handlers(struct link *link, const struct link_handlers *handlers, void *context);
void link_clear(struct link *link);

/* Starts connecting now; no-op unless closed. Every handler is called from the loop, never from here. */
void link_open(struct link *link);
/* The same after the backoff: 100 ms doubling to 2 s, less up to a quarter at random. */
void link_open_later(struct link *link);
/* Sends what is buffered and watches for writing while some is left. -1: broken (see link_fail). */
int link_flush(struct link *link);
/* Closes the link, keeps the reason and calls `lost`. */
void link_fail(struct link *link, const char *reason);

/* First line of libpq's message, without control characters. */
void link_copy_line(char *target, size_t size, const char *message);

#endif
