/* SPDX-License-Identifier: MIT
 * Allocation for sizes that we choose ourselves: it cannot fail, it ends the process.
 * Must never be given a size that came from outside unbounded. */
#include "lib/memory.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

static void *require(void *memory, size_t size) {
    if (memory == NULL)
        fatal("event=out_of_memory bytes=%zu", size);
    return memory;
}

void *memory_new(size_t size) {
    return require(calloc(1, size > 0 ? size : 1), size);
}

void *memory_new_array(size_t count, size_t size) {
    return require(calloc(count > 0 ? count : 1, size > 0 ? size : 1), size);
}

void *memory_resize_array(void *old, size_t count, size_t size) {
    return require(reallocarray(old, count > 0 ? count : 1, size > 0 ? size : 1), size);
}

void memory_give_back(void) {
    (void)malloc_trim(0);
}

char *memory_copy_text(const char *text) {
    return memory_copy_bytes(text, strlen(text));
}

char *memory_copy_bytes(const void *bytes, size_t size) {
    if (size == SIZE_MAX)
        fatal("event=out_of_memory bytes=%zu", size);
    char *copy = require(malloc(size + 1), size + 1);
    if (size > 0)
        memcpy(copy, bytes, size);
    copy[size] = '\0';
    return copy;
}

char *memory_format(const char *format, ...) {
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (size < 0)
        fatal("event=out_of_memory");
    return text;
}
