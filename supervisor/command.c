/* SPDX-License-Identifier: MIT
 * Parsing of the stats socket's lines. The bytes may be anything. */
#include "supervisor/command.h"

#include "lib/text.h"
#include <ctype.h>
#include <string.h>

const struct command_row command_rows[COMMAND_COUNT] = {
    [COMMAND_STATS] = {.name = "stats"},
    [COMMAND_METRICS] = {.name = "metrics"},
    [COMMAND_HEALTH] = {.name = "health"},
    [COMMAND_DRAIN] = {.name = "drain"},
    [COMMAND_RELOAD] = {.name = "reload"},
    [COMMAND_WORKERS] = {.name = "workers", .argument = ARGUMENT_NUMBER, .max = 64},
    [COMMAND_SLOTS] = {.name = "slots", .argument = ARGUMENT_NUMBER, .max = 256},
    [COMMAND_PAUSE] = {.name = "pause", .argument = ARGUMENT_WORD},
    [COMMAND_RESUME] = {.name = "resume", .argument = ARGUMENT_WORD},
    [COMMAND_JOBS] = {.name = "jobs"},
};

/* Splits off the next word; NULL at the end. Changes `*rest`. */
static char *next_word(char **rest) {
    char *word = *rest + strspn(*rest, " \t\r");

    if (*word == '\0')
        return NULL;
    char *end = word + strcspn(word, " \t\r");
    *rest = *end == '\0' ? end : end + 1;
    *end = '\0';
    return word;
}

static int parse_argument(struct command *command, const char *word, char *error, size_t error_size) {
    const struct command_row *row = &command_rows[command->verb];

    if (row->argument == ARGUMENT_NONE && word != NULL) {
        (void)text_format(error, error_size, "%s takes no argument", row->name);
        return -1;
    }
    if (row->argument == ARGUMENT_NUMBER &&
        (word == NULL || text_parse_u64(word, 0, row->max, &command->number) != 0)) {
        (void)text_format(error, error_size, "%s takes a number from 0 to %llu", row->name,
                          (unsigned long long)row->max);
        return -1;
    }
    if (row->argument != ARGUMENT_WORD)
        return 0;
    if (word == NULL ||
        strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != strlen(word) ||
        text_copy(command->word, sizeof command->word, word) != 0) {
        (void)text_format(error, error_size, "%s takes a type of job", row->name);
        return -1;
    }
    return 0;
}

static int refuse_unknown(const char *word, char *error, size_t error_size) {
    char shown[32];

    (void)text_copy(shown, sizeof shown, word);
    for (char *c = shown; *c != '\0'; c++) {
        if (isgraph((unsigned char)*c) == 0 || *c == '"')
            *c = '?';
    }
    (void)text_format(error, error_size,
                      "unknown command \"%s\"; there are stats metrics health drain reload workers slots "
                      "pause resume jobs",
                      shown);
    return -1;
}

int command_parse(struct command *command, const char *line, size_t size, char *error, size_t error_size) {
    char copy[COMMAND_LINE_MAX + 1];
    char *rest = copy;

    memset(command, 0, sizeof *command);
    if (size > COMMAND_LINE_MAX || memchr(line, '\0', size) != NULL) {
        (void)text_format(error, error_size, size > COMMAND_LINE_MAX ? "line too long" : "not a text");
        return -1;
    }
    memcpy(copy, line, size);
    copy[size] = '\0';
    const char *word = next_word(&rest);
    if (word == NULL) {
        (void)text_format(error, error_size, "empty line");
        return -1;
    }
    const char *argument = next_word(&rest);
    if (next_word(&rest) != NULL) {
        (void)text_format(error, error_size, "too many words");
        return -1;
    }
    for (command->verb = 0; command->verb < COMMAND_COUNT; command->verb++) {
        if (strcmp(command_rows[command->verb].name, word) == 0)
            return parse_argument(command, argument, error, error_size);
    }
    return refuse_unknown(word, error, error_size);
}
