/* SPDX-License-Identifier: MIT
 * Requests and answers of chat servers. An answer's size is bounded by whoever read it; jansson bounds its
 * depth; numbers and texts are taken only as what they should be. */
#include "workers/chat.h"

#include <stdlib.h>
#include <string.h>

#include "lib/memory.h"
#include "lib/text.h"

/* --- requests ---------------------------------------------------------------------------------------------
 */

static json_t *make_messages(const struct chat_request *request) {
    json_t *list = json_array();

    for (size_t i = 0; i < request->message_count && list != NULL; i++) {
        const struct chat_message *message = &request->messages[i];
        json_t *content = json_stringn(message->content, message->size);
        json_t *item =
            content == NULL ? NULL : json_pack("{s:s, s:o}", "role", message->role, "content", content);
        if (item == NULL || json_array_append_new(list, item) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

char *chat_write(const struct chat_request *request, size_t *size) {
    json_t *messages = make_messages(request);
    json_t *body = messages == NULL ? NULL
                                    : json_pack("{s:s, s:o, s:f}", "model", request->model, "messages",
                                                messages, "temperature", request->temperature);
    char *text;

    if (body == NULL)
        return NULL;
    if (request->max_tokens > 0)
        (void)json_object_set_new(body, "max_tokens", json_integer((json_int_t)request->max_tokens));
    if (request->schema != NULL)
        (void)json_object_set_new(body, "response_format",
                                  json_pack("{s:s, s:{s:s, s:b, s:O}}", "type", "json_schema", "json_schema",
                                            "name", request->schema_name, "strict", 1, "schema",
                                            request->schema));
    text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    *size = text == NULL ? 0 : strlen(text);
    return text;
}

/* --- answers ----------------------------------------------------------------------------------------------
 */

static void copy_name(char *target, const json_t *value) {
    if (json_is_string(value))
        (void)text_copy(target, CHAT_NAME_SIZE, json_string_value(value));
}

static uint64_t read_count(const json_t *usage, const char *name) {
    const json_t *value = json_object_get(usage, name);

    return json_is_integer(value) && json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
}

static const char *read_choice(struct chat_answer *answer, const json_t *root) {
    const json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
    const json_t *message = json_object_get(choice, "message");
    const json_t *content = json_object_get(message, "content");

    if (choice == NULL)
        return "no choice in the answer";
    copy_name(answer->finish, json_object_get(choice, "finish_reason"));
    if (json_is_string(json_object_get(message, "refusal")) || strcmp(answer->finish, "content_filter") == 0)
        return "the model refused";
    if (!json_is_string(content))
        return "no text in the answer";
    answer->size = json_string_length(content);
    answer->content = memory_copy_bytes(json_string_value(content), answer->size);
    return strcmp(answer->finish, "length") == 0 ? "the answer was cut" : NULL;
}

int chat_read(struct chat_answer *answer, const char *text, size_t size, const char **error) {
    json_t *root = json_loadb(text, size, 0, NULL); /* refuses NULs within texts */
    const json_t *usage = json_object_get(root, "usage");

    memset(answer, 0, sizeof *answer);
    answer->usage.confidence_percent = -1;
    if (!json_is_object(root)) {
        *error = "the answer is not a JSON object";
    } else {
        copy_name(answer->model, json_object_get(root, "model"));
        answer->usage.prompt_tokens = read_count(usage, "prompt_tokens");
        answer->usage.completion_tokens = read_count(usage, "completion_tokens");
        answer->usage.total_tokens = read_count(usage, "total_tokens");
        *error = read_choice(answer, root);
    }
    json_decref(root);
    return *error == NULL ? 0 : -1;
}

void chat_answer_clear(struct chat_answer *answer) {
    free(answer->content);
    answer->content = NULL;
    answer->size = 0;
}

void chat_note_call(char *list, size_t size, const char *model, const struct chat_usage *usage,
                    uint64_t latency_ms, const char *error) {
    json_t *call = json_pack("{s:s?, s:I, s:I, s:I, s:I, s:s?}", "model", model, "prompt",
                             (json_int_t)usage->prompt_tokens, "completion",
                             (json_int_t)usage->completion_tokens, "total", (json_int_t)usage->total_tokens,
                             "latency", (json_int_t)latency_ms, "error", error);
    size_t length = strlen(list), at = length == 0 ? 0 : length - 1; /* over the closing bracket */
    char *text;

    if (call != NULL && usage->confidence_percent >= 0)
        (void)json_object_set_new(call, "confidence", json_integer(usage->confidence_percent));
    text = call == NULL ? NULL : json_dumps(call, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (text != NULL && at + strlen(text) + 3 <= size)
        (void)text_format(list + at, size - at, "%c%s]", length == 0 ? '[' : ',', text);
    free(text);
    json_decref(call);
}

json_t *chat_content_json(const struct chat_answer *answer) {
    const char *from = answer->content, *to = answer->content + answer->size;
    const char *line;

    if (from == NULL)
        return NULL;
    while (from < to && strchr(" \t\r\n", *from) != NULL)
        from++;
    while (to > from && strchr(" \t\r\n", to[-1]) != NULL)
        to--;
    line = to - from >= 6 && strncmp(from, "```", 3) == 0 ? memchr(from, '\n', (size_t)(to - from)) : NULL;
    if (line != NULL && to - line > 3 && strncmp(to - 3, "```", 3) == 0) {
        from = line + 1;
        to -= 3;
    }
    return json_loadb(from, (size_t)(to - from), JSON_REJECT_DUPLICATES, NULL);
}
