/* SPDX-License-Identifier: MIT
 * Lists of "NAME=value": the .env syntax, and merging such lists. Reads text that people write, so every
 * error names its line; nothing is expanded and nothing is run. */
#ifndef SUPERVISOR_VARIABLES_H
#define SUPERVISOR_VARIABLES_H

#include <stddef.h>

#define VARIABLES_FILE_MAX ((size_t)256 * 1024)

struct variables {
    char **list; /* NULL-terminated, as environ is; NULL while empty */
    size_t count;
};

void variables_clear(struct variables *variables);
/* Sets or replaces; copies. */
void variables_set(struct variables *variables, const char *name, const char *value);
void variables_unset(struct variables *variables, const char *name);
/* NULL when absent. Borrowed until the next change. */
const char *variables_get(const struct variables *variables, const char *name);
/* Sets everything that `list` ("NAME=value", NULL-terminated) holds; an empty value replaces nothing. */
void variables_merge(struct variables *variables, char *const *list);

/* Lines "NAME=value" or "export NAME=value"; blank lines and lines that start with # are skipped; an unquoted
 * value ends at " #" or the line's end and is trimmed; '…' is literal; in "…" \n \t \" \\ \$ are escapes and
 * the value may run over several lines. Returns 0, or -1 with "line N: …" in `error`; what came before a bad
 * line may then be set. */
int variables_parse(struct variables *variables, const char *text, char *error, size_t error_size);
/* The same from a file; the error begins with its path. */
int variables_read(struct variables *variables, const char *path, char *error, size_t error_size);
/* Writes NAME="value" lines to a new file of mode 0600 that replaces `path` in one step; -1 with errno. */
int variables_write(char *const *list, const char *path);

#endif
