/* SPDX-License-Identifier: MIT
 * A log line of key=value pairs as one JSON object (RFC 8259), for collectors that want it so. Used by log.c alone. */
#ifndef LIB_LOG_JSON_H
#define LIB_LOG_JSON_H

#include <stddef.h>

/* Writes `head` and then `message` (texts of `key=value key="a value"`; the closing quote is one before a blank or the
 * end) into `target`, at most `size` bytes with the newline, and returns how many. Whole numbers of at most 15 digits
 * become numbers; words that are no pair are gathered in "message". What does not fit is left out: the line is always
 * one valid object. Invalid UTF-8 becomes U+FFFD. */
size_t log_json_line(char *target, size_t size, const char *head, const char *message);

#endif
