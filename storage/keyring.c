/* SPDX-License-Identifier: MIT
 * Reading master keys; wrapping, receiving and signing with them. */
#include "storage/keyring.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/memory.h"
#include "lib/text.h"
#include "storage/hpke.h"

#define MOST_KEYS 16
#define NONCE_BYTES 12
#define WRAPPED_BYTES (NONCE_BYTES + ENVELOPE_KEY_BYTES + ENVELOPE_TAG_BYTES)
#define SENT_BYTES (HPKE_KEY_BYTES + ENVELOPE_KEY_BYTES + HPKE_TAG_BYTES)
#define FILE_MAX 16384

struct master {
    char id[KEYRING_ID_MAX + 1];
    unsigned char key[32], upload[HPKE_KEY_BYTES], public[HPKE_KEY_BYTES], link[32];
};

struct keyring {
    struct master keys[MOST_KEYS];
    size_t count;
};

/* ---- reading ---- */

static int derive_rest(struct master *master) {
    const struct hpke_bytes key = {master->key, sizeof master->key};
    unsigned char name[8];

    if (hkdf_derive(master->upload, sizeof master->upload, key, "filemill upload") != 0 ||
        hkdf_derive(master->link, sizeof master->link, key, "filemill link") != 0 ||
        hkdf_derive(name, sizeof name, key, "filemill name") != 0 ||
        hpke_public(master->public, master->upload) != 0)
        return -1;
    if (master->id[0] == '\0')
        text_hex_encode(master->id, name, sizeof name);
    return 0;
}

/* NULL, or what is wrong with one entry: [id:]64 hex digits. */
static const char *take_entry(struct keyring *keyring, const char *entry) {
    struct master *master = &keyring->keys[keyring->count];
    const char *colon = strchr(entry, ':');
    size_t length = colon == NULL ? 0 : (size_t)(colon - entry);

    if (keyring->count == MOST_KEYS)
        return "too many keys";
    if (colon != NULL && (length == 0 || length > KEYRING_ID_MAX ||
                          strspn(entry, "abcdefghijklmnopqrstuvwxyz0123456789_-") != length))
        return "a key's id must be 1 to 32 of a-z, 0-9, '_' and '-'";
    memset(master, 0, sizeof *master);
    memcpy(master->id, entry, length);
    if (text_hex_decode(master->key, sizeof master->key, colon == NULL ? entry : colon + 1) != 0)
        return "a key must be 64 hex digits";
    if (derive_rest(master) != 0)
        return "a key can't be used";
    for (size_t i = 0; i < keyring->count; i++)
        if (strcmp(keyring->keys[i].id, master->id) == 0)
            return "two keys have the same id";
    keyring->count++;
    return NULL;
}

/* Entries between blanks, commas and line ends; `text` is cut up. A line's rest after '#' is a comment. */
static const char *take_entries(struct keyring *keyring, char *text) {
    const char *problem = NULL;
    char *rest = text, *line;

    while (problem == NULL && (line = strsep(&rest, "\n")) != NULL) {
        char *entry;
        line[strcspn(line, "#")] = '\0';
        while (problem == NULL && (entry = strsep(&line, ", \t\r")) != NULL)
            if (entry[0] != '\0')
                problem = take_entry(keyring, entry);
    }
    return problem;
}

static const char *take_file(struct keyring *keyring, const char *path) {
    char text[FILE_MAX];
    FILE *file = fopen(path, "re");
    const char *problem;
    size_t size;

    if (file == NULL)
        return "can't be opened";
    size = fread(text, 1, sizeof text - 1, file);
    problem = ferror(file) != 0 ? "can't be read" : size == sizeof text - 1 ? "is too long" : NULL;
    (void)fclose(file);
    text[size] = '\0';
    if (problem == NULL)
        problem = strlen(text) != size ? "holds a NUL" : take_entries(keyring, text);
    if (problem == NULL && keyring->count == 0)
        problem = "holds no key";
    OPENSSL_cleanse(text, sizeof text);
    return problem;
}

struct keyring *keyring_new(const struct settings *settings, char *error, size_t error_size) {
    struct keyring *keyring = memory_new(sizeof *keyring);
    const char *problem = NULL, *option = "encryption-keys-file";

    if (settings->encryption_keys_file != NULL)
        problem = take_file(keyring, settings->encryption_keys_file);
    if (problem == NULL && settings->encryption_key != NULL) {
        char *copy = memory_copy_text(settings->encryption_key);
        option = "encryption-key";
        problem = take_entries(keyring, copy);
        OPENSSL_cleanse(copy, strlen(settings->encryption_key));
        free(copy);
    }
    if (problem == NULL && keyring->count == 0 && strcmp(settings->encrypt_outputs, "off") != 0) {
        option = "encrypt-outputs";
        problem = "needs encryption-key or encryption-keys-file";
    }
    if (problem == NULL)
        return keyring;
    (void)text_format(error, error_size, "%s: %s", option, problem);
    keyring_free(keyring);
    return NULL;
}

void keyring_free(struct keyring *keyring) {
    if (keyring == NULL)
        return;
    OPENSSL_cleanse(keyring, sizeof *keyring);
    free(keyring);
}

bool keyring_is_empty(const struct keyring *keyring) {
    return keyring->count == 0;
}

const char *keyring_id(const struct keyring *keyring) {
    return keyring->count == 0 ? "" : keyring->keys[0].id;
}

/* ---- seals ---- */

/* The id and the object are authenticated with the key: no seal works for another object. */
static int begin(EVP_CIPHER_CTX *cipher, const struct master *master, const char *object,
                 const unsigned char *nonce, int direction) {
    int size;

    if (cipher == NULL ||
        EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL, master->key, nonce, direction) != 1 ||
        EVP_CipherUpdate(cipher, NULL, &size, (const unsigned char *)master->id,
                         (int)strlen(master->id) + 1) != 1 ||
        EVP_CipherUpdate(cipher, NULL, &size, (const unsigned char *)object, (int)strlen(object)) != 1)
        return -1;
    return 0;
}

int keyring_wrap(const struct keyring *keyring, const char *object,
                 const unsigned char key[ENVELOPE_KEY_BYTES], char *seal) {
    const struct master *master = &keyring->keys[0];
    unsigned char wrapped[WRAPPED_BYTES], *at = wrapped + NONCE_BYTES;
    char hex[2 * WRAPPED_BYTES + 1];
    EVP_CIPHER_CTX *cipher;
    int size, status = -1;

    if (keyring->count == 0)
        return -1;
    cipher = EVP_CIPHER_CTX_new();
    text_random(wrapped, NONCE_BYTES);
    if (begin(cipher, master, object, wrapped, 1) == 0 &&
        EVP_CipherUpdate(cipher, at, &size, key, ENVELOPE_KEY_BYTES) == 1 &&
        EVP_CipherFinal_ex(cipher, at + ENVELOPE_KEY_BYTES, &size) == 1 &&
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, ENVELOPE_TAG_BYTES, at + ENVELOPE_KEY_BYTES) ==
            1) {
        text_hex_encode(hex, wrapped, sizeof wrapped);
        status = text_format(seal, KEYRING_SEAL_MAX, "%s:%s", master->id, hex);
    }
    EVP_CIPHER_CTX_free(cipher);
    return status;
}

static const struct master *find(const struct keyring *keyring, const char *id, size_t length) {
    for (size_t i = 0; i < keyring->count; i++)
        if (strlen(keyring->keys[i].id) == length && strncmp(keyring->keys[i].id, id, length) == 0)
            return &keyring->keys[i];
    return NULL;
}

enum keyring_result keyring_unwrap(const struct keyring *keyring, const char *object, const char *seal,
                                   unsigned char key[ENVELOPE_KEY_BYTES]) {
    const char *colon = strchr(seal, ':');
    unsigned char wrapped[WRAPPED_BYTES], end[1];
    unsigned char *at = wrapped + NONCE_BYTES;
    const struct master *master;
    EVP_CIPHER_CTX *cipher;
    int size, status = -1;

    if (colon == NULL || text_hex_decode(wrapped, sizeof wrapped, colon + 1) != 0)
        return KEYRING_BROKEN;
    master = find(keyring, seal, (size_t)(colon - seal));
    if (master == NULL)
        return KEYRING_UNKNOWN;
    cipher = EVP_CIPHER_CTX_new();
    if (begin(cipher, master, object, wrapped, 0) == 0 &&
        EVP_CipherUpdate(cipher, key, &size, at, ENVELOPE_KEY_BYTES) == 1 &&
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, ENVELOPE_TAG_BYTES, at + ENVELOPE_KEY_BYTES) ==
            1 &&
        EVP_CipherFinal_ex(cipher, end, &size) == 1)
        status = 0;
    else
        OPENSSL_cleanse(key, ENVELOPE_KEY_BYTES);
    EVP_CIPHER_CTX_free(cipher);
    return status == 0 ? KEYRING_OK : KEYRING_BROKEN;
}

int keyring_make(const struct keyring *keyring, const char *object, unsigned char key[ENVELOPE_KEY_BYTES],
                 char *seal) {
    text_random(key, ENVELOPE_KEY_BYTES);
    return keyring_wrap(keyring, object, key, seal);
}

/* ---- keys of clients ---- */

int keyring_public(const struct keyring *keyring, unsigned char target[KEYRING_PUBLIC_BYTES]) {
    if (keyring->count == 0)
        return -1;
    memcpy(target, keyring->keys[0].public, KEYRING_PUBLIC_BYTES);
    return 0;
}

int keyring_receive(const struct keyring *keyring, const char *wrapped,
                    unsigned char key[ENVELOPE_KEY_BYTES]) {
    unsigned char sent[SENT_BYTES];

    if (text_base64url_decode(sent, sizeof sent, wrapped, strlen(wrapped)) != (int64_t)sizeof sent)
        return -1;
    for (size_t i = 0; i < keyring->count; i++)
        if (hpke_open(keyring->keys[i].upload, KEYRING_INFO, (struct hpke_bytes){sent, sizeof sent}, key) ==
            0)
            return 0;
    return -1;
}

/* ---- links ---- */

static int sign(const struct master *master, const char *text, char target[KEYRING_LINK_TEXT]) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    if (HMAC(EVP_sha256(), master->link, sizeof master->link, (const unsigned char *)text, strlen(text),
             digest, &size) == NULL)
        return -1;
    text_hex_encode(target, digest, size);
    return 0;
}

int keyring_link(const struct keyring *keyring, const char *text, char target[KEYRING_LINK_TEXT]) {
    return keyring->count == 0 ? -1 : sign(&keyring->keys[0], text, target);
}

bool keyring_link_is_good(const struct keyring *keyring, const char *text, const char *signature) {
    char own[KEYRING_LINK_TEXT];

    for (size_t i = 0; i < keyring->count; i++)
        if (sign(&keyring->keys[i], text, own) == 0 && text_equal_secret(own, signature))
            return true;
    return false;
}
