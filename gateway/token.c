/* SPDX-License-Identifier: MIT
 * Signed tokens; see token.h. libjose is given only what was checked before: a key rebuilt from the members
 * that matter, with its algorithm pinned, and a token split into canonical parts. */
#include "gateway/token.h"

#include "gateway/json.h"
#include "lib/memory.h"
#include <jose/jws.h>
#include <stdlib.h>
#include <string.h>

#define HMAC_MIN_BYTES 32
#define RSA_MIN_BITS 2048
#define KEY_MEMBER_MAX_BYTES 2048

struct token_key {
    json_t *jwk; /* only kty, alg and the key's own members */
    char id[TOKEN_KEY_ID_MAX + 1];
    const char *algorithm;
};

struct key_kind {
    const char *type;
    const char *curve; /* NULL: none */
    const char *algorithm;
    const char *members[4];  /* that must be there */
    const char *private_one; /* taken along where present, for signing */
};

static const struct key_kind key_kinds[] = {
    {.type = "oct", .algorithm = "HS256", .members = {"k"}},
    {.type = "RSA", .algorithm = "RS256", .members = {"n", "e"}},
    {.type = "EC", .curve = "P-256", .algorithm = "ES256", .members = {"x", "y"}, .private_one = "d"},
};

static const struct key_kind *find_kind(const json_t *jwk) {
    const char *type = json_text_member(jwk, "kty");
    const char *curve = json_text_member(jwk, "crv");
    for (size_t i = 0; type != NULL && i < sizeof key_kinds / sizeof key_kinds[0]; i++) {
        const struct key_kind *kind = &key_kinds[i];
        if (strcmp(kind->type, type) == 0 &&
            (kind->curve == NULL || (curve != NULL && strcmp(kind->curve, curve) == 0))) {
            return kind;
        }
    }
    return NULL;
}

/* RFC 7517 §4.2, §4.3, §4.4: a key that says what it is for must be for this. */
static bool may_verify(const json_t *jwk, const struct key_kind *kind) {
    const json_t *use = json_object_get(jwk, "use");
    const json_t *operations = json_object_get(jwk, "key_ops");
    const json_t *algorithm = json_object_get(jwk, "alg");
    if (use != NULL && (!json_is_string(use) || strcmp(json_string_value(use), "sig") != 0)) {
        return false;
    }
    if (algorithm != NULL &&
        (!json_is_string(algorithm) || strcmp(json_string_value(algorithm), kind->algorithm) != 0)) {
        return false;
    }
    if (operations == NULL) {
        return true;
    }
    size_t index;
    json_t *operation;
    json_array_foreach(operations, index, operation) {
        if (json_is_string(operation) && strcmp(json_string_value(operation), "verify") == 0) {
            return true;
        }
    }
    return false;
}

/* Strength of the first member: bytes of an HMAC key, bits of an RSA modulus; -1 if it is malformed. */
static int64_t measure_member(const char *text) {
    unsigned char bytes[KEY_MEMBER_MAX_BYTES];
    int64_t size = text_base64url_decode(bytes, sizeof bytes, text, strlen(text));
    if (size < 0) {
        return -1;
    }
    int64_t skip = 0;
    while (skip < size && bytes[skip] == 0) {
        skip++;
    }
    return size == skip ? 0 : size - skip;
}

static enum token_key_fault judge_strength(const json_t *jwk, const struct key_kind *kind) {
    const char *first = json_text_member(jwk, kind->members[0]);
    if (strcmp(kind->type, "oct") == 0) {
        unsigned char bytes[KEY_MEMBER_MAX_BYTES];
        int64_t size = text_base64url_decode(bytes, sizeof bytes, first, strlen(first));
        return size < 0 ? TOKEN_KEY_UNUSABLE : size < HMAC_MIN_BYTES ? TOKEN_KEY_WEAK : TOKEN_KEY_OK;
    }
    int64_t significant = measure_member(first);
    if (significant < 0) {
        return TOKEN_KEY_UNUSABLE;
    }
    if (strcmp(kind->type, "RSA") == 0 && significant * 8 < RSA_MIN_BITS) {
        return TOKEN_KEY_WEAK;
    }
    return TOKEN_KEY_OK;
}

struct token_key *token_key_new(const json_t *jwk, enum token_key_fault *fault) {
    *fault = TOKEN_KEY_UNUSABLE;
    const struct key_kind *kind = find_kind(jwk);
    if (kind == NULL || !may_verify(jwk, kind)) {
        return NULL;
    }
    json_t *pinned = json_pack("{s:s,s:s}", "kty", kind->type, "alg", kind->algorithm);
    if (kind->curve != NULL) {
        json_object_set_new(pinned, "crv", json_string(kind->curve));
    }
    for (size_t i = 0; i < sizeof kind->members / sizeof kind->members[0] && kind->members[i] != NULL; i++) {
        const char *value = json_text_member(jwk, kind->members[i]);
        if (value == NULL || strlen(value) > KEY_MEMBER_MAX_BYTES) {
            json_decref(pinned);
            return NULL;
        }
        json_object_set_new(pinned, kind->members[i], json_string(value));
    }
    const char *secret = kind->private_one != NULL ? json_text_member(jwk, kind->private_one) : NULL;
    if (secret != NULL) {
        json_object_set_new(pinned, kind->private_one, json_string(secret));
    }
    const char *id = json_text_member(jwk, "kid");
    *fault = judge_strength(pinned, kind);
    if (*fault != TOKEN_KEY_OK || (id != NULL && strlen(id) > TOKEN_KEY_ID_MAX)) {
        *fault = *fault == TOKEN_KEY_OK ? TOKEN_KEY_UNUSABLE : *fault;
        json_decref(pinned);
        return NULL;
    }
    struct token_key *key = memory_new(sizeof *key);
    key->jwk = pinned;
    key->algorithm = kind->algorithm;
    text_copy(key->id, sizeof key->id, id != NULL ? id : "");
    return key;
}

struct token_key *token_key_from_secret(const char *secret, enum token_key_fault *fault) {
    size_t size = strlen(secret);
    *fault = TOKEN_KEY_UNUSABLE;
    if (size > KEY_MEMBER_MAX_BYTES / 2) {
        return NULL;
    }
    char encoded[KEY_MEMBER_MAX_BYTES];
    if (text_base64url_encode(encoded, sizeof encoded, secret, size) != 0) {
        return NULL;
    }
    json_t *jwk = json_pack("{s:s,s:s}", "kty", "oct", "k", encoded);
    struct token_key *key = token_key_new(jwk, fault);
    json_decref(jwk);
    explicit_bzero(encoded, sizeof encoded);
    return key;
}

void token_key_free(struct token_key *key) {
    if (key != NULL) {
        json_decref(key->jwk);
        free(key);
    }
}

const char *token_key_id(const struct token_key *key) {
    return key->id;
}

const char *token_key_algorithm(const struct token_key *key) {
    return key->algorithm;
}

/* --- a compact token's parts --- */

struct token_parts {
    const char *texts[3];
    size_t sizes[3];
};

static int split_token(const char *token, struct token_parts *parts) {
    size_t length = strnlen(token, TOKEN_MAX_BYTES + 1);
    if (length > TOKEN_MAX_BYTES) {
        return -1;
    }
    const char *first = memchr(token, '.', length);
    const char *second = first != NULL ? strchr(first + 1, '.') : NULL;
    if (second == NULL || strchr(second + 1, '.') != NULL) {
        return -1;
    }
    *parts = (struct token_parts){
        .texts = {token, first + 1, second + 1},
        .sizes = {(size_t)(first - token), (size_t)(second - first - 1), strlen(second + 1)},
    };
    return 0;
}

/* Decoded bytes with a NUL after them, or NULL when not canonical base64url. */
static char *decode_part(const struct token_parts *parts, size_t index, size_t *size) {
    size_t room = parts->sizes[index] + 1;
    char *bytes = memory_new(room);
    int64_t decoded = text_base64url_decode(bytes, room - 1, parts->texts[index], parts->sizes[index]);
    if (decoded < 0) {
        free(bytes);
        return NULL;
    }
    bytes[decoded] = '\0';
    *size = (size_t)decoded;
    return bytes;
}

/* Headers that bring a key of their own, or must be understood and are not (RFC 7515 §4.1, RFC 7797). */
static const char *const refused_headers[] = {"crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc"};

static int copy_header(const json_t *object, const char *name, char *target, size_t size, bool *present) {
    const json_t *member = json_object_get(object, name);
    *present = member != NULL;
    if (member == NULL) {
        target[0] = '\0';
        return 0;
    }
    const char *text = json_text_member(object, name);
    return text == NULL ? -1 : text_copy(target, size, text);
}

static int parse_header(const char *bytes, size_t size, struct token_header *header) {
    const char *reason;
    json_t *object = json_decode(bytes, size, &reason);
    int result = -1;
    if (!json_is_object(object)) {
        goto done;
    }
    for (size_t i = 0; i < sizeof refused_headers / sizeof refused_headers[0]; i++) {
        if (json_object_get(object, refused_headers[i]) != NULL) {
            goto done;
        }
    }
    bool has_algorithm;
    bool has_type;
    if (copy_header(object, "alg", header->algorithm, sizeof header->algorithm, &has_algorithm) == 0 &&
        has_algorithm &&
        copy_header(object, "kid", header->key_id, sizeof header->key_id, &header->has_key_id) == 0 &&
        copy_header(object, "typ", header->type, sizeof header->type, &has_type) == 0) {
        result = 0;
    }
done:
    json_decref(object);
    return result;
}

int token_read_header(const char *token, struct token_header *header) {
    struct token_parts parts;
    size_t size;
    if (split_token(token, &parts) != 0) {
        return -1;
    }
    char *bytes = decode_part(&parts, 0, &size);
    if (bytes == NULL) {
        return -1;
    }
    int result = parse_header(bytes, size, header);
    free(bytes);
    return result;
}

int token_verify(const struct token_key *key, const char *token, char **payload, size_t *payload_size) {
    struct token_parts parts;
    struct token_header header;
    if (token_read_header(token, &header) != 0 || strcmp(header.algorithm, key->algorithm) != 0 ||
        split_token(token, &parts) != 0) {
        return -1;
    }
    size_t signature_size;
    char *signature = decode_part(&parts, 2, &signature_size);
    char *bytes = decode_part(&parts, 1, payload_size);
    int result = -1;
    if (signature != NULL && bytes != NULL && signature_size > 0) {
        json_t *jws = json_pack("{s:s%,s:s%,s:s%}", "protected", parts.texts[0], parts.sizes[0], "payload",
                                parts.texts[1], parts.sizes[1], "signature", parts.texts[2], parts.sizes[2]);
        if (jws != NULL && jose_jws_ver(NULL, jws, NULL, key->jwk, true)) {
            result = 0;
        }
        json_decref(jws);
    }
    free(signature);
    if (result != 0) {
        free(bytes);
        bytes = NULL;
    }
    *payload = bytes;
    return result;
}

char *token_sign(const struct token_key *key, const json_t *claims) {
    char *payload = json_encode(claims);
    size_t size = strlen(payload);
    size_t room = size * 2 + 8;
    char *encoded = memory_new(room);
    char *token = NULL;
    json_t *protected = json_pack("{s:s,s:s}", "alg", key->algorithm, "typ", "JWT");
    if (key->id[0] != '\0') {
        json_object_set_new(protected, "kid", json_string(key->id));
    }
    json_t *signature = json_pack("{s:o}", "protected", protected);
    json_t *jws = NULL;
    if (text_base64url_encode(encoded, room, payload, size) == 0) {
        jws = json_pack("{s:s}", "payload", encoded);
        if (jws != NULL && jose_jws_sig(NULL, jws, signature, key->jwk)) {
            token = memory_format("%s.%s.%s", json_string_value(json_object_get(jws, "protected")), encoded,
                                  json_string_value(json_object_get(jws, "signature")));
        }
    }
    json_decref(jws);
    json_decref(signature);
    free(encoded);
    free(payload);
    return token;
}

/* --- claims --- */

static bool audience_is(const json_t *claims, const char *audience) {
    const char *text = json_text_member(claims, "aud");
    return audience == NULL || (text != NULL && strcmp(text, audience) == 0);
}

static bool issuer_is(const json_t *claims, const char *issuer) {
    const char *text = json_text_member(claims, "iss");
    return issuer == NULL || (text != NULL && strcmp(text, issuer) == 0);
}

/* A time that must not lie after `latest`; absent ones pass. */
static bool time_not_after(const json_t *claims, const char *name, int64_t latest) {
    const json_t *member = json_object_get(claims, name);
    return member == NULL || (json_is_integer(member) && json_integer_value(member) >= 0 &&
                              json_integer_value(member) <= latest);
}

static enum token_verdict judge_claims(const struct token_rules *rules, const json_t *object, int64_t now_s,
                                       struct token_claims *claims) {
    const json_t *expires = json_object_get(object, "exp");
    const char *subject = json_text_member(object, "sub");
    const char *role = json_text_member(object, "role");
    if (!json_is_integer(expires) || json_integer_value(expires) <= now_s - rules->leeway_s ||
        !time_not_after(object, "nbf", now_s + rules->leeway_s) ||
        !time_not_after(object, "iat", now_s + rules->leeway_s) || !audience_is(object, rules->audience) ||
        !issuer_is(object, rules->issuer) || role == NULL) {
        return TOKEN_REFUSED;
    }
    if (strcmp(role, "authenticated") != 0) {
        return TOKEN_ROLE_REFUSED;
    }
    if (subject == NULL || !text_is_uuid(subject)) {
        return TOKEN_REFUSED;
    }
    for (size_t i = 0; i < sizeof claims->user; i++) {
        char byte = subject[i];
        claims->user[i] = byte >= 'A' && byte <= 'F' ? (char)(byte - 'A' + 'a') : byte;
    }
    claims->expires_s = json_integer_value(expires);
    return TOKEN_ACCEPTED;
}

enum token_verdict token_judge(const struct token_rules *rules, const char *payload, size_t payload_size,
                               int64_t now_s, struct token_claims *claims) {
    const char *reason;
    json_t *object = json_decode(payload, payload_size, &reason);
    enum token_verdict verdict =
        json_is_object(object) ? judge_claims(rules, object, now_s, claims) : TOKEN_REFUSED;
    json_decref(object);
    return verdict;
}
