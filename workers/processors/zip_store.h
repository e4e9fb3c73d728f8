/* SPDX-License-Identifier: MIT
 * Writing ZIP archives (PKWARE APPNOTE 6.3.3) as a stream: entries are stored as they are, in the order in
 * which they come, and nothing but their names is kept in memory. Sizes are told beforehand; ZIP64 where they
 * need it. Times are all 1980-01-01, so that the same entries make the same bytes. */
#ifndef WORKERS_PROCESSORS_ZIP_STORE_H
#define WORKERS_PROCESSORS_ZIP_STORE_H

#include <stddef.h>
#include <stdint.h>

#define ZIP_MAX_ENTRIES 64
#define ZIP_NAME_SIZE 160

/* 0, or -1: then nothing more is written. */
typedef int zip_write_fn(void *context, const void *bytes, size_t size);

struct zip_entry {
    char name[ZIP_NAME_SIZE];
    uint64_t size, offset;
    uint32_t crc;
};

struct zip_store {
    zip_write_fn *write;
    void *context;
    uint64_t offset;
    size_t count;
    struct zip_entry entries[ZIP_MAX_ENTRIES];
};

void zip_begin(struct zip_store *zip, zip_write_fn *write, void *context);
/* The head of an entry; `size` bytes with this CRC-32 follow with zip_append. All return 0, or -1 when
 * nothing more can be written, or there are too many entries, or the name is too long. */
int zip_entry(struct zip_store *zip, const char *name, uint64_t size, uint32_t crc);
int zip_append(struct zip_store *zip, const void *bytes, size_t size);
/* An entry that is in memory. */
int zip_add(struct zip_store *zip, const char *name, const void *bytes, size_t size);
/* The directory; nothing comes after. */
int zip_end(struct zip_store *zip);

#endif
