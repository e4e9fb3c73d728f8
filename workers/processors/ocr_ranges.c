/* SPDX-License-Identifier: MIT
 * Sizes first, for all pages that are to be read; then where those pages lie. */
#include "workers/processors/ocr_ranges.h"

#include <stdbool.h>
#include <string.h>

#include "lib/text.h"

#define SHARE 12 /* of the pages that are left: as if so many read them */

uint64_t ocr_ranges_next(uint64_t left, uint64_t pages) {
    uint64_t least = pages / 4 > 0 ? pages / 4 : 1;
    uint64_t next = left / SHARE;

    next = next < least ? least : next > pages ? pages : next;
    return next < left ? next : left;
}

static uint64_t count_ranges(uint64_t left, uint64_t pages) {
    uint64_t count = 0;

    for (; left > 0; left -= ocr_ranges_next(left, pages))
        count++;
    return count;
}

static bool has(const unsigned char *chosen, int page) {
    return (chosen[page / 8] >> (page % 8) & 1) != 0;
}

int ocr_ranges_cut(const struct ocr_ranges *rule, const unsigned char *chosen, int count, char *text, size_t size) {
    uint64_t left = 0, pages = rule->pages > 0 ? rule->pages : 1;
    size_t used = 0;
    int page = 0;

    for (int i = 0; i < count; i++)
        left += has(chosen, i);
    if (left < 2 || rule->most < 2)
        return -1;
    while (count_ranges(left, pages) > rule->most)
        pages += (pages + 3) / 4;
    text[0] = '\0';
    while (left > 0) {
        uint64_t next = ocr_ranges_next(left, pages), found = 0;
        int first = 0, last = 0;
        for (; found < next; page++) {
            if (!has(chosen, page))
                continue;
            first = found == 0 ? page : first;
            last = page;
            found++;
        }
        if (text_format(text + used, size - used, "%s%d-%d:%llu", used == 0 ? "" : ",", first + 1, last + 1,
                        (unsigned long long)found) != 0)
            return -1;
        used += strlen(text + used);
        left -= next;
    }
    return 0;
}
