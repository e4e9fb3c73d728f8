/* SPDX-License-Identifier: MIT
 * Growable bytes with a ceiling. Every append that would pass the ceiling (or fails to allocate) returns -1
 * and leaves the buffer as it was. The content is always followed by a NUL that is not counted. */
#ifndef LIB_BUFFER_H
#define LIB_BUFFER_H

#include <stddef.h>
#include <stdint.h>

struct buffer {
    char *data;
    size_t size;
    size_t capacity;
    size_t max;
};

void buffer_init(struct buffer *buffer, size_t max);
void buffer_clear(struct buffer *buffer); /* frees; the buffer can be used again with the same ceiling */
void buffer_reset(struct buffer *buffer); /* size 0, memory kept */
int buffer_append(struct buffer *buffer, const void *bytes, size_t size);
int buffer_append_text(struct buffer *buffer, const char *text);
int buffer_append_format(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Keeps the first `size` bytes, of which there must be so many: takes back what was appended since. */
void buffer_cut(struct buffer *buffer, size_t size);
/* Removes `size` bytes from the front. */
void buffer_consume(struct buffer *buffer, size_t size);
/* Hands the NUL-terminated memory to the caller, who frees it; the buffer is empty afterwards. */
char *buffer_take(struct buffer *buffer, size_t *size);

#endif
