/* SPDX-License-Identifier: MIT
 * Two messages and a schema; see remote_chat.h. */
#include "workers/remote_chat.h"

#include <stdlib.h>

#include "lib/text.h"

#define PROMPT_MAX ((size_t)2 << 20)

void remote_question_init(struct remote_question *question, const char *schema_name, json_t *schema) {
    *question = (struct remote_question){.schema_name = schema_name, .schema = schema};
    buffer_init(&question->rules, PROMPT_MAX);
    buffer_init(&question->document, PROMPT_MAX);
}

void remote_question_clear(struct remote_question *question) {
    buffer_clear(&question->rules);
    buffer_clear(&question->document);
    json_decref(question->schema);
}

static double temperature_of(const struct settings *settings) {
    double value = settings->chat_temperature == NULL ? 0 : strtod(settings->chat_temperature, NULL);

    return value >= 0 && value <= 2 ? value : 0;
}

static int put_document(struct buffer *out, const struct buffer *document) {
    unsigned char random[8];
    char mark[2 * sizeof random + 1];

    text_random(random, sizeof random);
    text_hex_encode(mark, random, sizeof random);
    return buffer_append_format(out, "<<<document %s>>>\n", mark) |
           buffer_append(out, document->data, document->size) |
           buffer_append_format(out, "\n<<<end of document %s>>>", mark);
}

int remote_question_ask(const struct remote_question *question, struct processor_context *context,
                        const struct settings *settings, struct remote_request *request) {
    struct buffer user;
    char *text = NULL;
    size_t size = 0;
    int status;

    buffer_init(&user, PROMPT_MAX);
    if (put_document(&user, &question->document) == 0) {
        const struct chat_message messages[] = {
            {.role = "system", .content = question->rules.data, .size = question->rules.size},
            {.role = "user", .content = user.data, .size = user.size}};
        text = chat_write(&(struct chat_request){.model = settings->chat_model,
                                                 .messages = messages,
                                                 .message_count = 2,
                                                 .temperature = temperature_of(settings),
                                                 .max_tokens = question->max_tokens,
                                                 .schema_name = question->schema_name,
                                                 .schema = question->schema},
                          &size);
    }
    request->path = CHAT_PATH;
    (void)text_copy(request->content_type, sizeof request->content_type, "application/json");
    status = text == NULL ? processor_fail(context, "bad_input", "the text is not UTF-8")
                          : remote_write(context, request, text, size);
    buffer_clear(&user);
    free(text);
    return status;
}
