/* SPDX-License-Identifier: MIT
 * One line per event on stderr: `ts=… level=… proc=… key=value …`. Messages are written by the caller as
 * key=value pairs, ids first ("job=%s lease=%llu state=%s"). Secrets never. A line is cut at 4 kB and
 * control characters in it are escaped, so that text from outside cannot forge a second line. */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVEL_COUNT };

/* Names the process in every later line; `program` is borrowed for the life of the process. */
void log_init(const char *program, enum log_level level);
void log_set_level(enum log_level level);
/* Lines as JSON objects with the same keys instead of text. */
void log_set_json(bool json);

/* Parses "error", "warn", "info" or "debug"; returns -1 on anything else. */
int log_level_parse(const char *name, enum log_level *level);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends ` error="strerror(errno)"`. */
void log_write_errno(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_error_errno(...) log_write_errno(LOG_ERROR, __VA_ARGS__)
#define log_warn_errno(...) log_write_errno(LOG_WARN, __VA_ARGS__)

/* Our own bug or a broken start: logs one line and exits 1. Never for anything that came from outside. */
void fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void fatal_errno(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
