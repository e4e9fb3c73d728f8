/* SPDX-License-Identifier: MIT
 * Option rows: a program declares one table; values come from the environment (and, for tools, from
 * `--name value` arguments) and land in a struct at the row's offset. An unknown or malformed value is an
 * error that names the option. The table also prints its own reference and rebuilds a child's environment. */
#ifndef LIB_OPTIONS_H
#define LIB_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_type { OPTION_TEXT, OPTION_NUMBER, OPTION_BOOL, OPTION_CHOICE };

struct option_row {
    const char *name;     /* "gateway-port"; argument --gateway-port */
    const char *variable; /* "FILEMILL_GATEWAY_PORT" */
    const char *aliases; /* other variables, comma separated, in order; NULL for none. "A*1000": A has another
                            unit */
    enum option_type type;
    size_t offset;        /* of a char * (TEXT, CHOICE), int64_t (NUMBER) or bool (BOOL) in the target */
    const char *fallback; /* default as text; NULL: unset (NULL, 0, false) */
    int64_t min, max;     /* NUMBER */
    const char *unit;     /* NUMBER: "ms", "bytes", …; CHOICE: the choices, "a|b|c"; else NULL */
    unsigned audience;    /* bit set: which programs may receive it */
    bool secret;          /* never printed */
    const char *description;
    const char *heading; /* of the reference's section that begins with this row; else NULL */
};

struct option_table {
    const struct option_row *rows;
    size_t count;
};

/* Fills `target` (zeroed by the caller) from `environment` ("NAME=value" list, NULL-terminated); variables
 * not in the table are ignored, but one that starts with "FILEMILL_" and is in no row is an error (names in
 * "_FD", which processes pass among themselves, and the test suites' inputs excepted). An empty value counts
 * as unset. Numbers in "bytes" may end in k, M or G.
 * Returns 0, or -1 with one line in `error`. Texts are copied; options_clear frees them. */
int options_load(const struct option_table *table, void *target, char *const *environment, char *error,
                 size_t error_size);
/* Sets one option from text, as for an argument. */
int options_set(const struct option_table *table, void *target, const char *name, const char *value,
                char *error, size_t error_size);
void options_clear(const struct option_table *table, void *target);

/* "NAME=value" list for a child with the given audience bit: all set values of the rows it may see, under
 * their own variable names. NULL-terminated; options_free_environment frees it. */
char **options_environment(const struct option_table *table, const void *target, unsigned audience);
void options_free_environment(char **environment);

/* The reference as Markdown (docs/configuration.md) or as plain text with current values (`filemill config`).
 */
void options_print(const struct option_table *table, const void *target, bool markdown, FILE *stream);

#endif
