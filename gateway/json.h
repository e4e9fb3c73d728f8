/* SPDX-License-Identifier: MIT
 * JSON from outside, strictly (RFC 8259 with the narrower rules of I-JSON, RFC 7493): UTF-8 without a byte
 * order mark, no duplicate names, no NUL in names, at most JSON_MAX_LEVELS levels (counted before parsing,
 * without recursion), integers that fit 64 bits, reals that fit a double, nothing after the value.
 *
 * Choices where the RFC leaves one: lone surrogates, invalid UTF-8, a byte order mark, UTF-16 and numbers out
 * of range are refused; a real too small for a double is read as zero. */
#ifndef GATEWAY_JSON_H
#define GATEWAY_JSON_H

#include "lib/buffer.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define JSON_MAX_LEVELS 32

/* A new reference, or NULL with a short reason (static text that holds nothing of the input). Any JSON value
 * is accepted, also one that is not an object or array. */
json_t *json_decode(const char *bytes, size_t size, const char **reason);

/* Text member of an object: NULL if absent, not a text, or one with a NUL in it. Borrowed. */
const char *json_text_member(const json_t *object, const char *name);

/* Compact text of a value; the caller frees it. Fatal when out of memory. */
char *json_encode(const json_t *value);

/* `text` as a JSON string with its quotes; the caller frees it. Text that is not UTF-8 gives "\"\"". */
char *json_quote(const char *text);

/* "a|b" as ["a","b"]; a new reference. */
json_t *json_choices(const char *choices);

/* Appends valid UTF-8 as a JSON string with its quotes, without a tree; fatal at the buffer's ceiling. */
void json_append(struct buffer *out, const char *text);

#endif
