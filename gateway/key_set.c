/* SPDX-License-Identifier: MIT
 * A JWK set; see key_set.h. */
#include "gateway/key_set.h"

#include "gateway/json.h"
#include "lib/memory.h"
#include <stdlib.h>
#include <string.h>

struct key_set {
    struct token_key *keys[KEY_SET_MAX_KEYS];
    size_t count;
};

/* An ambiguous id is no id: none of its keys is used. */
static void drop_duplicates(struct key_set *set) {
    bool twice[KEY_SET_MAX_KEYS] = {false};
    for (size_t i = 0; i < set->count; i++) {
        for (size_t k = 0; k < set->count; k++) {
            if (i != k && strcmp(token_key_id(set->keys[i]), token_key_id(set->keys[k])) == 0) {
                twice[i] = true;
            }
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++) {
        if (twice[i]) {
            token_key_free(set->keys[i]);
        } else {
            set->keys[kept++] = set->keys[i];
        }
    }
    set->count = kept;
}

struct key_set *key_set_parse(const char *bytes, size_t size, bool *weak) {
    const char *reason;
    *weak = false;
    if (size > KEY_SET_MAX_BYTES) {
        return NULL;
    }
    json_t *document = json_decode(bytes, size, &reason);
    const json_t *keys = json_object_get(document, "keys");
    if (!json_is_array(keys) || json_array_size(keys) > KEY_SET_MAX_KEYS) {
        json_decref(document);
        return NULL;
    }
    struct key_set *set = memory_new(sizeof *set);
    size_t index;
    json_t *jwk;
    json_array_foreach(keys, index, jwk) {
        enum token_key_fault fault;
        struct token_key *key = token_key_new(jwk, &fault);
        if (key != NULL) {
            set->keys[set->count++] = key;
        }
        *weak = *weak || fault == TOKEN_KEY_WEAK;
    }
    json_decref(document);
    drop_duplicates(set);
    return set;
}

void key_set_free(struct key_set *set) {
    if (set != NULL) {
        for (size_t i = 0; i < set->count; i++) {
            token_key_free(set->keys[i]);
        }
        free(set);
    }
}

size_t key_set_count(const struct key_set *set) {
    return set->count;
}

const struct token_key *key_set_find(const struct key_set *set, const struct token_header *header) {
    if (!header->has_key_id) {
        return set->count == 1 ? set->keys[0] : NULL;
    }
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(token_key_id(set->keys[i]), header->key_id) == 0) {
            return set->keys[i];
        }
    }
    return NULL;
}

const struct token_key *key_set_first(const struct key_set *set) {
    return set->count > 0 ? set->keys[0] : NULL;
}
