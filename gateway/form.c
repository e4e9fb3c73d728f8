/* SPDX-License-Identifier: MIT
 * Forms as they come; see form.h. The bytes begin with a line end of our own, so that the first boundary is
 * found as all others. Of bytes that may be the beginning of a boundary none is given out before it is known
 * that they aren't. */
#include "gateway/form.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/memory.h"
#include "lib/text.h"

#define BOUNDARY_MAX 70
#define HEAD_MAX ((size_t)8 << 10)
#define PREAMBLE_MAX 4096
#define PADDING_MAX 64
#define HELD_MAX (FORM_FEED_MAX + HEAD_MAX + 256)

enum state { STATE_PREAMBLE, STATE_HEAD, STATE_BODY, STATE_LINE, STATE_DONE, STATE_BROKEN };

struct form {
    enum state state;
    bool in_part;                     /* its end has not been told */
    char delimiter[BOUNDARY_MAX + 8]; /* CRLF, "--", boundary */
    size_t delimiter_size;
    size_t parts, most_parts, preamble;
    char held[HELD_MAX];
    size_t from, to; /* of what is held and not used */
    const char *data;
    size_t data_size;
    struct form_part part;
    const char *error;
};

static enum form_event broken(struct form *form, const char *error) {
    form->state = STATE_BROKEN;
    form->error = error;
    return FORM_BROKEN;
}

/* --- texts of heads ---------------------------------------------------------------------------------------
 */

static bool is_token(char character) {
    return (character >= '0' && character <= '9') || ((character | 32) >= 'a' && (character | 32) <= 'z') ||
           (character != '\0' && strchr("!#$%&'*+-.^_`|~", character) != NULL);
}

static void skip_blanks(const char **at) {
    *at += strspn(*at, " \t");
}

/* A token or a quoted string; 0, or -1 when there is none or it is too long. */
static int take_value(const char **at, char *target, size_t size) {
    size_t used = 0;

    if (**at != '"') {
        for (; is_token(**at); (*at)++) {
            if (used + 1 >= size)
                return -1;
            target[used++] = **at;
        }
        target[used] = '\0';
        return used > 0 ? 0 : -1;
    }
    for ((*at)++; **at != '"'; (*at)++) {
        if (**at == '\\' && ((*at)[1] == '"' || (*at)[1] == '\\'))
            (*at)++;
        if (**at == '\0' || used + 1 >= size)
            return -1;
        target[used++] = **at;
    }
    (*at)++;
    target[used] = '\0';
    return 0;
}

/* "; name=value" one after the other: 1, 0 at the end, -1 when malformed. */
static int take_parameter(const char **at, char *name, size_t name_size, char *value, size_t value_size) {
    size_t used = 0;

    skip_blanks(at);
    if (**at == '\0')
        return 0;
    if (*(*at)++ != ';')
        return -1;
    skip_blanks(at);
    if (**at == '\0')
        return 0;
    for (; is_token(**at); (*at)++) {
        if (used + 1 >= name_size)
            return -1;
        name[used++] = **at;
    }
    name[used] = '\0';
    if (used == 0 || *(*at)++ != '=')
        return -1;
    return take_value(at, value, value_size) == 0 ? 1 : -1;
}

static void put_byte(char *target, size_t size, size_t *used, char byte) {
    if (*used + 1 < size)
        target[(*used)++] = byte;
}

/* The last segment, without control bytes; '%22' and the like stay as they are. Cut at a whole character. */
static void clean_filename(char *target, size_t size, const char *name) {
    const char *last = name;
    size_t used = 0;

    for (const char *at = name; *at != '\0'; at++)
        if (*at == '/' || *at == '\\')
            last = at + 1;
    for (; *last != '\0'; last++)
        put_byte(target, size, &used, (unsigned char)*last < ' ' || *last == 0x7F ? '_' : *last);
    while (used > 0 && !text_is_utf8(target, used))
        used--;
    target[used] = '\0';
    if (used == 0 || strcmp(target, ".") == 0 || strcmp(target, "..") == 0)
        (void)text_copy(target, size, "file");
}

/* --- the head of a part -----------------------------------------------------------------------------------
 */

static const char *read_disposition(struct form_part *part, const char *value) {
    char name[32], text[1024];
    bool named = false;
    int got;

    if (strncasecmp(value, "form-data", 9) != 0 || is_token(value[9]))
        return "a part is not form-data";
    value += 9;
    while ((got = take_parameter(&value, name, sizeof name, text, sizeof text)) > 0) {
        if (strcasecmp(name, "name") == 0) {
            if (named || text_copy(part->name, sizeof part->name, text) != 0)
                return "a part's name is too long, or given twice";
            named = true;
        } else if (strcasecmp(name, "filename") == 0) {
            if (part->has_filename)
                return "a part's filename is given twice";
            part->has_filename = true;
            clean_filename(part->filename, sizeof part->filename, text);
        }
    }
    if (got < 0)
        return "a part's Content-Disposition is malformed";
    return named ? NULL : "a part has no name";
}

static const char *read_line(struct form_part *part, char *line, bool *disposed) {
    char *value = strchr(line, ':');
    size_t length;

    if (value == NULL || value == line)
        return "a part's header is malformed";
    for (const char *at = line; at < value; at++)
        if (!is_token(*at))
            return "a part's header is malformed";
    *value++ = '\0';
    value += strspn(value, " \t");
    length = strlen(value);
    while (length > 0 && strchr(" \t", value[length - 1]) != NULL)
        value[--length] = '\0';
    if (strcasecmp(line, "Content-Disposition") == 0) {
        if (*disposed)
            return "a part has two Content-Dispositions";
        *disposed = true;
        return read_disposition(part, value);
    }
    if (strcasecmp(line, "Content-Type") == 0 && text_copy(part->type, sizeof part->type, value) != 0)
        return "a part's Content-Type is too long";
    if (strcasecmp(line, "Content-Transfer-Encoding") == 0 && strcasecmp(value, "binary") != 0 &&
        strcasecmp(value, "8bit") != 0 && strcasecmp(value, "7bit") != 0)
        return "a part has a transfer encoding";
    return NULL;
}

/* `head` is the part's head up to its empty line, changed in place. */
static const char *read_head(struct form_part *part, char *head, size_t size) {
    bool disposed = false;

    *part = (struct form_part){.has_filename = false};
    if (memchr(head, '\0', size) != NULL)
        return "a part's head holds a NUL";
    head[size] = '\0';
    while (*head != '\0') {
        char *end = strstr(head, "\r\n");
        const char *error;
        if (end == NULL)
            return "a part's header is malformed";
        *end = '\0';
        error =
            strpbrk(head, "\r\n") != NULL ? "a part's header is malformed" : read_line(part, head, &disposed);
        if (error != NULL)
            return error;
        head = end + 2;
    }
    return disposed ? NULL : "a part has no Content-Disposition";
}

static enum form_event next_head(struct form *form) {
    char *start = form->held + form->from;
    size_t size = form->to - form->from;
    char *end = memmem(start, size, "\r\n\r\n", 4);
    const char *error;

    if (size >= 2 && memcmp(start, "\r\n", 2) == 0)
        return broken(form, "a part has no Content-Disposition");
    if (end == NULL)
        return size > HEAD_MAX ? broken(form, "a part's head is too long") : FORM_MORE;
    if ((size_t)(end - start) > HEAD_MAX)
        return broken(form, "a part's head is too long");
    if (++form->parts > form->most_parts)
        return broken(form, "too many parts");
    form->from += (size_t)(end - start) + 2; /* the empty line may be that of a boundary at once */
    end[2] = '\0';
    error = read_head(&form->part, start, (size_t)(end - start) + 2);
    if (error != NULL)
        return broken(form, error);
    end[2] = '\r'; /* read_head ended there */
    form->from += 2;
    form->state = STATE_BODY;
    form->in_part = true;
    return FORM_PART;
}

/* --- bodies and boundaries --------------------------------------------------------------------------------
 */

/* Behind a boundary: "--", or blanks and the end of the line. */
static enum form_event next_line(struct form *form) {
    const char *start = form->held + form->from;
    size_t size = form->to - form->from, at = 0;

    if (size >= 2 && memcmp(start, "--", 2) == 0) {
        form->state = STATE_DONE;
        return FORM_END;
    }
    while (at < size && (start[at] == ' ' || start[at] == '\t'))
        at++;
    if (at > PADDING_MAX)
        return broken(form, "a boundary's line is too long");
    if ((size > at && start[at] != '\r' && !(size == 1 && start[0] == '-')) ||
        (size > at + 1 && start[at + 1] != '\n'))
        return broken(form, "a boundary is malformed");
    if (size < at + 2)
        return FORM_MORE;
    form->from += at + 2;
    form->state = STATE_HEAD;
    return form_next(form);
}

static enum form_event give_data(struct form *form, size_t size) {
    form->data = form->held + form->from;
    form->data_size = size;
    form->from += size;
    return FORM_DATA;
}

/* How many of the bytes can't be the beginning of a boundary that goes on in what is still to come. */
static size_t safe_bytes(const struct form *form, const char *start, size_t size) {
    size_t keep = size < form->delimiter_size - 1 ? size : form->delimiter_size - 1;

    while (keep > 0 && memcmp(start + size - keep, form->delimiter, keep) != 0)
        keep--;
    return size - keep;
}

static enum form_event next_body(struct form *form) {
    const char *start = form->held + form->from;
    size_t size = form->to - form->from;
    const char *found = memmem(start, size, form->delimiter, form->delimiter_size);
    size_t plain = found != NULL ? (size_t)(found - start) : safe_bytes(form, start, size);

    if (plain > 0 && form->in_part)
        return give_data(form, plain);
    form->preamble += plain;
    form->from += plain;
    if (form->preamble > PREAMBLE_MAX)
        return broken(form, "no boundary where the form should begin");
    if (found == NULL)
        return FORM_MORE;
    form->from += form->delimiter_size;
    form->state = STATE_LINE;
    if (!form->in_part)
        return form_next(form);
    form->in_part = false;
    return FORM_PART_END;
}

enum form_event form_next(struct form *form) {
    switch (form->state) {
    case STATE_PREAMBLE:
    case STATE_BODY:
        return next_body(form);
    case STATE_LINE:
        return next_line(form);
    case STATE_HEAD:
        return next_head(form);
    case STATE_DONE:
        form->from = form->to;
        return FORM_MORE;
    case STATE_BROKEN:
        break;
    }
    return FORM_BROKEN;
}

int form_feed(struct form *form, const char *bytes, size_t size) {
    size_t left = form->to - form->from;

    if (size > FORM_FEED_MAX || left + size > HELD_MAX)
        return -1;
    memmove(form->held, form->held + form->from, left);
    memcpy(form->held + left, bytes, size);
    form->from = 0;
    form->to = left + size;
    return 0;
}

/* --- life -------------------------------------------------------------------------------------------------
 */

static bool is_boundary(const char *text) {
    size_t length = strlen(text);

    return length >= 1 && length <= BOUNDARY_MAX && text[length - 1] != ' ' &&
           strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'()+_,-./:=? ") ==
               length;
}

static int read_boundary(const char *content_type, char *boundary, size_t size) {
    static const char type[] = "multipart/form-data";
    char name[32], value[FORM_TYPE_SIZE];
    bool found = false;
    int got;

    if (content_type == NULL || strncasecmp(content_type, type, sizeof type - 1) != 0)
        return -1;
    content_type += sizeof type - 1;
    while ((got = take_parameter(&content_type, name, sizeof name, value, sizeof value)) > 0) {
        if (strcasecmp(name, "boundary") != 0)
            continue;
        if (found || !is_boundary(value) || text_copy(boundary, size, value) != 0)
            return -1;
        found = true;
    }
    return got == 0 && found ? 0 : -1;
}

struct form *form_new(const char *content_type, size_t most_parts) {
    char boundary[BOUNDARY_MAX + 1];
    struct form *form;

    if (read_boundary(content_type, boundary, sizeof boundary) != 0)
        return NULL;
    form = memory_new(sizeof *form);
    form->most_parts = most_parts;
    (void)text_format(form->delimiter, sizeof form->delimiter, "\r\n--%s", boundary);
    form->delimiter_size = strlen(form->delimiter);
    (void)form_feed(form, "\r\n", 2);
    return form;
}

void form_free(struct form *form) {
    free(form);
}

const struct form_part *form_part(const struct form *form) {
    return &form->part;
}

const char *form_data(const struct form *form, size_t *size) {
    *size = form->data_size;
    return form->data;
}

const char *form_error(const struct form *form) {
    return form->error;
}
