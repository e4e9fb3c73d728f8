/* SPDX-License-Identifier: MIT
 * The record is lines of "name=value", percent-encoded, so that any key and any header value can stand in it.
 * The footer is 24 bytes: magic, size of the data, size of the record, CRC-32 of the record, little-endian.
 */
#include "storage/store/object.h"

#include "lib/memory.h"
#include "lib/text.h"
#include "storage/store/checksum.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOOTER_SIZE 24
static const char footer_magic[8] = {'F', 'M', 'O', 'B', 'J', '0', '1', '\n'};

void object_clear(struct object *object) {
    free(object->key);
    for (size_t i = 0; i < object->field_count; i++) {
        free(object->fields[i].name);
        free(object->fields[i].value);
    }
    *object = (struct object){0};
}

void object_set_key(struct object *object, const char *key) {
    free(object->key);
    object->key = memory_copy_text(key);
}

int object_set_field(struct object *object, const char *name, const char *value) {
    for (size_t i = 0; i < object->field_count; i++) {
        if (strcasecmp(object->fields[i].name, name) == 0) {
            free(object->fields[i].value);
            object->fields[i].value = memory_copy_text(value);
            return 0;
        }
    }
    if (object->field_count == OBJECT_FIELDS_MAX)
        return -1;
    object->fields[object->field_count++] =
        (struct object_field){.name = memory_copy_text(name), .value = memory_copy_text(value)};
    return 0;
}

const char *object_field(const struct object *object, const char *name) {
    for (size_t i = 0; i < object->field_count; i++) {
        if (strcasecmp(object->fields[i].name, name) == 0)
            return object->fields[i].value;
    }
    return NULL;
}

static int append_line(struct buffer *out, const char *name, const char *value) {
    size_t size = 3 * strlen(value) + 1;
    char *encoded = memory_new(size);
    int result = text_percent_encode(encoded, size, value, true) == 0
                     ? buffer_append_format(out, "%s=%s\n", name, encoded)
                     : -1;

    free(encoded);
    return result;
}

static void put_number(unsigned char *target, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; i++)
        target[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get_number(const unsigned char *source, size_t size) {
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)source[i] << (8 * i);
    return value;
}

int object_encode(const struct object *object, struct buffer *out) {
    unsigned char footer[FOOTER_SIZE];
    size_t start = out->size;

    if (append_line(out, ".key", object->key) != 0 || append_line(out, ".etag", object->etag) != 0 ||
        buffer_append_format(out, ".modified=%lld\n", (long long)object->modified_ms) != 0)
        return -1;
    for (size_t i = 0; i < object->field_count; i++) {
        if (append_line(out, object->fields[i].name, object->fields[i].value) != 0)
            return -1;
    }
    memcpy(footer, footer_magic, sizeof(footer_magic));
    put_number(footer + 8, object->size, 8);
    put_number(footer + 16, out->size - start, 4);
    put_number(footer + 20, checksum_crc32(out->data + start, out->size - start), 4);
    return buffer_append(out, footer, sizeof(footer));
}

static int decode_line(struct object *object, const char *name, const char *value) {
    if (strcmp(name, ".key") == 0)
        object_set_key(object, value);
    else if (strcmp(name, ".etag") == 0)
        return text_copy(object->etag, sizeof(object->etag), value);
    else if (strcmp(name, ".modified") == 0)
        return text_parse_i64(value, 0, INT64_MAX, &object->modified_ms);
    else
        return object_set_field(object, name, value);
    return 0;
}

static int decode_record(struct object *object, char *record, size_t size) {
    char *value = memory_new(size + 1);
    char *rest = NULL;
    int result = 0;

    for (char *line = strtok_r(record, "\n", &rest); line != NULL && result == 0;
         line = strtok_r(NULL, "\n", &rest)) {
        size_t name_size = strcspn(line, "=");
        result = line[name_size] == '=' ? text_percent_decode(value, size + 1, line + name_size + 1,
                                                              strlen(line + name_size + 1), false)
                                        : -1;
        line[name_size] = '\0';
        if (result == 0)
            result = decode_line(object, line, value);
    }
    free(value);
    return result == 0 && object->key != NULL ? 0 : -1;
}

static int read_exactly(int fd, void *target, size_t size, uint64_t offset) {
    return pread(fd, target, size, (off_t)offset) == (ssize_t)size ? 0 : -1;
}

int object_read(int fd, struct object *object) {
    unsigned char footer[FOOTER_SIZE];
    struct stat status;
    char *record;
    int result = -1;

    if (fstat(fd, &status) != 0 || status.st_size < FOOTER_SIZE ||
        read_exactly(fd, footer, sizeof(footer), (uint64_t)status.st_size - FOOTER_SIZE) != 0 ||
        memcmp(footer, footer_magic, sizeof(footer_magic)) != 0)
        return -1;
    uint64_t data_size = get_number(footer + 8, 8);
    size_t record_size = (size_t)get_number(footer + 16, 4);
    uint64_t body_size = (uint64_t)status.st_size - FOOTER_SIZE;
    if (record_size > OBJECT_RECORD_MAX || data_size > body_size || body_size - data_size != record_size)
        return -1;
    record = memory_new(record_size + 1);
    if (read_exactly(fd, record, record_size, data_size) == 0 &&
        checksum_crc32(record, record_size) == get_number(footer + 20, 4) &&
        decode_record(object, record, record_size) == 0) {
        object->size = data_size;
        result = 0;
    }
    free(record);
    if (result != 0)
        object_clear(object);
    return result;
}
