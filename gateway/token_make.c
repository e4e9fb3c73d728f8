/* SPDX-License-Identifier: MIT
 * See token_make.h. */
#include "gateway/token_make.h"

#include "gateway/json.h"
#include "gateway/key_set.h"
#include "gateway/token.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct key_set *read_key_file(const char *path) {
    char *bytes = memory_new(KEY_SET_MAX_BYTES + 1);
    bool weak;
    FILE *file = fopen(path, "re");
    size_t size = file != NULL ? fread(bytes, 1, KEY_SET_MAX_BYTES + 1, file) : 0;
    if (file != NULL) {
        (void)fclose(file);
    }
    struct key_set *set = key_set_parse(bytes, size, &weak);
    free(bytes);
    return set;
}

static char *sign(const struct settings *settings, const json_t *claims) {
    enum token_key_fault fault;
    char *token = NULL;
    if (settings->jwt_secret != NULL) {
        struct token_key *key = token_key_from_secret(settings->jwt_secret, &fault);
        if (key == NULL) {
            fatal("option=jwt-secret error=\"shorter than 32 bytes\"");
        }
        token = token_sign(key, claims);
        token_key_free(key);
    } else if (settings->jwks_file != NULL) {
        struct key_set *set = read_key_file(settings->jwks_file);
        const struct token_key *key = set != NULL ? key_set_first(set) : NULL;
        token = key != NULL ? token_sign(key, claims) : NULL;
        key_set_free(set);
    }
    return token;
}

char *token_make(const struct settings *settings, const struct token_wish *wish) {
    json_int_t now_s = (json_int_t)(clock_wall_ms() / 1000);
    json_t *claims = json_pack("{s:s,s:s,s:s,s:I,s:I}", "sub", wish->user, "aud", settings->jwt_audience,
                               "role", "authenticated", "iat", now_s, "exp", now_s + (json_int_t)wish->ttl_s);
    if (claims == NULL) {
        return NULL;
    }
    if (wish->email != NULL) {
        json_object_set_new(claims, "email", json_string(wish->email));
    }
    if (settings->jwt_issuer != NULL) {
        json_object_set_new(claims, "iss", json_string(settings->jwt_issuer));
    }
    char *token = sign(settings, claims);
    json_decref(claims);
    return token;
}

void token_first_user(const char *list, char user[UUID_TEXT_SIZE]) {
    user[0] = '\0';
    if (list != NULL) {
        list += strspn(list, " ,");
        (void)text_format(user, UUID_TEXT_SIZE, "%.*s", (int)strcspn(list, " ,"), list);
    }
}
