/* SPDX-License-Identifier: MIT
 * The keys of one bucket in byte order (which is UTF-8 order), with what a listing shows. Rebuilt from the
 * files at start; never the truth, which is on the disk. */
#ifndef STORAGE_STORE_INDEX_H
#define STORAGE_STORE_INDEX_H

#include "storage/store/object.h"
#include <stdbool.h>

struct index;
struct index_entry;

struct index *index_new(void);
void index_free(struct index *index);
void index_put(struct index *index, const struct object *object);
bool index_remove(struct index *index, const char *key);
size_t index_count(const struct index *index);

/* First entry whose key is >= key (or > key); NULL if none. Valid until the index changes. */
const struct index_entry *index_seek(const struct index *index, const char *key, bool after);
const struct index_entry *index_find(const struct index *index, const char *key);
const struct index_entry *index_next(const struct index_entry *entry);

const char *index_key(const struct index_entry *entry);
const char *index_etag(const struct index_entry *entry);
uint64_t index_size(const struct index_entry *entry);
int64_t index_modified_ms(const struct index_entry *entry);

#endif
