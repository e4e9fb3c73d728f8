/* SPDX-License-Identifier: MIT
 * Ranges and preconditions (RFC 9110 §13 and §14), as pure functions. */
#ifndef STORAGE_STORE_CONDITIONS_H
#define STORAGE_STORE_CONDITIONS_H

#include "storage/store/errors.h"
#include "storage/store/object.h"
#include <stdbool.h>
#include <stdint.h>

enum range_result { RANGE_WHOLE, RANGE_PART, RANGE_UNSATISFIABLE };

/* `header` may be NULL. Anything but one well-formed byte range means the whole. */
enum range_result range_parse(const char *header, uint64_t size, uint64_t *offset, uint64_t *length);

struct conditions {
    const char *if_match; /* header values, NULL if absent */
    const char *if_none_match;
    const char *if_modified_since;
    const char *if_unmodified_since;
};

/* For GET and HEAD: S3_OK, S3_NOT_MODIFIED or S3_PRECONDITION_FAILED. */
enum s3_error conditions_read(const struct conditions *conditions, const char *etag, int64_t modified_ms);
/* For PUT: `etag` is of what is there, NULL if nothing is. */
enum s3_error conditions_write(const struct conditions *conditions, const char *etag);

#endif
