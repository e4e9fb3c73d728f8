/* SPDX-License-Identifier: MIT
 * Bounded text: formatting that reports truncation, strict number parsing, hex, base64url (RFC 4648 §5,
 * no padding), percent-encoding (RFC 3986) and UUIDs (RFC 9562) in lower-case text form. */
#ifndef LIB_TEXT_H
#define LIB_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UUID_TEXT_SIZE 37

/* Returns 0, or -1 if the result was cut (the target then holds the cut text, NUL-terminated). */
int text_format(char *target, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
int text_copy(char *target, size_t size, const char *source);

/* Whole text, decimal, no sign, no space; -1 when malformed or outside [min, max]. */
int text_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *value);
/* The same with an optional leading '-'. */
int text_parse_i64(const char *text, int64_t min, int64_t max, int64_t *value);
/* "on/off", "true/false", "yes/no", "1/0". */
int text_parse_bool(const char *text, bool *value);

bool text_starts_with(const char *text, const char *prefix);
bool text_ends_with(const char *text, const char *suffix);
/* Whether `size` bytes of text are one of "a|b|c"; of NULL none is. */
bool text_is_choice(const char *choices, const char *text, size_t size);
/* A-Z to a-z, whatever the locale; all else as it is. */
char text_lower(char character);
bool text_is_utf8(const char *text, size_t size); /* strict, no surrogates, no overlong forms */

/* target holds 2 * size + 1. */
void text_hex_encode(char *target, const void *bytes, size_t size);
/* Even number of hex digits exactly filling `size` bytes, else -1. */
int text_hex_decode(void *target, size_t size, const char *hex);
/* target_size at least 4 * ceil(size / 3) + 1, else -1. */
int text_base64url_encode(char *target, size_t target_size, const void *bytes, size_t size);
/* Returns the decoded size or -1; refuses padding, blanks and non-canonical last bits. */
int64_t text_base64url_decode(void *target, size_t target_size, const char *text, size_t size);
/* Percent-encodes all but A-Z a-z 0-9 - . _ ~ (and '/' when keep_slash); -1 if it doesn't fit. */
int text_percent_encode(char *target, size_t size, const char *text, bool keep_slash);
/* Strict: -1 on a bad escape or an encoded NUL. plus_is_space for application/x-www-form-urlencoded. */
int text_percent_decode(char *target, size_t size, const char *text, size_t text_size, bool plus_is_space);

/* Random bytes from the kernel; never fails (fatal). */
void text_random(void *target, size_t size);
/* target holds UUID_TEXT_SIZE. Version 4 (random) and version 7 (time-ordered). */
void text_uuid4(char *target);
void text_uuid7(char *target);
bool text_is_uuid(const char *text); /* 8-4-4-4-12 hex digits, any version, either case */
/* FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/), for tables: nothing secret about it. Where others
 * choose the texts, a secret seed keeps them from choosing who shares a bucket. */
uint64_t text_hash(const char *text, uint64_t seed);
/* Constant-time comparison of two texts of any length. */
bool text_equal_secret(const char *left, const char *right);

/* Whether two http(s) URLs have the same scheme, host and port, as texts: "https://a/" and "https://a:443/" differ. */
bool text_has_same_origin(const char *url, const char *other);

#endif
