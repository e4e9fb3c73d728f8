/* SPDX-License-Identifier: MIT
 * W3C Trace Context (https://www.w3.org/TR/trace-context/): the id that follows a file from the request that
 * sent it through every process, its logs and what they ask outside. Only the trace id is kept; each hop
 * makes a parent id of its own. A header that breaks a rule is ignored as a whole, as the standard wants. */
#ifndef LIB_TRACE_H
#define LIB_TRACE_H

#include <stdbool.h>
#include <stddef.h>

#define TRACE_ID_SIZE 33     /* 32 lower-case hexadecimal digits and NUL */
#define TRACE_LINE_SIZE 72   /* "traceparent: " before a header */
#define TRACE_HEADER_SIZE 56 /* "00-" id "-" parent "-01" and NUL */

/* The id of a traceparent header's value; false, with nothing written, for NULL and whatever is not valid. */
bool trace_parse(const char *value, char id[TRACE_ID_SIZE]);
/* A new random id. */
void trace_make(char id[TRACE_ID_SIZE]);
/* Is this an id, and not the text that an older job carries in its place? */
bool trace_is_id(const char *id);
/* The value of a traceparent header for one request to the outside, with a parent id made for it and the flag
 * "recorded": our logs are the record. -1 if `id` is none. */
int trace_header(char header[TRACE_HEADER_SIZE], const char *id);
/* The same as a line "traceparent: …". */
int trace_line(char line[TRACE_LINE_SIZE], const char *id);

#endif
