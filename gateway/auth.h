/* SPDX-License-Identifier: MIT
 * Who calls: from the Authorization header to a user, by the key set, the shared secret, or both. Tokens that
 * passed once are remembered (by their SHA-256) until they end or the keys change. */
#ifndef GATEWAY_AUTH_H
#define GATEWAY_AUTH_H

#include "config/settings.h"
#include "gateway/token.h"
#include "http/client.h"
#include "lib/loop.h"

struct auth;

enum auth_result {
    AUTH_OK,
    AUTH_MISSING,     /* 401 missing_token */
    AUTH_REFUSED,     /* 401 invalid_token, for whatever reason */
    AUTH_FORBIDDEN,   /* 403: genuine, but not a user's */
    AUTH_WAIT,        /* its key may be among those being fetched: ask again when auth_wait says so */
    AUTH_UNAVAILABLE, /* 503: no keys could be had yet */
};

/* Fatal, with one line that names the option, where there is no key or a weak one. */
struct auth *auth_new(struct loop *loop, struct http_client *client, const struct settings *settings);
void auth_free(struct auth *auth);

enum auth_result auth_check(struct auth *auth, const char *authorization, struct token_claims *claims);

/* A one-time code, signed with the shared secret for `audience`: 0 with its claims and its id (jti), or -1 for
 * any reason. Whether it was used is the caller's to know. */
int auth_read_code(struct auth *auth, const char *code, const char *audience, struct token_claims *claims,
                   char id[UUID_TEXT_SIZE]);
/* A token of `user` for so many seconds, signed with the shared secret; the caller frees it. NULL: none. */
char *auth_issue(struct auth *auth, const char *user, int64_t seconds);

void auth_wait(struct auth *auth, void (*fn)(void *context), void *context);

#endif
