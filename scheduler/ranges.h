/* SPDX-License-Identifier: MIT
 * Ranges of pages as a runner names them: "1-8:8,9-16:5", first and last page and how many of them are to be
 * read. Pure. */
#ifndef SCHEDULER_RANGES_H
#define SCHEDULER_RANGES_H

#include <stddef.h>
#include <stdint.h>

#define RANGES_MAX 64

struct range {
    uint64_t first, last, pages;
};

/* Reads a whole text: 2 to RANGES_MAX ranges, in order, none touching another, none empty. Returns how many,
 * or 0 when it is anything else: it comes from a runner. */
size_t ranges_read(struct range ranges[RANGES_MAX], const char *text);

#endif
