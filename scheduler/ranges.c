/* SPDX-License-Identifier: MIT
 * Reading without trust: digits and the three marks, in their places, and nothing else. */
#include "scheduler/ranges.h"

#include <stdbool.h>

#define PAGES_MAX 10000000u

/* A number of 1 to PAGES_MAX without leading zeros, then `mark`. */
static bool take_number(const char **text, uint64_t *number, char mark) {
    const char *at = *text;

    *number = 0;
    while (*at >= '0' && *at <= '9' && *number <= PAGES_MAX)
        *number = *number * 10 + (uint64_t)(*at++ - '0');
    if (at == *text || **text == '0' || *number > PAGES_MAX || (mark != '\0' && *at++ != mark))
        return false;
    *text = at;
    return true;
}

size_t ranges_read(struct range ranges[RANGES_MAX], const char *text) {
    uint64_t before = 0;
    size_t count = 0;

    while (count < RANGES_MAX) {
        struct range *range = &ranges[count++];
        if (!take_number(&text, &range->first, '-') || !take_number(&text, &range->last, ':') ||
            !take_number(&text, &range->pages, '\0') || range->first <= before || range->last < range->first ||
            range->pages > range->last - range->first + 1)
            return 0;
        before = range->last;
        if (*text == '\0')
            return count >= 2 ? count : 0;
        if (*text++ != ',')
            return 0;
    }
    return 0;
}
