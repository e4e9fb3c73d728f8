/* SPDX-License-Identifier: MIT
 * Server-sent events; see events.h. Every stream reads the table as its own user, so row security holds for
 * each event; which files have news is asked for all of them together. */
#include "gateway/events.h"

#include "gateway/files.h"
#include "gateway/handlers.h"
#include "gateway/statements.h"
#include "lib/buffer.h"
#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/memory.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STREAMS 1024
#define STREAM_QUEUE_BYTES (1024u * 1024u)
#define PAGE_ROWS 200 /* as in STATEMENT_EVENTS_AFTER */
#define TICK_MS 1000
#define HEARTBEAT_TICKS 15

struct listener {
    struct call *call;
    struct http_stream *stream; /* NULL: ended */
    char file[UUID_TEXT_SIZE];
    int64_t last;
    bool reading;
    bool again; /* news came while reading */
    struct listener *previous, *next;
};

struct events {
    struct gateway *gateway;
    struct loop_timer *timer;
    struct listener *listeners;
    unsigned count;
    unsigned ticks;
    bool asking;
};

static void read_news(struct events *events, struct listener *listener);

static void unlink_listener(struct events *events, struct listener *listener) {
    if (listener->previous != NULL) {
        listener->previous->next = listener->next;
    } else {
        events->listeners = listener->next;
    }
    if (listener->next != NULL) {
        listener->next->previous = listener->previous;
    }
    listener->stream = NULL;
    events->count--;
    counter_set(COUNT_EVENT_STREAMS, events->count);
    if (events->count == 0) {
        loop_timer_stop(events->timer);
    }
}

/* The stream is done with, by whichever side; its call goes on until closed. */
static void end_stream(struct events *events, struct listener *listener, const char *last_words) {
    struct http_stream *stream = listener->stream;
    unlink_listener(events, listener);
    if (last_words == NULL || http_stream_write(stream, last_words, strlen(last_words)) == 0) {
        http_stream_end(stream);
    }
}

static int write_row(struct listener *listener, const struct database_result *result, size_t row) {
    char *text = memory_format("id: %s\nevent: %s\ndata: %s\n\n", result_text(result, row, "id"),
                               result_text(result, row, "kind"), result_text(result, row, "data"));
    int written = http_stream_write(listener->stream, text, strlen(text));
    free(text);
    return written;
}

static void write_rows(struct events *events, struct listener *listener,
                       const struct database_result *result) {
    for (size_t row = 0; row < result_rows(result) && listener->stream != NULL; row++) {
        if (write_row(listener, result, row) != 0) {
            if (listener->stream != NULL) {
                unlink_listener(events, listener);
            }
            return;
        }
        listener->last = result_number(result, row, "id");
        if (listener->stream != NULL && result_bool(result, row, "last")) {
            end_stream(events, listener, NULL);
        }
    }
}

static void news_read(void *context, const struct database_answer *answer) {
    struct listener *listener = context;
    struct call *call = listener->call;
    struct events *events = call->gateway->events;
    listener->reading = false;
    if (answer->outcome == DATABASE_OK && listener->stream != NULL) {
        const struct database_result *result = answer->results[0];
        listener->again = listener->again || result_rows(result) == PAGE_ROWS;
        write_rows(events, listener, result);
        if (listener->again && listener->stream != NULL) {
            read_news(events, listener);
        }
    }
    call_release(call);
}

static void read_news(struct events *events, struct listener *listener) {
    if (listener->reading) {
        listener->again = true;
        return;
    }
    char last[24];
    listener->reading = true;
    listener->again = false;
    (void)text_format(last, sizeof last, "%" PRId64, listener->last);
    const struct query query = {.statement = &statements[STATEMENT_EVENTS_AFTER],
                                .values = {listener->file, last}};
    const struct database_local locals[] = {{.name = "filemill.user_id", .value = listener->call->user},
                                            {.name = NULL}};
    call_hold(listener->call);
    database_run(events->gateway->database, locals, &query, 1, news_read, listener);
}

void events_notify(struct events *events, const char *file) {
    for (struct listener *listener = events->listeners; listener != NULL; listener = listener->next) {
        if (strcmp(listener->file, file) == 0) {
            read_news(events, listener);
        }
    }
}

/* --- once a second --- */

static void newest_known(void *context, const struct database_answer *answer) {
    struct events *events = context;
    events->asking = false;
    if (answer->outcome != DATABASE_OK) {
        return;
    }
    const struct database_result *result = answer->results[0];
    for (size_t row = 0; row < result_rows(result); row++) {
        const char *file = result_text(result, row, "file");
        int64_t newest = result_number(result, row, "newest");
        for (struct listener *listener = events->listeners; listener != NULL; listener = listener->next) {
            if (newest > listener->last && strcmp(listener->file, file) == 0) {
                read_news(events, listener);
            }
        }
    }
}

static void ask_newest(struct events *events) {
    struct buffer files;
    buffer_init(&files, MAX_STREAMS * (UUID_TEXT_SIZE + 1) + 3);
    int failed = buffer_append_text(&files, "{");
    for (struct listener *listener = events->listeners; listener != NULL; listener = listener->next) {
        bool repeated = listener->previous != NULL && strcmp(listener->previous->file, listener->file) == 0;
        if (!repeated) {
            failed |= buffer_append_text(&files, files.size > 1 ? "," : "");
            failed |= buffer_append_text(&files, listener->file);
        }
    }
    failed |= buffer_append_text(&files, "}");
    if (failed == 0) {
        const struct query query = {.statement = &statements[STATEMENT_EVENTS_NEWEST],
                                    .values = {files.data}};
        events->asking = true;
        database_run(events->gateway->database, NULL, &query, 1, newest_known, events);
    }
    buffer_clear(&files);
}

/* Keeps proxies from closing quiet streams, and ends those whose token has ended. */
static void beat(struct events *events) {
    int64_t now_s = clock_wall_ms() / 1000;
    struct listener *next;
    for (struct listener *listener = events->listeners; listener != NULL; listener = next) {
        struct call *call = listener->call;
        next = listener->next;
        call_hold(call); /* a write may close it */
        if (call->token_expires_s <= now_s) {
            end_stream(events, listener, ": the token has expired\n\n");
        } else if (events->ticks % HEARTBEAT_TICKS == 0 &&
                   http_stream_write(listener->stream, ":\n\n", 3) != 0 && listener->stream != NULL) {
            unlink_listener(events, listener);
        }
        call_release(call);
    }
}

static void tick(void *context) {
    struct events *events = context;
    events->ticks++;
    beat(events);
    if (events->count == 0) {
        return;
    }
    if (!events->asking) {
        ask_newest(events);
    }
    loop_timer_set(events->timer, TICK_MS);
}

/* --- the route --- */

static void start(struct call *call, struct file_view *file) {
    static const char first[] = "retry: 1000\n\n";
    struct events *events = call->gateway->events;
    const char *last = call->request != NULL ? http_request_header(call->request, "Last-Event-ID") : NULL;
    uint64_t after = 0;
    last = last != NULL ? last : call_query_value(call, "last_event_id");
    if (last != NULL && last[0] != '\0' && text_parse_u64(last, 0, INT64_MAX, &after) != 0) {
        call_problem(call, PROBLEM_BAD_REQUEST, "Last-Event-ID: not one of ours");
        return;
    }
    if (events->count >= MAX_STREAMS || call->gateway->draining) {
        call_problem(call, call->gateway->draining ? PROBLEM_DRAINING : PROBLEM_NOT_READY,
                     "Too many streams.");
        return;
    }
    struct http_stream *stream = call_stream(call, STREAM_QUEUE_BYTES);
    if (stream == NULL) {
        return;
    }
    struct listener *listener = memory_new(sizeof *listener);
    file->work = listener;
    *listener =
        (struct listener){.call = call, .stream = stream, .last = (int64_t)after, .next = events->listeners};
    (void)text_copy(listener->file, sizeof listener->file, file->id);
    if (listener->next != NULL) {
        listener->next->previous = listener;
    } else {
        loop_timer_set(events->timer, TICK_MS);
    }
    events->listeners = listener;
    events->count++;
    counter_set(COUNT_EVENT_STREAMS, events->count);
    if (http_stream_write(stream, first, sizeof first - 1) == 0) {
        read_news(events, listener);
    } else if (listener->stream != NULL) {
        unlink_listener(events, listener);
    }
}

void handle_events(struct call *call) {
    file_look(call, call->parameters[0], FILE_ACCESS_READ, start);
}

struct events *events_new(struct gateway *gateway) {
    struct events *events = memory_new(sizeof *events);
    events->gateway = gateway;
    events->timer = loop_timer_new(gateway->loop, tick, events);
    return events;
}

void events_free(struct events *events) {
    if (events != NULL) {
        loop_timer_free(events->timer);
        free(events);
    }
}

void events_forget(struct events *events, struct call *call) {
    for (struct listener *listener = events->listeners; listener != NULL; listener = listener->next) {
        if (listener->call == call) {
            unlink_listener(events, listener);
            return;
        }
    }
}

void events_drain(struct events *events) {
    while (events->listeners != NULL) {
        end_stream(events, events->listeners, "retry: 1000\n: stopping, come back\n\n");
    }
}
