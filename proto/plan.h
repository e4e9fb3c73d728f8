/* SPDX-License-Identifier: MIT
 * What the bytes are and which jobs they get: pure tables, used by the gateway at finalize and reprocess. */
#ifndef PROTO_PLAN_H
#define PROTO_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#define PLAN_MAX_JOBS 8

/* Media type that the first `size` bytes show (magic numbers; RFC 6838 names), or NULL if none is known. At
 * least the first 4 kB should be given when the file has them: a PDF header may stand anywhere in the first 1024. */
const char *media_type_sniff(const unsigned char *bytes, size_t size);

/* Can a file declared as `declared` (parameters and case ignored) hold what was sniffed? NULL sniffed: true only
 * for text and application/octet-stream. image/jpg is image/jpeg, and so on; "application/octet-stream" accepts all. */
bool media_type_agrees(const char *declared, const char *sniffed);

/* Syntax of RFC 6838/9110 `type/subtype` with optional parameters, at most 200 bytes. */
bool media_type_is_valid(const char *text);

/* Fills `types` with processor names for a media type; returns how many (0: nothing to do, the file is ready). */
size_t plan_jobs(const char *media_type, const char *types[PLAN_MAX_JOBS]);

#endif
