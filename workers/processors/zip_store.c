/* SPDX-License-Identifier: MIT
 * Records of a ZIP archive; see zip_store.h. */
#include "workers/processors/zip_store.h"

#include <stdbool.h>
#include <string.h>
#include <zlib.h>

#include "lib/text.h"

#define LIMIT32 UINT64_C(0xffffffff) /* a number from here on stands in a ZIP64 field */
#define LIMIT16 UINT64_C(0xffff)
#define VERSION_PLAIN 20
#define VERSION_ZIP64 45
#define MADE_ON_UNIX (3u << 8)
#define FLAG_UTF8 0x0800u
#define DATE_1980 0x0021u
#define FILE_MODE (0100644u << 16)

struct record {
    unsigned char bytes[128 + ZIP_NAME_SIZE];
    size_t size;
};

static void put(struct record *record, uint64_t number, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        record->bytes[record->size++] = (unsigned char)(number >> (8 * i));
}

static void put_text(struct record *record, const char *text) {
    size_t length = strlen(text);

    memcpy(record->bytes + record->size, text, length);
    record->size += length;
}

static int write_bytes(struct zip_store *zip, const void *bytes, size_t size) {
    if (zip->write(zip->context, bytes, size) != 0)
        return -1;
    zip->offset += size;
    return 0;
}

static uint64_t capped(uint64_t number) {
    return number >= LIMIT32 ? LIMIT32 : number;
}

void zip_begin(struct zip_store *zip, zip_write_fn *write, void *context) {
    *zip = (struct zip_store){.write = write, .context = context};
}

/* What the local head and the directory have in common. */
static void put_entry(struct record *record, const struct zip_entry *entry, bool large, size_t extra) {
    put(record, large ? VERSION_ZIP64 : VERSION_PLAIN, 2);
    put(record, FLAG_UTF8, 2);
    put(record, 0, 2); /* stored */
    put(record, 0, 2); /* midnight */
    put(record, DATE_1980, 2);
    put(record, entry->crc, 4);
    put(record, capped(entry->size), 4);
    put(record, capped(entry->size), 4);
    put(record, strlen(entry->name), 2);
    put(record, extra, 2);
}

int zip_entry(struct zip_store *zip, const char *name, uint64_t size, uint32_t crc) {
    struct record record = {.size = 0};
    struct zip_entry *entry = &zip->entries[zip->count];
    bool large = size >= LIMIT32;

    if (zip->count == ZIP_MAX_ENTRIES || text_copy(entry->name, sizeof entry->name, name) != 0)
        return -1;
    entry->size = size;
    entry->crc = crc;
    entry->offset = zip->offset;
    zip->count++;
    put(&record, 0x04034b50, 4);
    put_entry(&record, entry, large, large ? 20 : 0);
    put_text(&record, name);
    if (large) {
        put(&record, 1, 2);
        put(&record, 16, 2);
        put(&record, size, 8);
        put(&record, size, 8);
    }
    return write_bytes(zip, record.bytes, record.size);
}

int zip_append(struct zip_store *zip, const void *bytes, size_t size) {
    return write_bytes(zip, bytes, size);
}

int zip_add(struct zip_store *zip, const char *name, const void *bytes, size_t size) {
    uint32_t crc = (uint32_t)crc32_z(crc32_z(0, NULL, 0), bytes, size);

    return zip_entry(zip, name, size, crc) != 0 ? -1 : zip_append(zip, bytes, size);
}

static int write_directory_entry(struct zip_store *zip, const struct zip_entry *entry) {
    struct record record = {.size = 0};
    bool large = entry->size >= LIMIT32, far = entry->offset >= LIMIT32;
    size_t extra = (large ? 16u : 0u) + (far ? 8u : 0u);

    put(&record, 0x02014b50, 4);
    put(&record, MADE_ON_UNIX | VERSION_ZIP64, 2);
    put_entry(&record, entry, large || far, extra > 0 ? extra + 4 : 0);
    put(&record, 0, 2); /* no comment */
    put(&record, 0, 2); /* first disk */
    put(&record, 0, 2);
    put(&record, FILE_MODE, 4);
    put(&record, capped(entry->offset), 4);
    put_text(&record, entry->name);
    if (extra > 0) {
        put(&record, 1, 2);
        put(&record, extra, 2);
    }
    if (large) {
        put(&record, entry->size, 8);
        put(&record, entry->size, 8);
    }
    if (far)
        put(&record, entry->offset, 8);
    return write_bytes(zip, record.bytes, record.size);
}

/* The end of a directory that needs ZIP64, and where it is. */
static void put_large_end(struct record *record, const struct zip_store *zip, uint64_t start, uint64_t size) {
    put(record, 0x06064b50, 4);
    put(record, 44, 8);
    put(record, MADE_ON_UNIX | VERSION_ZIP64, 2);
    put(record, VERSION_ZIP64, 2);
    put(record, 0, 4);
    put(record, 0, 4);
    put(record, zip->count, 8);
    put(record, zip->count, 8);
    put(record, size, 8);
    put(record, start, 8);
    put(record, 0x07064b50, 4);
    put(record, 0, 4);
    put(record, start + size, 8);
    put(record, 1, 4);
}

int zip_end(struct zip_store *zip) {
    struct record record = {.size = 0};
    uint64_t start = zip->offset, size;

    for (size_t i = 0; i < zip->count; i++) {
        if (write_directory_entry(zip, &zip->entries[i]) != 0)
            return -1;
    }
    size = zip->offset - start;
    if (start >= LIMIT32 || size >= LIMIT32)
        put_large_end(&record, zip, start, size);
    put(&record, 0x06054b50, 4);
    put(&record, 0, 4);
    put(&record, zip->count < LIMIT16 ? zip->count : LIMIT16, 2);
    put(&record, zip->count < LIMIT16 ? zip->count : LIMIT16, 2);
    put(&record, capped(size), 4);
    put(&record, capped(start), 4);
    put(&record, 0, 2);
    return write_bytes(zip, record.bytes, record.size);
}
