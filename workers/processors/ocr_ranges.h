/* SPDX-License-Identifier: MIT
 * Cutting a long document into ranges of pages. Pure. */
#ifndef WORKERS_PROCESSORS_OCR_RANGES_H
#define WORKERS_PROCESSORS_OCR_RANGES_H

#include <stddef.h>
#include <stdint.h>

struct ocr_ranges {
    uint64_t pages; /* to a range at most, as long as there are not too many ranges */
    uint64_t most;  /* ranges */
};

/* How many of `left` pages the next range has. Ranges become smaller towards the end, down to a quarter, so that
 * all who read end at about the same time, however many they are. */
uint64_t ocr_ranges_next(uint64_t left, uint64_t pages);

/* Writes "1-8:8,9-16:5" (first, last, and how many of them are to be read) for a document with `count` pages of
 * which those are to be read whose bit is set in `chosen`. 0, or -1 when there is nothing to cut or no room. */
int ocr_ranges_cut(const struct ocr_ranges *rule, const unsigned char *chosen, int count, char *text, size_t size);

#endif
