/* SPDX-License-Identifier: MIT
 * Clocks. Deadlines use the monotonic clock only; wall time is for stamps and signatures. */
#ifndef LIB_CLOCK_H
#define LIB_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);
int64_t clock_wall_ms(void); /* since 1970-01-01T00:00:00Z */

/* "2026-01-02T03:04:05.678Z" (25 bytes with NUL). */
void clock_format_iso8601(char *target, size_t size, int64_t wall_ms);
/* "20260102T030405Z" (17 bytes with NUL), as SigV4 wants it. */
void clock_format_basic(char *target, size_t size, int64_t wall_ms);
/* "Fri, 02 Jan 2026 03:04:05 GMT" (30 bytes with NUL), RFC 9110 §5.6.7. */
void clock_format_http(char *target, size_t size, int64_t wall_ms);
/* Parses that form: seconds since 1970, -1 when malformed. */
int64_t clock_parse_http(const char *text);
/* Parses the basic form above; -1 when malformed. */
int clock_parse_basic(const char *text, int64_t *wall_ms);

#endif
