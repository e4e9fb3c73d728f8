/* SPDX-License-Identifier: MIT
 * Allocation that cannot fail: out of memory is fatal(). For sizes that come from outside use malloc and
 * check, after bounding the size. */
#ifndef LIB_MEMORY_H
#define LIB_MEMORY_H

#include <stddef.h>

/* Zeroed. The caller owns the result and gives it to free(). */
void *memory_new(size_t size);
/* Zeroed array; overflow of count * size is fatal. */
void *memory_new_array(size_t count, size_t size);
/* Like reallocarray; the new part is not zeroed. */
void *memory_resize_array(void *old, size_t count, size_t size);
char *memory_copy_text(const char *text);
char *memory_copy_bytes(const void *bytes, size_t size); /* adds a NUL after the copy */
/* Gives what is free back to the system: for moments when nothing is under way. Without it the heap keeps the size of
 * the busiest moment, as something small always stays at its end. */
void memory_give_back(void);
char *memory_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
