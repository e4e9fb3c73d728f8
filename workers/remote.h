/* SPDX-License-Identifier: MIT
 * What a network processor is: one file ending in `const struct remote remote_<name>`, one row in remote.c
 * and one in proto/processors.def with profile NETWORK (or a row in proto/processors.c, where a setting
 * decides). Its task fetches the input as any other, runs in no runner, asks one service that the operator
 * named (service.h: places, rate, timeouts, retries, circuit breaker), and stores what it made of the answer.
 *
 * Both functions run in the worker: they may read what a processor of a runner may read of its context
 * (input, mime, parameters, outputs, limits) and use the same calls (processor_fail, processor_write,
 * processor_fact), but must never parse a document: what needs that is done by `prepare`, in a runner. Input
 * and answer are untrusted. They return at once: nothing here may wait or compute for long. */
#ifndef WORKERS_REMOTE_H
#define WORKERS_REMOTE_H

#include "config/settings.h"
#include "workers/chat.h"
#include "workers/processor.h"
#include "workers/service.h"

#define REMOTE_TYPE_SIZE 128
#define REMOTE_PATH_SIZE 700

/* What `request` fills. The body goes into a file in memory. */
struct remote_request {
    const char *path;   /* below the service's URL, "/v1/chat/completions"; static, or path_text */
    const char *method; /* NULL: POST */
    char path_text[REMOTE_PATH_SIZE];
    char base[SERVICE_BASE_SIZE]; /* the service's URL; "": as the settings say */
    char content_type[REMOTE_TYPE_SIZE];
    int body;
    uint64_t body_bytes;
};

struct remote_answer {
    const char *text; /* NUL-terminated; at most the setting service_answer_bytes */
    size_t size;
    const char *content_type; /* "" when absent */
    bool last;                /* it will not be asked again, whatever the answer is */
    struct chat_usage *usage; /* to be filled with what the answer says of itself */
    char **report; /* to be set to a JSON text that becomes the result's metrics.report; taken, freed by free() */
};

enum remote_step {
    REMOTE_FAILED = -1, /* after processor_fail */
    REMOTE_ASK = 0,     /* the request is built */
    REMOTE_DONE = 1,    /* nobody needs to be asked: the outputs are made */
    REMOTE_AGAIN = 2,   /* of an answer that is not what it should be: asked once more, as before */
};

struct remote {
    const char *name; /* the processor's */
    enum service_name service;
    /* A processor that a runner runs before: the input is then its first output. It gets no parameters. NULL:
     * the input is the file. */
    const char *prepare;
    enum remote_step (*request)(struct processor_context *context, const struct settings *settings,
                                struct remote_request *request);
    /* The service answered 2xx: checks the answer and writes outputs and facts. 0, or -1 after
     * processor_fail, or REMOTE_AGAIN having written nothing, once; an answer that is not what it should be is
     * "backend_bad_answer". */
    int (*answer)(struct processor_context *context, const struct settings *settings,
                  const struct remote_answer *answer);
};

#define REMOTE_REPORT_MAX 14000 /* bytes of a report, with what goes around it in a message */

/* NULL if no such processor asks a service. */
const struct remote *remote_find(const char *name);

/* Appends to the body. 0, or -1 after processor_fail. */
int remote_write(struct processor_context *context, struct remote_request *request, const void *bytes,
                 size_t size);

#endif
