/* SPDX-License-Identifier: MIT
 * Requests to chat servers and what is taken of their answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "workers/chat.h"

static void a_request_says_what_it_should(void **state) {
    static const struct chat_message messages[] = {{"system", "Sort.", 5}, {"user", "a \"b\"\n\xc3\xa9", 8}};
    json_t *schema = json_pack("{s:s}", "type", "object");
    struct chat_request request = {.model = "m",
                                   .messages = messages,
                                   .message_count = 2,
                                   .temperature = 0.25,
                                   .max_tokens = 50,
                                   .schema_name = "kind",
                                   .schema = schema};
    size_t size;
    char *text = chat_write(&request, &size);
    json_t *root = json_loads(text, 0, NULL), *format = json_object_get(root, "response_format");

    assert_int_equal(size, strlen(text));
    assert_string_equal(json_string_value(json_object_get(root, "model")), "m");
    assert_true(json_real_value(json_object_get(root, "temperature")) == 0.25);
    assert_int_equal(json_integer_value(json_object_get(root, "max_tokens")), 50);
    assert_int_equal(json_array_size(json_object_get(root, "messages")), 2);
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(json_object_get(root, "messages"), 1), "content")),
        "a \"b\"\n\xc3\xa9");
    assert_string_equal(json_string_value(json_object_get(format, "type")), "json_schema");
    format = json_object_get(format, "json_schema");
    assert_true(json_is_true(json_object_get(format, "strict")));
    assert_true(json_equal(json_object_get(format, "schema"), schema));
    json_decref(root);
    free(text);
    request.schema = NULL;
    request.max_tokens = 0;
    text = chat_write(&request, &size);
    assert_null(strstr(text, "response_format"));
    assert_null(strstr(text, "max_tokens"));
    free(text);
    const struct chat_message broken = {"user", "\xff", 1};
    request.messages = &broken;
    request.message_count = 1;
    assert_null(chat_write(&request, &size));
    json_decref(schema);
}

#define ANSWER(content, finish)                                                                              \
    "{\"model\":\"m-1\",\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":" content              \
    "},\"finish_reason\":\"" finish "\"}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,"           \
    "\"total_tokens\":10}}"

static const struct {
    const char *text, *content, *error;
} answers[] = {
    {ANSWER("\"yes\"", "stop"), "yes", NULL},
    {ANSWER("\"\"", "stop"), "", NULL},
    {ANSWER("\"ye\"", "length"), NULL, "the answer was cut"},
    {ANSWER("\"\"", "content_filter"), NULL, "the model refused"},
    {ANSWER("null", "stop"), NULL, "no text in the answer"},
    {ANSWER("\"a\\u0000b\"", "stop"), NULL, "the answer is not a JSON object"},
    {"{\"choices\":[]}", NULL, "no choice in the answer"},
    {"{\"choices\":[{\"message\":{\"refusal\":\"I can't\",\"content\":null}}]}", NULL, "the model refused"},
    {"{\"choices\":7}", NULL, "no choice in the answer"},
    {"[]", NULL, "the answer is not a JSON object"},
    {"<html>", NULL, "the answer is not a JSON object"},
    {"", NULL, "the answer is not a JSON object"},
};

static void answers_are_not_trusted(void **state) {
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct chat_answer answer;
        const char *error = NULL;
        int status = chat_read(&answer, answers[i].text, strlen(answers[i].text), &error);
        assert_int_equal(status, answers[i].error == NULL ? 0 : -1);
        if (answers[i].error != NULL) {
            assert_string_equal(error, answers[i].error);
        } else {
            assert_string_equal(answer.content, answers[i].content);
            assert_string_equal(answer.model, "m-1");
            assert_int_equal(answer.usage.prompt_tokens, 7);
            assert_int_equal(answer.usage.completion_tokens, 3);
            assert_int_equal(answer.usage.total_tokens, 10);
        }
        chat_answer_clear(&answer);
    }
}

static const struct {
    const char *content;
    bool is_json;
} contents[] = {
    {"{\"a\":1}", true},
    {" \n{\"a\":1}\n", true},
    {"```json\n{\"a\":1}\n```", true},
    {"```\n{\"a\":1}```", true},
    {"```json {\"a\":1}```", false},
    {"Sure! {\"a\":1}", false},
    {"{\"a\":1,\"a\":2}", false},
    {"```", false},
    {"``````", false},
    {"", false},
};

static void content_may_be_fenced(void **state) {
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
        char copy[64];
        memcpy(copy, contents[i].content, strlen(contents[i].content) + 1);
        const struct chat_answer answer = {.content = copy, .size = strlen(copy)};
        json_t *json = chat_content_json(&answer);
        assert_int_equal(json != NULL, contents[i].is_json);
        json_decref(json);
    }
}

static void calls_become_a_list(void **state) {
    const struct chat_usage some = {
        .prompt_tokens = 3, .completion_tokens = 2, .total_tokens = 5, .confidence_percent = 80};
    const struct chat_usage none = {.confidence_percent = -1};
    char list[400] = "", full[400];

    chat_note_call(list, sizeof list, "m\"\xc3\xb6", &none, 7, "backend_bad_answer");
    chat_note_call(list, sizeof list, NULL, &some, 9, NULL);
    assert_string_equal(list, "[{\"model\":\"m\\\"\\u00F6\",\"prompt\":0,\"completion\":0,\"total\":0,\"latency\":7,"
                              "\"error\":\"backend_bad_answer\"},{\"model\":null,\"prompt\":3,\"completion\":2,"
                              "\"total\":5,\"latency\":9,\"error\":null,\"confidence\":80}]");
    chat_note_call(list, sizeof list, "m", &none, 7, NULL);
    memcpy(full, list, sizeof full);
    for (size_t i = 0; i < 10; i++)
        chat_note_call(list, sizeof list, "m", &none, 7, NULL);
    assert_true(list[strlen(list) - 1] == ']' && strlen(list) >= strlen(full) && strlen(list) < sizeof list);
    json_t *read = json_loads(list, 0, NULL);
    assert_true(json_array_size(read) >= 3 && json_array_size(read) < 13);
    json_decref(read);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_says_what_it_should),
        cmocka_unit_test(answers_are_not_trusted),
        cmocka_unit_test(content_may_be_fenced),
        cmocka_unit_test(calls_become_a_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
