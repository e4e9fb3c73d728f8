/* SPDX-License-Identifier: MIT
 * Tokens that an instance signs itself, with its HS256 secret or the private key in jwks-file: for
 * development, and for the admin's own commands. */
#ifndef GATEWAY_TOKEN_MAKE_H
#define GATEWAY_TOKEN_MAKE_H

#include "config/settings.h"
#include "gateway/token.h"
#include <stdint.h>

struct token_wish {
    const char *user;  /* a UUID: the sub */
    const char *email; /* may be NULL */
    uint64_t ttl_s;
};

/* A user's token (role authenticated) from now on; the caller frees it. NULL when there is no key to sign
 * with. A secret that is too short is fatal. */
char *token_make(const struct settings *settings, const struct token_wish *wish);

/* The first id of a list such as the option admins; "" when there is none. */
void token_first_user(const char *list, char user[UUID_TEXT_SIZE]);

#endif
