/* SPDX-License-Identifier: MIT
 * One request on its way: who asks for what, and the one answer it gets. A call lives until the client is
 * gone and nothing it started is still to come back; a client that leaves early changes nothing about what is
 * done, since the work may be half done already. */
#ifndef GATEWAY_CALL_H
#define GATEWAY_CALL_H

#include "gateway/gateway.h"
#include "gateway/problems.h"
#include "gateway/routes.h"
#include "lib/text.h"
#include "lib/trace.h"
#include <jansson.h>

#define REQUEST_ID_MAX 64

typedef void call_query_fn(struct call *call, const struct database_answer *answer);

/* What an SQL error means; the last row of a table has no sqlstate. The first row that fits counts. */
struct call_refusal {
    const char *sqlstate; /* or how it begins: "23" is a class */
    enum problem problem;
    const char *detail;  /* NULL: none */
    bool says;           /* the detail is the error's own message, which is for people */
    bool warns;          /* logged as a warning */
    call_query_fn *tell; /* answers, instead of all that; NULL: none */
};

/* How far an Idempotency-Key of this call has come (idempotency.c). */
struct call_idempotency {
    bool active;
    bool recorded;    /* the effect is committed together with the key */
    bool stored;      /* the answer too */
    int known_status; /* the answer that was committed with it; 0: none */
    unsigned polls;
    char key[256];
    char hash[65];
    struct loop_timer *timer;
};

struct call {
    struct gateway *gateway;
    struct http_request *request; /* NULL: the client is gone */
    const struct route *route;    /* NULL: no such route */
    char parameters[ROUTE_MAX_PARAMETERS][ROUTE_PARAMETER_MAX];
    char request_id[REQUEST_ID_MAX + 1];
    char trace[TRACE_ID_SIZE];                 /* follows what this request starts */
    char traceparent[TRACE_HEADER_SIZE];       /* the same with this request's own parent id */
    char user[UUID_TEXT_SIZE]; /* "" before the token is checked */
    int64_t token_expires_s;
    json_t *body;
    int64_t started_us;
    int status; /* of the answer given; 0: none yet */
    bool waits_for_keys;
    bool streams; /* answered by a stream that events.c ends */
    unsigned pending;
    call_query_fn *on_answer;
    const struct call_refusal *refusals; /* may be NULL */
    size_t query_count;                  /* of the handler's own; an Idempotency-Key's comes after them */
    bool writes;                         /* what runs now changes something */
    struct call_idempotency idempotency;
    void *state; /* the handler's own, freed with the call */
    void (*state_clear)(void *state);
    struct call *previous, *next;
};

struct call *call_new(struct gateway *gateway, struct http_request *request);
/* The client is gone, or has its whole answer. */
void call_closed(struct call *call);
/* At the end of the process, when nothing comes back any more. */
void call_free_all(struct gateway *gateway);
/* Everything that comes back to a call is held and released; the last release of a closed call frees it. */
void call_hold(struct call *call);
void call_release(struct call *call);
/* Zeroed memory freed with the call; once per call. `clear` (may be NULL) is called before. */
void *call_state(struct call *call, size_t size, void (*clear)(void *state));

/* Runs one transaction as the call's user. `on_answer` gets DATABASE_OK only; every failure is answered here.
 * One at a time. */
void call_read(struct call *call, const struct query *queries, size_t count, call_query_fn *on_answer);
/* The same for an effect: where the call carries an Idempotency-Key, the key is committed in the same
 * transaction (of several, in the first), together with the answer when it is known already. */
struct call_effect {
    const struct query *queries;
    size_t count;
    call_query_fn *on_answer;
    const struct call_refusal *refusals; /* before the usual ones; NULL: none */
    int known_status;            /* 0: not known */
    const char *known_body;
    const char *proof_file; /* the known answer is true only if this file now exists; NULL: always */
};
void call_write(struct call *call, const struct call_effect *effect);
/* One query, of whose answer nothing is known beforehand. `refusals` may be NULL. */
void call_write_one(struct call *call, const struct query *query, call_query_fn *on_answer,
                    const struct call_refusal *refusals);

/* The answer: `body` is JSON text (borrowed). */
void call_respond(struct call *call, int status, const char *body);
/* The same; takes `body` from malloc. */
void call_respond_take(struct call *call, int status, char *body);
void call_redirect(struct call *call, const char *url);
void call_problem(struct call *call, enum problem problem, const char *detail);
/* Takes `members`. */
void call_problem_with(struct call *call, enum problem problem, const char *detail, json_t *members);
/* 400 that names one field. */
void call_refuse_field(struct call *call, const char *field, const char *words);
/* Sends at once, past the storing of idempotent answers. Extra headers end with a NULL name. */
void call_send(struct call *call, int status, const char *content_type, const char *body,
               const struct http_header *extra);
/* A stream of events; NULL if the client is gone. */
struct http_stream *call_stream(struct call *call, size_t max_queue);

/* An answer of known length in pieces; `extra` ends with a NULL name. NULL if the client is gone. */
struct http_stream *call_supply(struct call *call, int status, const struct http_header *extra,
                                const struct http_supply *supply);

/* A query parameter, NULL if absent. */
const char *call_query_value(const struct call *call, const char *name);

#endif
