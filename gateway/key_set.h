/* SPDX-License-Identifier: MIT
 * A JWK set (RFC 7517 §5) as the keys in it that can check tokens. Pure. */
#ifndef GATEWAY_KEY_SET_H
#define GATEWAY_KEY_SET_H

#include "gateway/token.h"

#define KEY_SET_MAX_KEYS 32
#define KEY_SET_MAX_BYTES (256u * 1024u)

struct key_set;

/* Keys for other uses or algorithms are skipped; two of one id are both left out. *weak tells that a key was
 * left out because it is too short. NULL if the text is not a key set or has more than KEY_SET_MAX_KEYS. */
struct key_set *key_set_parse(const char *bytes, size_t size, bool *weak);
void key_set_free(struct key_set *set);
size_t key_set_count(const struct key_set *set);
/* The one key of that id; the only key there is where the token names none; else NULL. Borrowed. */
const struct token_key *key_set_find(const struct key_set *set, const struct token_header *header);
/* The first key (for signing with a file of one); NULL if empty. */
const struct token_key *key_set_first(const struct key_set *set);

#endif
