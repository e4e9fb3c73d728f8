/* SPDX-License-Identifier: MIT
 * Growable bytes with a ceiling. Capacity doubles up to the ceiling and includes the NUL behind the content.
 * An empty buffer that owns no memory points at a shared empty text, so `data` is always a valid text. */
#include "lib/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/memory.h"

#define CAPACITY_FIRST 256

static char empty_text[1];

void buffer_init(struct buffer *buffer, size_t max) {
    *buffer = (struct buffer){.data = empty_text, .max = max < SIZE_MAX ? max : SIZE_MAX - 1};
}

void buffer_clear(struct buffer *buffer) {
    if (buffer->capacity > 0)
        free(buffer->data);
    buffer_init(buffer, buffer->max);
}

void buffer_reset(struct buffer *buffer) {
    buffer->size = 0;
    if (buffer->capacity > 0)
        buffer->data[0] = '\0';
}

/* Makes room for `more` bytes and the NUL. */
static int buffer_reserve(struct buffer *buffer, size_t more) {
    if (buffer->size > buffer->max || more > buffer->max - buffer->size)
        return -1;
    size_t needed = buffer->size + more + 1;
    if (needed <= buffer->capacity)
        return 0;
    size_t capacity = buffer->capacity > 0 ? buffer->capacity : CAPACITY_FIRST;
    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? SIZE_MAX : capacity * 2;
    if (capacity > buffer->max + 1)
        capacity = buffer->max + 1;
    char *data = realloc(buffer->capacity > 0 ? buffer->data : NULL, capacity);
    if (data == NULL)
        return -1;
    buffer->data = data;
    buffer->capacity = capacity;
    return 0;
}

int buffer_append(struct buffer *buffer, const void *bytes, size_t size) {
    if (size == 0)
        return 0;
    if (buffer_reserve(buffer, size) != 0)
        return -1;
    memcpy(buffer->data + buffer->size, bytes, size);
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
    return 0;
}

int buffer_append_text(struct buffer *buffer, const char *text) {
    return buffer_append(buffer, text, strlen(text));
}

int buffer_append_format(struct buffer *buffer, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (size < 0 || buffer_reserve(buffer, (size_t)size) != 0)
        return -1;
    va_start(arguments, format);
    vsnprintf(buffer->data + buffer->size, (size_t)size + 1, format, arguments);
    va_end(arguments);
    buffer->size += (size_t)size;
    return 0;
}

void buffer_cut(struct buffer *buffer, size_t size) {
    if (size >= buffer->size)
        return;
    buffer->size = size;
    buffer->data[size] = '\0';
}

void buffer_consume(struct buffer *buffer, size_t size) {
    if (size >= buffer->size) {
        buffer_reset(buffer);
        return;
    }
    buffer->size -= size;
    memmove(buffer->data, buffer->data + size, buffer->size + 1);
}

char *buffer_take(struct buffer *buffer, size_t *size) {
    char *data = buffer->capacity > 0 ? buffer->data : memory_copy_text("");

    if (size != NULL)
        *size = buffer->size;
    buffer_init(buffer, buffer->max);
    return data;
}
