/* SPDX-License-Identifier: MIT
 * Signed tokens (JWS compact form, RFC 7515; JWT, RFC 7519; the rules of RFC 8725): keys, signatures and
 * claims, without clocks or I/O. One key has one algorithm, told by the key and never by the token: oct is
 * HS256, RSA is RS256, EC P-256 is ES256; a key that names another algorithm is not usable. The only user of
 * libjose. */
#ifndef GATEWAY_TOKEN_H
#define GATEWAY_TOKEN_H

#include "lib/text.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_MAX_BYTES 8192
#define TOKEN_KEY_ID_MAX 256

struct token_key;

enum token_key_fault {
    TOKEN_KEY_OK,
    TOKEN_KEY_UNUSABLE, /* not for checking signatures, or of another algorithm: may stand in a key set, is
                           skipped */
    TOKEN_KEY_WEAK,     /* HMAC below 32 bytes, RSA below 2048 bits */
};

/* From one JWK (RFC 7517). NULL with *fault set. */
struct token_key *token_key_new(const json_t *jwk, enum token_key_fault *fault);
/* HS256 key from the bytes of a shared secret. */
struct token_key *token_key_from_secret(const char *secret, enum token_key_fault *fault);
void token_key_free(struct token_key *key);
const char *token_key_id(const struct token_key *key);        /* "" if the key has none */
const char *token_key_algorithm(const struct token_key *key); /* "ES256" */

struct token_header {
    char algorithm[16];
    char key_id[TOKEN_KEY_ID_MAX + 1];
    bool has_key_id;
    char type[32]; /* "" if absent */
};

/* Reads a compact token's header, for finding its key. -1 if the token is not three canonical base64url parts
 * of at most TOKEN_MAX_BYTES, or its header is not strict JSON, or has crit, b64, jwk, jku, x5u or x5c. */
int token_read_header(const char *token, struct token_header *header);

/* Checks header and signature with exactly this key. The payload, with a NUL after it, is the caller's to
 * free. */
int token_verify(const struct token_key *key, const char *token, char **payload, size_t *payload_size);

/* A signed token with `claims` under header {"alg","typ":"JWT","kid" where the key has one}; the caller frees
 * it. NULL if the key can't sign. */
char *token_sign(const struct token_key *key, const json_t *claims);

struct token_rules {
    const char *audience; /* must be named; NULL: not checked */
    const char *issuer;   /* must be equal; NULL: not checked */
    int64_t leeway_s;
};

enum token_verdict {
    TOKEN_ACCEPTED,
    TOKEN_REFUSED,      /* 401, and no word why */
    TOKEN_ROLE_REFUSED, /* genuine, but not a user's: 403 */
};

struct token_claims {
    char user[UUID_TEXT_SIZE]; /* lower case */
    int64_t expires_s;         /* seconds since 1970 */
};

/* Judges a verified payload at `now_s`: exp, nbf and iat with leeway, aud, iss, sub (a UUID), role
 * (authenticated). */
enum token_verdict token_judge(const struct token_rules *rules, const char *payload, size_t payload_size,
                               int64_t now_s, struct token_claims *claims);

#endif
