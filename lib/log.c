/* SPDX-License-Identifier: MIT
 * The log: builds one bounded line and hands it to stderr in one write(2).
 * A line is never longer than PIPE_BUF, so a pipe that polls writable takes it whole and at once: lines of
 * several processes do not mix, and a reader that stalls costs us lines (counted), never the event loop.
 * Must never allocate and never change errno. */
#include "lib/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log_json.h"
#include "lib/text.h"

#define LINE_MAX_BYTES 4096
#define STALL_WAIT_MS 100

_Static_assert(LINE_MAX_BYTES <= PIPE_BUF, "a line must fit one atomic write to a pipe");

struct line {
    char text[LINE_MAX_BYTES];
    size_t size;
    size_t limit;
};

static const char *const level_names[] = {
    [LOG_ERROR] = "error",
    [LOG_WARN] = "warn",
    [LOG_INFO] = "info",
    [LOG_DEBUG] = "debug",
};
_Static_assert(sizeof(level_names) / sizeof(level_names[0]) == LOG_LEVEL_COUNT, "a name for each level");

static const char *log_program = "filemill";
static enum log_level log_level_now = LOG_INFO;
static bool log_json;
static uint64_t lines_dropped;

void log_init(const char *program, enum log_level level) {
    log_program = program;
    log_level_now = level;
}

void log_set_level(enum log_level level) {
    log_level_now = level;
}

void log_set_json(bool json) {
    log_json = json;
}

int log_level_parse(const char *name, enum log_level *level) {
    for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return 0;
        }
    }
    return -1;
}

static bool line_add(struct line *line, const char *text, size_t size) {
    if (size > line->limit - line->size)
        return false;
    memcpy(line->text + line->size, text, size);
    line->size += size;
    return true;
}

/* Length of the printable UTF-8 character at `text`, or 0 when its first byte must be escaped. */
static size_t printable_length(const char *text, size_t size) {
    unsigned char first = (unsigned char)text[0];
    size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (first < 0x20 || first == 0x7f)
        return 0;
    if (length == 1)
        return 1;
    if (length > size || !text_is_utf8(text, length))
        return 0;
    /* U+0080 to U+009F are control characters, U+2028 and U+2029 break lines. */
    if (first == 0xc2 && (unsigned char)text[1] < 0xa0)
        return 0;
    if (length == 3 && (memcmp(text, "\xe2\x80\xa8", 3) == 0 || memcmp(text, "\xe2\x80\xa9", 3) == 0))
        return 0;
    return length;
}

static void line_add_escaped(struct line *line, const char *text, size_t size) {
    while (size > 0) {
        size_t length = printable_length(text, size);
        char escape[8];
        bool fits;

        if (length > 0) {
            fits = line_add(line, text, length);
        } else {
            int escape_size = *text == '\n' ? snprintf(escape, sizeof(escape), "\\n")
                              : *text == '\t'
                                  ? snprintf(escape, sizeof(escape), "\\t")
                                  : snprintf(escape, sizeof(escape), "\\x%02x", (unsigned char)*text);
            fits = line_add(line, escape, (size_t)escape_size);
            length = 1;
        }
        if (!fits)
            return;
        text += length;
        size -= length;
    }
}

static void line_start(struct line *line, enum log_level level) {
    char stamp[32];
    char head[160];

    clock_format_iso8601(stamp, sizeof(stamp), clock_wall_ms());
    int size = snprintf(head, sizeof(head), "ts=%s level=%s proc=%s pid=%ld ", stamp, level_names[level],
                        log_program, (long)getpid());
    size_t head_size = size < 0 ? 0 : (size_t)size < sizeof(head) ? (size_t)size : sizeof(head) - 1;
    line->size = 0;
    line->limit = sizeof(line->text);
    line_add(line, head, head_size);
}

/* True when stderr took the whole line. Waits at most `wait_ms` for a reader that has stalled. */
static bool line_put(const struct line *line, int wait_ms) {
    struct pollfd poll_stderr = {.fd = STDERR_FILENO, .events = POLLOUT};
    ssize_t written;

    if (poll(&poll_stderr, 1, wait_ms) != 1 || !(poll_stderr.revents & POLLOUT))
        return false;
    do
        written = write(STDERR_FILENO, line->text, line->size);
    while (written < 0 && errno == EINTR);
    return written == (ssize_t)line->size;
}

/* The head that the line holds, the message and its tail without the newline, as one object. */
static void line_become_json(struct line *line, char *message, const char *tail) {
    char head[256];
    size_t size = strlen(message), more = strlen(tail) - 1;

    (void)snprintf(head, sizeof(head), "%.*s", (int)line->size, line->text);
    if (more < LINE_MAX_BYTES - size) {
        memcpy(message + size, tail, more);
        message[size + more] = '\0';
    }
    line->size = log_json_line(line->text, line->limit, head, message);
}

static void report_dropped(void) {
    struct line line;
    char text[64];

    line_start(&line, LOG_WARN);
    int size = snprintf(text, sizeof(text), "event=log_lines_dropped count=%llu\n",
                        (unsigned long long)lines_dropped);
    if (log_json) {
        text[size - 1] = '\0';
        line_become_json(&line, text, "\n");
    } else if (!line_add(&line, text, (size_t)size)) {
        return;
    }
    if (line_put(&line, 0))
        lines_dropped = 0;
}

static void write_line(enum log_level level, int error, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

static void write_line(enum log_level level, int error, const char *format, va_list arguments) {
    char message[LINE_MAX_BYTES];
    char tail[160] = "\n";
    struct line line;

    if (error != 0) {
        char reason[128];
        snprintf(tail, sizeof(tail), " error=\"%s\"\n", strerror_r(error, reason, sizeof(reason)));
    }
    int size = vsnprintf(message, sizeof(message), format, arguments);
    size_t message_size = size < 0 ? 0 : (size_t)size < sizeof(message) ? (size_t)size : sizeof(message) - 1;

    line_start(&line, level);
    if (log_json) {
        line_become_json(&line, message, tail);
    } else {
        line.limit -= strlen(tail);
        line_add_escaped(&line, message, message_size);
        line.limit += strlen(tail);
        line_add(&line, tail, strlen(tail));
    }

    /* After a stall the next lines do not wait again: one slow reader costs one wait. */
    if (lines_dropped > 0)
        report_dropped();
    if (!line_put(&line, lines_dropped > 0 ? 0 : STALL_WAIT_MS))
        lines_dropped++;
}

void log_write(enum log_level level, const char *format, ...) {
    int saved_errno = errno;
    va_list arguments;

    if (level > log_level_now)
        return;
    va_start(arguments, format);
    write_line(level, 0, format, arguments);
    va_end(arguments);
    errno = saved_errno;
}

void log_write_errno(enum log_level level, const char *format, ...) {
    int saved_errno = errno;
    va_list arguments;

    if (level > log_level_now)
        return;
    va_start(arguments, format);
    write_line(level, saved_errno, format, arguments);
    va_end(arguments);
    errno = saved_errno;
}

void fatal(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    write_line(LOG_ERROR, 0, format, arguments);
    va_end(arguments);
    exit(1);
}

void fatal_errno(const char *format, ...) {
    int saved_errno = errno;
    va_list arguments;

    va_start(arguments, format);
    write_line(LOG_ERROR, saved_errno, format, arguments);
    va_end(arguments);
    exit(1);
}
