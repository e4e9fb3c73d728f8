/* SPDX-License-Identifier: MIT
 * The signature; see outbox_sign.h. */
#include "scheduler/outbox_sign.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "lib/memory.h"
#include "lib/text.h"

#define PREFIX "whsec_"
#define KEY_MIN 24
#define KEY_MAX 64
#define SECRET_MAX 96
#define HASH_BYTES 32

/* The key's size; -1 for what is no secret. */
static int decode_secret(unsigned char key[SECRET_MAX], const char *secret) {
    size_t size;
    int padding = 0, decoded;

    if (!text_starts_with(secret, PREFIX))
        return -1;
    secret += sizeof PREFIX - 1;
    size = strlen(secret);
    if (size == 0 || size % 4 != 0 || size / 4 * 3 > SECRET_MAX)
        return -1;
    while (padding < 2 && secret[size - 1 - (size_t)padding] == '=')
        padding++;
    decoded = EVP_DecodeBlock(key, (const unsigned char *)secret, (int)size);
    return decoded - padding >= KEY_MIN && decoded - padding <= KEY_MAX ? decoded - padding : -1;
}

/* Appends "v1,<base64>". */
static int append(char signature[OUTBOX_SIGNATURE_MAX], const char *content, const char *secret) {
    unsigned char key[SECRET_MAX], hash[EVP_MAX_MD_SIZE], base64[4 * ((HASH_BYTES + 2) / 3) + 1];
    size_t used = strlen(signature);
    unsigned size = 0;
    int key_size = decode_secret(key, secret);
    int status = -1;

    if (key_size > 0 && HMAC(EVP_sha256(), key, key_size, (const unsigned char *)content, strlen(content),
                             hash, &size) != NULL) {
        (void)EVP_EncodeBlock(base64, hash, (int)size);
        status = text_format(signature + used, OUTBOX_SIGNATURE_MAX - used, "%sv1,%s", used > 0 ? " " : "",
                             (const char *)base64);
    }
    OPENSSL_cleanse(key, sizeof key);
    return status;
}

int outbox_sign(char signature[OUTBOX_SIGNATURE_MAX], const struct outbox_text *text, const char *secret,
                const char *previous) {
    char *content = memory_format("%s.%lld.%s", text->id, (long long)text->timestamp_s, text->body);
    int status;

    signature[0] = '\0';
    status = append(signature, content, secret);
    if (status == 0 && previous != NULL)
        status = append(signature, content, previous);
    free(content);
    return status;
}
