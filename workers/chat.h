/* SPDX-License-Identifier: MIT
 * Talking to an OpenAI-compatible /v1/chat/completions: a request as JSON, and what its answer says. For
 * network processors (remote.h); knows nothing of tasks. */
#ifndef WORKERS_CHAT_H
#define WORKERS_CHAT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define CHAT_PATH "/v1/chat/completions"
#define CHAT_NAME_SIZE 100

struct chat_message {
    const char *role; /* "system", "user", "assistant" */
    const char *content;
    size_t size;
};

struct chat_request {
    const char *model;
    const struct chat_message *messages;
    size_t message_count;
    double temperature;  /* 0 to 2 */
    uint64_t max_tokens; /* of the answer; 0: not said */
    const char *schema_name;
    const json_t *schema; /* JSON Schema that the answer must follow, strictly; NULL: plain text. Borrowed */
};

/* One call, as it is accounted for. */
struct chat_usage {
    uint64_t prompt_tokens, completion_tokens, total_tokens; /* 0 when not said */
    int confidence_percent;                                  /* -1: not said */
};

struct chat_answer {
    char *content; /* of the first choice, NUL-terminated and without NULs within */
    size_t size;
    char model[CHAT_NAME_SIZE], finish[CHAT_NAME_SIZE]; /* as the server says; "" when it doesn't */
    struct chat_usage usage;
};

/* JSON text that the caller frees, or NULL when a text is not UTF-8. */
char *chat_write(const struct chat_request *request, size_t *size);

/* 0, or -1 with a short static text in `error`: not JSON, no choice, no text, a refusal, or an answer that
 * was cut
 * ("length"). chat_answer_clear frees what was filled, in either case. */
int chat_read(struct chat_answer *answer, const char *text, size_t size, const char **error);
void chat_answer_clear(struct chat_answer *answer);

/* Adds a call to a list, the text of a JSON array ("" before the first): "model" (as it was asked for),
 * "prompt", "completion", "total" (tokens), "latency" (ms), "confidence" (percent), "error". What does not
 * fit is left out. */
void chat_note_call(char *list, size_t size, const char *model, const struct chat_usage *usage,
                    uint64_t latency_ms, const char *error);

/* The content as JSON, which the caller decrefs; some servers put it between ``` lines. NULL: it isn't. */
json_t *chat_content_json(const struct chat_answer *answer);

#endif
