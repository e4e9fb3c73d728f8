/* SPDX-License-Identifier: MIT
 * A question about one document for a chat server (chat.h). The document is data, never instructions: it
 * stands between marks that are drawn at random for each request, and the answer follows a schema. */
#ifndef WORKERS_REMOTE_CHAT_H
#define WORKERS_REMOTE_CHAT_H

#include "lib/buffer.h"
#include "workers/chat.h"
#include "workers/remote.h"

struct remote_question {
    struct buffer rules;    /* the system's message */
    struct buffer document; /* the text, or as much of it as is told */
    const char *schema_name;
    json_t *schema;
    uint64_t max_tokens; /* 0: not said */
};

/* Takes `schema`. */
void remote_question_init(struct remote_question *question, const char *schema_name, json_t *schema);
void remote_question_clear(struct remote_question *question);
/* Writes the request. 0, or -1 after processor_fail: bad_input where the text is not UTF-8. */
int remote_question_ask(const struct remote_question *question, struct processor_context *context,
                        const struct settings *settings, struct remote_request *request);

#endif
