/* SPDX-License-Identifier: MIT
 * ETags are compared without their quotes; clients send them with and without. */
#include "storage/store/conditions.h"

#include "lib/clock.h"
#include "lib/text.h"
#include <string.h>

enum range_result range_parse(const char *header, uint64_t size, uint64_t *offset, uint64_t *length) {
    char first[24];
    char last[24];
    uint64_t begin = 0;
    uint64_t end = UINT64_MAX;

    if (header == NULL || !text_starts_with(header, "bytes="))
        return RANGE_WHOLE;
    const char *spec = header + strlen("bytes=");
    size_t first_size = strcspn(spec, "-");
    if (spec[first_size] != '-' || first_size >= sizeof(first) ||
        text_copy(last, sizeof(last), spec + first_size + 1) != 0)
        return RANGE_WHOLE;
    memcpy(first, spec, first_size);
    first[first_size] = '\0';
    if (last[0] != '\0' && text_parse_u64(last, 0, UINT64_MAX, &end) != 0)
        return RANGE_WHOLE;
    if (first[0] == '\0') {
        /* the last `end` bytes */
        if (last[0] == '\0')
            return RANGE_WHOLE;
        if (end == 0 || size == 0)
            return RANGE_UNSATISFIABLE;
        *length = end < size ? end : size;
        *offset = size - *length;
        return RANGE_PART;
    }
    if (text_parse_u64(first, 0, UINT64_MAX, &begin) != 0 || (last[0] != '\0' && begin > end))
        return RANGE_WHOLE;
    if (begin >= size)
        return RANGE_UNSATISFIABLE;
    if (end >= size)
        end = size - 1;
    *offset = begin;
    *length = end - begin + 1;
    return RANGE_PART;
}

/* Whether a list such as "\"a\", W/\"b\"" or "*" names the tag. */
static bool list_names(const char *list, const char *etag) {
    size_t size = strlen(etag);

    while (*list != '\0') {
        list += strspn(list, " ,\t");
        size_t length = strcspn(list, ",");
        const char *tag = list;
        list += length;
        while (length > 0 && (tag[length - 1] == ' ' || tag[length - 1] == '\t'))
            length--;
        if (length == 1 && tag[0] == '*')
            return true;
        if (length >= 2 && tag[0] == '"' && tag[length - 1] == '"') {
            tag++;
            length -= 2;
        }
        if (length == size && memcmp(tag, etag, size) == 0)
            return true;
    }
    return false;
}

enum s3_error conditions_read(const struct conditions *conditions, const char *etag, int64_t modified_ms) {
    int64_t modified_s = modified_ms / 1000;
    int64_t since;

    if (conditions->if_match != NULL) {
        if (!list_names(conditions->if_match, etag))
            return S3_PRECONDITION_FAILED;
    } else if (conditions->if_unmodified_since != NULL) {
        since = clock_parse_http(conditions->if_unmodified_since);
        if (since >= 0 && modified_s > since)
            return S3_PRECONDITION_FAILED;
    }
    if (conditions->if_none_match != NULL)
        return list_names(conditions->if_none_match, etag) ? S3_NOT_MODIFIED : S3_OK;
    if (conditions->if_modified_since != NULL) {
        since = clock_parse_http(conditions->if_modified_since);
        if (since >= 0 && modified_s <= since)
            return S3_NOT_MODIFIED;
    }
    return S3_OK;
}

enum s3_error conditions_write(const struct conditions *conditions, const char *etag) {
    if (conditions->if_none_match != NULL) {
        if (strcmp(conditions->if_none_match, "*") != 0)
            return S3_NOT_IMPLEMENTED;
        if (etag != NULL)
            return S3_PRECONDITION_FAILED;
    }
    if (conditions->if_match != NULL) {
        if (etag == NULL)
            return S3_NO_SUCH_KEY;
        if (!list_names(conditions->if_match, etag))
            return S3_PRECONDITION_FAILED;
    }
    return S3_OK;
}
