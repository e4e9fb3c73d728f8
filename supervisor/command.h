/* SPDX-License-Identifier: MIT
 * The words that the stats socket understands, one row each. Pure: parsing decides, somebody else acts. */
#ifndef SUPERVISOR_COMMAND_H
#define SUPERVISOR_COMMAND_H

#include <stddef.h>
#include <stdint.h>

#define COMMAND_LINE_MAX 4096
#define COMMAND_TEXT_MAX 64

enum command_verb {
    COMMAND_STATS,
    COMMAND_METRICS,
    COMMAND_HEALTH,
    COMMAND_DRAIN,
    COMMAND_RELOAD,
    COMMAND_WORKERS,
    COMMAND_SLOTS,
    COMMAND_PAUSE,
    COMMAND_RESUME,
    COMMAND_JOBS,
    COMMAND_COUNT
};

enum command_argument { ARGUMENT_NONE, ARGUMENT_NUMBER, ARGUMENT_WORD };

struct command_row {
    const char *name;
    enum command_argument argument;
    uint64_t max; /* of a number */
};
extern const struct command_row command_rows[COMMAND_COUNT];

struct command {
    enum command_verb verb;
    uint64_t number;
    char word[COMMAND_TEXT_MAX]; /* letters, digits, '_', '-' and '.' only */
};

/* Parses one line of `size` bytes (without its end). Returns 0, or -1 with one line in `error`, in which
 * nothing of the line is repeated but printable characters. */
int command_parse(struct command *command, const char *line, size_t size, char *error, size_t error_size);

#endif
