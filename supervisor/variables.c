/* SPDX-License-Identifier: MIT
 * Lists of variables and the .env syntax. */
#include "supervisor/variables.h"

#include "lib/buffer.h"
#include "lib/memory.h"
#include "lib/text.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void variables_clear(struct variables *variables) {
    for (size_t i = 0; i < variables->count; i++)
        free(variables->list[i]);
    free(variables->list);
    variables->list = NULL;
    variables->count = 0;
}

static bool has_name(const char *entry, const char *name, size_t size) {
    return strncmp(entry, name, size) == 0 && entry[size] == '=';
}

void variables_unset(struct variables *variables, const char *name) {
    for (size_t i = 0; i < variables->count; i++) {
        if (has_name(variables->list[i], name, strlen(name))) {
            free(variables->list[i]);
            variables->list[i] = variables->list[--variables->count];
            variables->list[variables->count] = NULL;
            return;
        }
    }
}

void variables_set(struct variables *variables, const char *name, const char *value) {
    variables_unset(variables, name);
    variables->list = memory_resize_array(variables->list, variables->count + 2, sizeof *variables->list);
    variables->list[variables->count++] = memory_format("%s=%s", name, value);
    variables->list[variables->count] = NULL;
}

const char *variables_get(const struct variables *variables, const char *name) {
    for (size_t i = 0; i < variables->count; i++) {
        if (has_name(variables->list[i], name, strlen(name)))
            return variables->list[i] + strlen(name) + 1;
    }
    return NULL;
}

void variables_merge(struct variables *variables, char *const *list) {
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        const char *equals = strchr(list[i], '=');
        if (equals == NULL || equals == list[i])
            continue;
        char *name = memory_copy_bytes(list[i], (size_t)(equals - list[i]));
        if (equals[1] != '\0' || variables_get(variables, name) == NULL)
            variables_set(variables, name, equals + 1);
        free(name);
    }
}

struct parser {
    const char *at;
    unsigned line;
    char *error;
    size_t error_size;
};

static int complain(struct parser *parser, const char *what) {
    (void)text_format(parser->error, parser->error_size, "line %u: %s", parser->line, what);
    return -1;
}

static void skip_blanks(struct parser *parser) {
    while (*parser->at == ' ' || *parser->at == '\t' || *parser->at == '\r')
        parser->at++;
}

static char *parse_name(struct parser *parser) {
    const char *start = parser->at;

    if (isalpha((unsigned char)*start) == 0 && *start != '_')
        return NULL;
    while (isalnum((unsigned char)*parser->at) != 0 || *parser->at == '_')
        parser->at++;
    return memory_copy_bytes(start, (size_t)(parser->at - start));
}

static int parse_single(struct parser *parser, struct buffer *value) {
    const char *end = strchr(++parser->at, '\'');

    if (end == NULL)
        return complain(parser, "a ' is not closed");
    for (const char *c = parser->at; c < end; c++)
        parser->line += *c == '\n' ? 1 : 0;
    (void)buffer_append(value, parser->at, (size_t)(end - parser->at));
    parser->at = end + 1;
    return 0;
}

static int parse_double(struct parser *parser, struct buffer *value) {
    unsigned first_line = parser->line;

    for (parser->at++; *parser->at != '"'; parser->at++) {
        char c = *parser->at;
        if (c == '\0') {
            parser->line = first_line;
            return complain(parser, "a \" is not closed");
        }
        if (c == '\\' && parser->at[1] != '\0') {
            c = *++parser->at;
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        } else if (c == '\n') {
            parser->line++;
        }
        (void)buffer_append(value, &c, 1);
    }
    parser->at++;
    return 0;
}

static void parse_bare(struct parser *parser, struct buffer *value) {
    const char *start = parser->at;
    const char *end = start;

    while (*end != '\n' && *end != '\0' &&
           !(*end == '#' && end > start && isblank((unsigned char)end[-1]) != 0))
        end++;
    parser->at = end + strcspn(end, "\n");
    while (end > start && isspace((unsigned char)end[-1]) != 0)
        end--;
    (void)buffer_append(value, start, (size_t)(end - start));
}

static int parse_value(struct parser *parser, struct buffer *value) {
    if (*parser->at != '\'' && *parser->at != '"') {
        parse_bare(parser, value);
        return 0;
    }
    if ((*parser->at == '\'' ? parse_single(parser, value) : parse_double(parser, value)) != 0)
        return -1;
    skip_blanks(parser);
    if (*parser->at == '#')
        parser->at += strcspn(parser->at, "\n");
    return *parser->at == '\n' || *parser->at == '\0' ? 0 : complain(parser, "text after the closing quote");
}

/* One line that is neither blank nor a comment. */
static int parse_assignment(struct parser *parser, struct variables *variables) {
    struct buffer value;

    if (text_starts_with(parser->at, "export ")) {
        parser->at += strlen("export ");
        skip_blanks(parser);
    }
    char *name = parse_name(parser);
    if (name == NULL)
        return complain(parser, "expected NAME=value");
    skip_blanks(parser);
    if (*parser->at != '=') {
        free(name);
        return complain(parser, "expected NAME=value");
    }
    parser->at++;
    skip_blanks(parser);
    buffer_init(&value, VARIABLES_FILE_MAX);
    int result = parse_value(parser, &value);
    if (result == 0)
        variables_set(variables, name, value.data != NULL ? value.data : "");
    buffer_clear(&value);
    free(name);
    return result;
}

int variables_parse(struct variables *variables, const char *text, char *error, size_t error_size) {
    struct parser parser = {.at = text, .line = 1, .error = error, .error_size = error_size};

    if (text_starts_with(text, "\xef\xbb\xbf"))
        parser.at += 3;
    while (true) {
        skip_blanks(&parser);
        if (*parser.at == '#')
            parser.at += strcspn(parser.at, "\n");
        if (*parser.at != '\n' && *parser.at != '\0' && parse_assignment(&parser, variables) != 0)
            return -1;
        if (*parser.at == '\0')
            return 0;
        parser.at++;
        parser.line++;
    }
}

static int read_text(const char *path, struct buffer *text) {
    char chunk[4096];
    ssize_t size;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    while ((size = read(fd, chunk, sizeof chunk)) != 0) {
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 || buffer_append(text, chunk, (size_t)size) != 0) {
            errno = size < 0 ? errno : EFBIG;
            close(fd);
            return -1;
        }
    }
    close(fd);
    return 0;
}

int variables_read(struct variables *variables, const char *path, char *error, size_t error_size) {
    struct buffer text;
    char detail[256];
    int result = -1;

    buffer_init(&text, VARIABLES_FILE_MAX);
    if (read_text(path, &text) != 0)
        (void)text_format(error, error_size, "%s: %s", path, strerror(errno));
    else if (text.size > 0 && memchr(text.data, '\0', text.size) != NULL)
        (void)text_format(error, error_size, "%s: not a text file", path);
    else if (variables_parse(variables, text.size > 0 ? text.data : "", detail, sizeof detail) != 0)
        (void)text_format(error, error_size, "%s: %s", path, detail);
    else
        result = 0;
    buffer_clear(&text);
    return result;
}

static int write_lines(char *const *list, int fd) {
    FILE *stream = fdopen(fd, "w");

    if (stream == NULL) {
        close(fd);
        return -1;
    }
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        const char *value = strchr(list[i], '=') + 1;
        fprintf(stream, "%.*s\"", (int)(value - list[i]), list[i]);
        for (; *value != '\0'; value++) {
            if (strchr("\"\\$", *value) != NULL)
                fputc('\\', stream);
            fputc(*value, stream);
        }
        fputs("\"\n", stream);
    }
    bool failed = fflush(stream) != 0 || fsync(fd) != 0;
    return fclose(stream) != 0 || failed ? -1 : 0;
}

int variables_write(char *const *list, const char *path) {
    char *fresh = memory_format("%s.new", path);
    int result = -1;

    (void)unlink(fresh);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0)
        result = write_lines(list, fd);
    if (result == 0)
        result = rename(fresh, path);
    free(fresh);
    return result;
}
