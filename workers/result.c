/* SPDX-License-Identifier: MIT
 * Writing and reading a runner's result. Keys: "error", "detail", "pages", "d.<name>" for a number about the
 * document, "<index>.<name>" for one about an output, "w.<n>" for a warning; warnings come last;
 * "split" and "failed_pages", lists of pages. */
#include "workers/result.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/text.h"
#include "proto/message.h"

#define RESULT_MAX_PAIRS 64
#define KEY_SIZE 33

_Static_assert(PROCESSOR_MAX_FACTS + PROCESSOR_MAX_WARNINGS + 5 <= RESULT_MAX_PAIRS, "facts must fit a result");

int result_write(int fd, const struct processor_context *context) {
    struct message_pair pairs[RESULT_MAX_PAIRS];
    char keys[PROCESSOR_MAX_FACTS][KEY_SIZE], names[PROCESSOR_MAX_WARNINGS][KEY_SIZE];
    struct buffer buffer;
    size_t count = 0;
    int status = -1;

    pairs[count++] = (struct message_pair){.key = "error", .text = context->error == NULL ? "" : context->error};
    pairs[count++] = (struct message_pair){.key = "detail", .text = context->detail};
    pairs[count++] = (struct message_pair){.key = "pages", .number = context->page_count};
    if (context->split[0] != '\0')
        pairs[count++] = (struct message_pair){.key = "split", .text = context->split};
    if (context->failed_pages[0] != '\0')
        pairs[count++] = (struct message_pair){.key = "failed_pages", .text = context->failed_pages};
    for (size_t i = 0; i < context->fact_count; i++) {
        const struct processor_fact *fact = &context->facts[i];
        if (fact->output < 0)
            (void)text_format(keys[i], KEY_SIZE, "d.%s", fact->name);
        else
            (void)text_format(keys[i], KEY_SIZE, "%d.%s", fact->output, fact->name);
        pairs[count++] = (struct message_pair){.key = keys[i], .number = fact->number};
    }
    for (size_t i = 0; i < context->warning_count; i++) {
        (void)text_format(names[i], KEY_SIZE, "w.%zu", i);
        pairs[count++] = (struct message_pair){.key = names[i], .text = context->warnings[i]};
    }
    buffer_init(&buffer, RESULT_MAX_BYTES);
    if (message_pairs_encode(&buffer, pairs, count) == 0 &&
        pwrite(fd, buffer.data, buffer.size, 0) == (ssize_t)buffer.size)
        status = 0;
    buffer_clear(&buffer);
    return status;
}

/* --- reading, without trust ----------------------------------------------------------------------------- */

static int is_plain_name(const char *name) {
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return length > 0 && length < PROCESSOR_FACT_NAME_SIZE && name[length] == '\0';
}

static void copy_printable(char *target, size_t size, const char *text) {
    size_t i = 0;

    for (; i + 1 < size && text[i] != '\0'; i++)
        target[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    target[i] = '\0';
}

/* Adds `"name":number` to a JSON object that is kept closed all the time. */
static int add_number(char *json, const char *name, uint64_t number) {
    size_t length = strlen(json);
    const char *start = length == 0 ? "{" : ",";
    size_t at = length == 0 ? 0 : length - 1; /* over the closing brace */

    return text_format(json + at, RESULT_JSON_SIZE - at, "%s\"%s\":%" PRIu64 "}", start, name, number);
}

static bool has_warnings(const char *json) {
    size_t length = strlen(json);

    return length >= 2 && json[length - 2] == ']';
}

/* Adds a text to the array "warnings", which is the object's last member and kept closed as the object is. */
static int add_warning(struct runner_result *result, const char *warning) {
    char text[PROCESSOR_WARNING_SIZE];
    char *json = result->metrics;
    size_t length = strlen(json), at = length;
    bool more = has_warnings(json);

    copy_printable(text, sizeof text, warning);
    for (char *c = text; *c != '\0'; c++)
        *c = *c == '"' || *c == '\\' ? '\'' : *c;
    at -= more ? 2 : length > 0 ? 1 : 0;
    return text_format(json + at, RESULT_METRICS_SIZE - at, "%s\"%s\"]}",
                       more         ? ","
                       : length > 0 ? ",\"warnings\":["
                                    : "{\"warnings\":[",
                       text);
}

static int add_list(char *json, size_t size, const char *list) {
    size_t length = strlen(json);
    const char *start = length == 0 ? "{" : ",";
    size_t at = length == 0 ? 0 : length - 1;

    return text_format(json + at, size - at, "%s\"failed_pages\":\"%s\"}", start, list);
}

static int read_fact(const struct message_pair *pair, const struct processor_row *row,
                     struct runner_result *result) {
    const char *name = pair->key + 2;
    size_t output = (size_t)(unsigned char)pair->key[0] - '0';

    if (pair->text != NULL || pair->key[0] == '\0' || pair->key[1] != '.' || !is_plain_name(name) ||
        has_warnings(result->metrics))
        return -1;
    if (pair->key[0] == 'd')
        return add_number(result->metrics, name, pair->number);
    return output < row->output_count ? add_number(result->metadata[output], name, pair->number) : -1;
}

static int read_error(const char *code, struct runner_result *result) {
    if (code[0] == '\0')
        return 0;
    result->reason = reason_find(code);
    return result->reason != NULL && (result->reason->sources & REASON_BY_RUNNER) != 0 ? 0 : -1;
}

/* Digits and what may stand between them: it goes into JSON and to the scheduler as it is. */
static int read_list(const struct message_pair *pair, char *target, size_t size) {
    return pair->text == NULL || pair->text[strspn(pair->text, "0123456789-:,")] != '\0' ||
                   text_copy(target, size, pair->text) != 0
               ? -1
               : 0;
}

static int read_pair(const struct message_pair *pair, const struct processor_row *row,
                     struct runner_result *result) {
    if (strcmp(pair->key, "error") == 0)
        return pair->text == NULL ? -1 : read_error(pair->text, result);
    if (strcmp(pair->key, "detail") == 0) {
        copy_printable(result->detail, sizeof result->detail, pair->text == NULL ? "" : pair->text);
        return 0;
    }
    if (strcmp(pair->key, "split") == 0)
        return read_list(pair, result->split, sizeof result->split);
    if (strcmp(pair->key, "failed_pages") == 0)
        return read_list(pair, result->failed_pages, sizeof result->failed_pages);
    if (strcmp(pair->key, "pages") == 0) {
        result->pages = pair->number;
        return pair->text == NULL ? 0 : -1;
    }
    if (pair->key[0] == 'w' && pair->key[1] == '.')
        return pair->text == NULL ? -1 : add_warning(result, pair->text);
    return read_fact(pair, row, result);
}

static int read_pairs(char *bytes, size_t size, const struct processor_row *row, struct runner_result *result) {
    struct message_pair pairs[RESULT_MAX_PAIRS];
    int count = message_pairs_decode(pairs, RESULT_MAX_PAIRS, bytes, size);

    for (int i = 0; i < count; i++) {
        if (read_pair(&pairs[i], row, result) != 0)
            return -1;
    }
    return count < 0 ? -1 : 0;
}

/* Said of the document and of everything that was made of it. */
static int add_failed_pages(const struct processor_row *row, struct runner_result *result) {
    const char *list = result->failed_pages;
    int status = list[0] == '\0' ? 0 : add_list(result->metrics, RESULT_METRICS_SIZE, list);

    for (size_t i = 0; i < row->output_count && result->failed_pages[0] != '\0'; i++) {
        if (result->metadata[i][0] != '\0')
            status |= add_list(result->metadata[i], RESULT_JSON_SIZE, result->failed_pages);
    }
    return status;
}

int result_read(int fd, const struct processor_row *row, struct runner_result *result, const char **error) {
    char *bytes = malloc(RESULT_MAX_BYTES + 1);
    ssize_t size = bytes == NULL ? -1 : pread(fd, bytes, RESULT_MAX_BYTES + 1, 0);

    memset(result, 0, sizeof *result);
    *error = NULL;
    if (size <= 0)
        *error = "no result";
    else if (size > (ssize_t)RESULT_MAX_BYTES)
        *error = "result too large";
    else if (read_pairs(bytes, (size_t)size, row, result) != 0 || add_failed_pages(row, result) != 0)
        *error = "malformed result";
    free(bytes);
    return *error == NULL ? 0 : -1;
}
