/* SPDX-License-Identifier: MIT
 * Who calls; see auth.h. The key decides the algorithm: a token that names a key of the set is checked with
 * that key and no other; one that names none of them may be of the shared secret. */
#include "gateway/auth.h"

#include "gateway/json.h"
#include "gateway/jwks.h"
#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CACHE_PLACES 4096u /* power of two */
#define DIGEST_BYTES 32

struct cached {
    unsigned char digest[DIGEST_BYTES];
    struct token_claims claims; /* expires_s 0: free */
};

struct auth {
    struct jwks *jwks;        /* NULL: none */
    struct token_key *secret; /* NULL: none */
    struct token_rules rules;
    char *issuer;
    struct cached *cache;
};

static void forget_all(void *context) {
    struct auth *auth = context;
    memset(auth->cache, 0, CACHE_PLACES * sizeof *auth->cache);
}

static void load_secret(struct auth *auth, const char *secret) {
    enum token_key_fault fault;
    auth->secret = token_key_from_secret(secret, &fault);
    if (auth->secret == NULL) {
        fatal("option=jwt-secret error=\"%s\"",
              fault == TOKEN_KEY_WEAK ? "shorter than 32 bytes" : "not a usable secret");
    }
}

struct auth *auth_new(struct loop *loop, struct http_client *client, const struct settings *settings) {
    struct auth *auth = memory_new(sizeof *auth);
    const char *base = settings->supabase_url;
    int length = base != NULL ? (int)strlen(base) : 0;
    while (length > 0 && base[length - 1] == '/') {
        length--;
    }
    char *url = settings->jwks_url != NULL ? memory_copy_text(settings->jwks_url)
                : base != NULL             ? memory_format("%.*s/auth/v1/.well-known/jwks.json", length, base)
                                           : NULL;
    auth->cache = memory_new_array(CACHE_PLACES, sizeof *auth->cache);
    auth->issuer = settings->jwt_issuer != NULL ? memory_copy_text(settings->jwt_issuer)
                   : base != NULL               ? memory_format("%.*s/auth/v1", length, base)
                                                : NULL;
    auth->rules = (struct token_rules){
        .audience = settings->jwt_audience,
        .issuer = auth->issuer,
        .leeway_s = settings->jwt_leeway_seconds,
    };
    if (settings->jwt_secret != NULL) {
        load_secret(auth, settings->jwt_secret);
    }
    if (settings->jwks_file != NULL) {
        auth->jwks = jwks_new(loop, NULL, NULL, settings->jwks_file, forget_all, auth);
    } else if (url != NULL) {
        auth->jwks = jwks_new(loop, client, url, NULL, forget_all, auth);
    }
    free(url);
    if (auth->jwks == NULL && auth->secret == NULL) {
        fatal("option=jwt-secret error=\"no key to check tokens with: set jwt-secret, jwks-file, jwks-url or "
              "supabase-url\"");
    }
    return auth;
}

void auth_free(struct auth *auth) {
    if (auth != NULL) {
        jwks_free(auth->jwks);
        token_key_free(auth->secret);
        free(auth->issuer);
        free(auth->cache);
        free(auth);
    }
}

/* RFC 8725 §3.11: a token of another kind (an ID token, a refresh token) is none of ours. */
static bool is_access_token(const struct token_header *header) {
    return header->type[0] == '\0' || strcasecmp(header->type, "JWT") == 0 ||
           strcasecmp(header->type, "at+jwt") == 0;
}

static enum auth_result find_key(struct auth *auth, const char *token, const struct token_key **key) {
    struct token_header header;
    if (token_read_header(token, &header) != 0 || !is_access_token(&header)) {
        return AUTH_REFUSED;
    }
    *key = auth->jwks != NULL ? jwks_find(auth->jwks, &header) : NULL;
    if (*key != NULL) {
        return AUTH_OK;
    }
    if (auth->secret != NULL && strcmp(header.algorithm, token_key_algorithm(auth->secret)) == 0) {
        *key = auth->secret;
        return AUTH_OK;
    }
    if (auth->jwks == NULL ||
        !(strcmp(header.algorithm, "ES256") == 0 || strcmp(header.algorithm, "RS256") == 0)) {
        return AUTH_REFUSED;
    }
    if (jwks_refresh(auth->jwks)) {
        return AUTH_WAIT;
    }
    *key = jwks_find(auth->jwks, &header); /* a file is read at once */
    return *key != NULL ? AUTH_OK : jwks_is_loaded(auth->jwks) ? AUTH_REFUSED : AUTH_UNAVAILABLE;
}

static enum auth_result check_token(struct auth *auth, const char *token, int64_t now_s,
                                    struct token_claims *claims) {
    const struct token_key *key;
    char *payload;
    size_t size;
    enum auth_result result = find_key(auth, token, &key);
    if (result != AUTH_OK) {
        return result;
    }
    if (token_verify(key, token, &payload, &size) != 0) {
        return AUTH_REFUSED;
    }
    enum token_verdict verdict = token_judge(&auth->rules, payload, size, now_s, claims);
    free(payload);
    return verdict == TOKEN_ACCEPTED       ? AUTH_OK
           : verdict == TOKEN_ROLE_REFUSED ? AUTH_FORBIDDEN
                                           : AUTH_REFUSED;
}

enum auth_result auth_check(struct auth *auth, const char *authorization, struct token_claims *claims) {
    if (authorization == NULL || strncasecmp(authorization, "Bearer ", 7) != 0 || authorization[7] == '\0') {
        return AUTH_MISSING;
    }
    const char *token = authorization + 7;
    size_t size = strnlen(token, TOKEN_MAX_BYTES + 1);
    unsigned char digest[DIGEST_BYTES];
    if (size > TOKEN_MAX_BYTES || EVP_Digest(token, size, digest, NULL, EVP_sha256(), NULL) != 1) {
        counter_add(COUNT_HTTP_AUTH_FAILED, 1);
        return AUTH_REFUSED;
    }
    int64_t now_s = clock_wall_ms() / 1000;
    struct cached *place = &auth->cache[(((unsigned)digest[0] << 8) | digest[1]) & (CACHE_PLACES - 1)];
    if (place->claims.expires_s > now_s - auth->rules.leeway_s &&
        memcmp(place->digest, digest, sizeof digest) == 0) { /* a digest is no secret */
        *claims = place->claims;
        return AUTH_OK;
    }
    enum auth_result result = check_token(auth, token, now_s, claims);
    if (result == AUTH_OK) {
        memcpy(place->digest, digest, sizeof digest);
        place->claims = *claims;
    } else if (result == AUTH_REFUSED) {
        counter_add(COUNT_HTTP_AUTH_FAILED, 1);
    }
    return result;
}

static int read_id(const char *payload, size_t size, char id[UUID_TEXT_SIZE]) {
    const char *reason;
    json_t *claims = json_decode(payload, size, &reason);
    const char *text = json_string_value(json_object_get(claims, "jti"));
    int result = text != NULL && text_is_uuid(text) ? text_copy(id, UUID_TEXT_SIZE, text) : -1;
    json_decref(claims);
    return result;
}

int auth_read_code(struct auth *auth, const char *code, const char *audience, struct token_claims *claims,
                   char id[UUID_TEXT_SIZE]) {
    const struct token_rules rules = {.audience = audience, .leeway_s = 5};
    struct token_header header;
    char *payload = NULL;
    size_t size;
    int result = -1;
    if (auth->secret != NULL && token_read_header(code, &header) == 0 && is_access_token(&header) &&
        token_verify(auth->secret, code, &payload, &size) == 0 &&
        token_judge(&rules, payload, size, clock_wall_ms() / 1000, claims) == TOKEN_ACCEPTED) {
        result = read_id(payload, size, id);
    }
    if (result != 0) {
        counter_add(COUNT_HTTP_AUTH_FAILED, 1);
    }
    free(payload);
    return result;
}

char *auth_issue(struct auth *auth, const char *user, int64_t seconds) {
    json_int_t now_s = (json_int_t)(clock_wall_ms() / 1000);
    if (auth->secret == NULL) {
        return NULL;
    }
    json_t *claims = json_pack("{s:s,s:s,s:s,s:I,s:I}", "sub", user, "aud", auth->rules.audience, "role",
                               "authenticated", "iat", now_s, "exp", now_s + (json_int_t)seconds);
    if (claims != NULL && auth->issuer != NULL) {
        json_object_set_new(claims, "iss", json_string(auth->issuer));
    }
    char *token = claims != NULL ? token_sign(auth->secret, claims) : NULL;
    json_decref(claims);
    return token;
}

void auth_wait(struct auth *auth, void (*fn)(void *context), void *context) {
    jwks_wait(auth->jwks, fn, context);
}
