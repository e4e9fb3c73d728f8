/* SPDX-License-Identifier: MIT
 * What the fuzz targets share: require, and copies that end exactly where the sanitizer watches. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define require(held) ((held) ? (void)0 : fuzz_failed(#held, __LINE__))

static inline _Noreturn void fuzz_failed(const char *words, int line) {
    fprintf(stderr, "SUMMARY: line %d does not hold: %s\n", line, words);
    abort();
}

/* The caller frees both. */
static inline char *exact_copy(const void *bytes, size_t size) {
    char *copy = calloc(size > 0 ? size : 1, 1);

    require(copy != NULL);
    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

/* With a NUL after it; text ends at the first NUL of the bytes. */
static inline char *exact_text(const void *bytes, size_t size) {
    const char *end = size > 0 ? memchr(bytes, '\0', size) : NULL;
    size_t length = end != NULL ? (size_t)(end - (const char *)bytes) : size;
    char *copy = malloc(length + 1);

    require(copy != NULL);
    if (length > 0)
        memcpy(copy, bytes, length);
    copy[length] = '\0';
    return copy;
}

#endif
