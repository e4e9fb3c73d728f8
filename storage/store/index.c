/* SPDX-License-Identifier: MIT
 * A skip list (Pugh, 1990), levels with probability 1/4 from random bits that a client cannot foresee. */
#include "storage/store/index.h"

#include "lib/memory.h"
#include "lib/text.h"
#include <stdlib.h>
#include <string.h>

#define LEVELS 16

struct index_entry {
    uint64_t size;
    int64_t modified_ms;
    char etag[OBJECT_ETAG_SIZE];
    char *key;
    unsigned levels;
    struct index_entry *next[];
};

struct index {
    size_t count;
    uint64_t random;
    struct index_entry *head;
};

static struct index_entry *entry_new(unsigned levels, const char *key) {
    struct index_entry *entry = memory_new(sizeof(*entry) + levels * sizeof(entry->next[0]));

    entry->levels = levels;
    entry->key = memory_copy_text(key);
    return entry;
}

static void entry_free(struct index_entry *entry) {
    free(entry->key);
    free(entry);
}

struct index *index_new(void) {
    struct index *index = memory_new(sizeof(*index));

    index->head = entry_new(LEVELS, "");
    text_random(&index->random, sizeof(index->random));
    index->random |= 1;
    return index;
}

void index_free(struct index *index) {
    if (index == NULL)
        return;
    for (struct index_entry *entry = index->head; entry != NULL;) {
        struct index_entry *next = entry->next[0];
        entry_free(entry);
        entry = next;
    }
    free(index);
}

static unsigned random_levels(struct index *index) {
    unsigned levels = 1;

    /* xorshift64; seeded by the kernel */
    index->random ^= index->random << 13;
    index->random ^= index->random >> 7;
    index->random ^= index->random << 17;
    for (uint64_t bits = index->random; levels < LEVELS && (bits & 3) == 0; bits >>= 2)
        levels++;
    return levels;
}

/* On each level the last entry before the place of `key`. */
static void find_before(const struct index *index, const char *key, bool after,
                        struct index_entry *before[LEVELS]) {
    struct index_entry *entry = index->head;

    for (unsigned level = LEVELS; level-- > 0;) {
        for (;;) {
            struct index_entry *next = entry->next[level];
            int order = next != NULL ? strcmp(next->key, key) : 1;
            if (order > 0 || (order == 0 && !after))
                break;
            entry = next;
        }
        before[level] = entry;
    }
}

const struct index_entry *index_seek(const struct index *index, const char *key, bool after) {
    struct index_entry *before[LEVELS];

    find_before(index, key, after, before);
    return before[0]->next[0];
}

const struct index_entry *index_find(const struct index *index, const char *key) {
    const struct index_entry *entry = index_seek(index, key, false);

    return entry != NULL && strcmp(entry->key, key) == 0 ? entry : NULL;
}

void index_put(struct index *index, const struct object *object) {
    struct index_entry *before[LEVELS];
    struct index_entry *entry;

    find_before(index, object->key, false, before);
    entry = before[0]->next[0];
    if (entry == NULL || strcmp(entry->key, object->key) != 0) {
        entry = entry_new(random_levels(index), object->key);
        for (unsigned level = 0; level < entry->levels; level++) {
            entry->next[level] = before[level]->next[level];
            before[level]->next[level] = entry;
        }
        index->count++;
    }
    entry->size = object->size;
    entry->modified_ms = object->modified_ms;
    (void)text_copy(entry->etag, sizeof(entry->etag), object->etag);
}

bool index_remove(struct index *index, const char *key) {
    struct index_entry *before[LEVELS];
    struct index_entry *entry;

    find_before(index, key, false, before);
    entry = before[0]->next[0];
    if (entry == NULL || strcmp(entry->key, key) != 0)
        return false;
    for (unsigned level = 0; level < entry->levels; level++)
        before[level]->next[level] = entry->next[level];
    entry_free(entry);
    index->count--;
    return true;
}

size_t index_count(const struct index *index) {
    return index->count;
}

const struct index_entry *index_next(const struct index_entry *entry) {
    return entry->next[0];
}

const char *index_key(const struct index_entry *entry) {
    return entry->key;
}

const char *index_etag(const struct index_entry *entry) {
    return entry->etag;
}

uint64_t index_size(const struct index_entry *entry) {
    return entry->size;
}

int64_t index_modified_ms(const struct index_entry *entry) {
    return entry->modified_ms;
}
