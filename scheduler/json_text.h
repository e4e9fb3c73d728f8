/* SPDX-License-Identifier: MIT
 * Writing JSON (RFC 8259) into a buffer, for the arrays that statements take. Commas are put where they
 * belong: before any member or element but the first. -1 at the buffer's ceiling. */
#ifndef SCHEDULER_JSON_TEXT_H
#define SCHEDULER_JSON_TEXT_H

#include "lib/buffer.h"
#include <stdint.h>

int json_open(struct buffer *buffer, char bracket);  /* '{' or '[', as an element */
int json_close(struct buffer *buffer, char bracket); /* '}' or ']' */
int json_name(struct buffer *buffer, const char *name);
/* "name": value; an empty text is null, so that SQL sees NULL. */
int json_member_text(struct buffer *buffer, const char *name, const char *text);
int json_member_number(struct buffer *buffer, const char *name, int64_t number);
/* Empties the buffer: its text, which the caller frees; NULL when there is none, or it is `broken`. */
char *json_take(struct buffer *buffer, int broken);

#endif
