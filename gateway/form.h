/* SPDX-License-Identifier: MIT
 * Reading multipart/form-data (RFC 7578, RFC 2046 section 5.1) as it comes, in bounded memory. Pure. What is
 * fed is taken apart by form_next; a caller that must wait stops asking and feeds no more. Stricter than the
 * RFCs: lines end in CRLF, every part says form-data and a name, a preamble is short, transfer encodings are
 * refused, and a line that only begins like the boundary is an error. */
#ifndef GATEWAY_FORM_H
#define GATEWAY_FORM_H

#include <stdbool.h>
#include <stddef.h>

#define FORM_NAME_SIZE 65
#define FORM_FILENAME_SIZE 256
#define FORM_TYPE_SIZE 201
#define FORM_FEED_MAX ((size_t)128 << 10) /* most bytes of one form_feed */

enum form_event {
    FORM_MORE,     /* feed more */
    FORM_PART,     /* a part begins: form_part */
    FORM_DATA,     /* some of its bytes: form_data */
    FORM_PART_END, /* that was all of it */
    FORM_END,      /* the last boundary; what comes behind is ignored */
    FORM_BROKEN,   /* form_error */
};

struct form_part {
    char name[FORM_NAME_SIZE];
    bool has_filename;
    char filename[FORM_FILENAME_SIZE]; /* its last segment, UTF-8 without control bytes; "file" if none is
                                          left */
    char type[FORM_TYPE_SIZE];         /* "" if not said */
};

struct form;

/* By the request's Content-Type; NULL when that is not multipart/form-data with a boundary of 1 to 70
 * characters. */
struct form *form_new(const char *content_type, size_t most_parts);
void form_free(struct form *form);
/* Takes a copy. -1 when more is fed than FORM_FEED_MAX, or before what was fed is used up. */
int form_feed(struct form *form, const char *bytes, size_t size);
enum form_event form_next(struct form *form);
const struct form_part *form_part(const struct form *form);
/* Valid until the next call. */
const char *form_data(const struct form *form, size_t *size);
const char *form_error(const struct form *form); /* short and static */

#endif
