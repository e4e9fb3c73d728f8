/* SPDX-License-Identifier: MIT
 * The identity provider's key set, from a URL or a file: kept while it can't be renewed, renewed every ten
 * minutes, and at most once per cooldown because a token names a key that is not in it. */
#ifndef GATEWAY_JWKS_H
#define GATEWAY_JWKS_H

#include "gateway/key_set.h"
#include "http/client.h"
#include "lib/loop.h"

struct jwks;

typedef void jwks_fn(void *context);

/* Exactly one of `url` and `file`. A file is read at once: one that can't be used stops the start. `changed`
 * is called whenever another set is taken. */
struct jwks *jwks_new(struct loop *loop, struct http_client *client, const char *url, const char *file,
                      jwks_fn *changed, void *context);
void jwks_free(struct jwks *jwks); /* nobody waiting is called */

bool jwks_is_loaded(const struct jwks *jwks);
const struct token_key *jwks_find(const struct jwks *jwks, const struct token_header *header);
/* Asks for a fresh set unless the cooldown forbids it. True if one is on its way: jwks_wait then tells when
 * it is there or was given up. */
bool jwks_refresh(struct jwks *jwks);
void jwks_wait(struct jwks *jwks, jwks_fn *fn, void *context);

#endif
