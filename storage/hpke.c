/* SPDX-License-Identifier: MIT
 * RFC 9180, section 4.1 (the KEM), 5.1 (the key schedule) and 6.1 (one message). */
#include "storage/hpke.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#define HASH_BYTES 32
#define NONCE_BYTES 12
#define TEXT_MAX 512

static const unsigned char kem_suite[] = {'K', 'E', 'M', 0x00, 0x20};
static const unsigned char hpke_suite[] = {'H', 'P', 'K', 'E', 0x00, 0x20, 0x00, 0x01, 0x00, 0x02};

static const struct hpke_bytes kem = {kem_suite, sizeof kem_suite}, whole = {hpke_suite, sizeof hpke_suite};

/* A text put together of parts; `failed` when it would not fit. */
struct text {
    unsigned char bytes[TEXT_MAX];
    size_t size;
    int failed;
};

static void add(struct text *text, const void *bytes, size_t size) {
    if (size > sizeof text->bytes - text->size) {
        text->failed = -1;
        return;
    }
    if (size > 0)
        memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
}

static int mac(unsigned char target[HASH_BYTES], const void *key, size_t key_size, const struct text *text) {
    unsigned size = 0;

    if (text->failed != 0 || key_size > INT_MAX ||
        HMAC(EVP_sha256(), key, (int)key_size, text->bytes, text->size, target, &size) == NULL)
        return -1;
    return 0;
}

/* One block is enough for all that is derived here. */
static int expand(unsigned char *target, size_t size, const unsigned char key[HASH_BYTES],
                  struct text *info) {
    unsigned char block[HASH_BYTES];
    int status;

    add(info, "\x01", 1);
    status = size > sizeof block ? -1 : mac(block, key, HASH_BYTES, info);
    if (status == 0)
        memcpy(target, block, size);
    OPENSSL_cleanse(block, sizeof block);
    return status;
}

int hkdf_derive(unsigned char *target, size_t size, struct hpke_bytes key, const char *label) {
    static const unsigned char no_salt[HASH_BYTES];
    unsigned char extracted[HASH_BYTES];
    struct text text = {.size = 0}, info = {.size = 0};
    int status;

    add(&text, key.bytes, key.size);
    add(&info, label, strlen(label));
    status = mac(extracted, no_salt, sizeof no_salt, &text);
    if (status == 0)
        status = expand(target, size, extracted, &info);
    OPENSSL_cleanse(extracted, sizeof extracted);
    OPENSSL_cleanse(&text, sizeof text);
    return status;
}

static int labeled_extract(unsigned char target[HASH_BYTES], struct hpke_bytes salt, struct hpke_bytes suite,
                           const char *label, struct hpke_bytes material) {
    struct text text = {.size = 0};
    int status;

    add(&text, "HPKE-v1", 7);
    add(&text, suite.bytes, suite.size);
    add(&text, label, strlen(label));
    add(&text, material.bytes, material.size);
    status = mac(target, salt.size == 0 ? "" : salt.bytes, salt.size, &text);
    OPENSSL_cleanse(&text, sizeof text);
    return status;
}

static int labeled_expand(struct hpke_bytes target, const unsigned char key[HASH_BYTES],
                          struct hpke_bytes suite, const char *label, struct hpke_bytes context) {
    const unsigned char size[2] = {0, (unsigned char)target.size};
    struct text info = {.size = 0};

    add(&info, size, sizeof size);
    add(&info, "HPKE-v1", 7);
    add(&info, suite.bytes, suite.size);
    add(&info, label, strlen(label));
    add(&info, context.bytes, context.size);
    return expand((unsigned char *)(size_t)target.bytes, target.size, key, &info);
}

int hpke_public(unsigned char public[HPKE_KEY_BYTES], const unsigned char private[HPKE_KEY_BYTES]) {
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private, HPKE_KEY_BYTES);
    size_t size = HPKE_KEY_BYTES;
    int status = key != NULL && EVP_PKEY_get_raw_public_key(key, public, &size) == 1 ? 0 : -1;

    EVP_PKEY_free(key);
    return status;
}

/* X25519 (RFC 7748); OpenSSL refuses a shared secret of zeros. */
static int agree(unsigned char shared[HPKE_KEY_BYTES], const unsigned char *private,
                 const unsigned char *peer) {
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private, HPKE_KEY_BYTES);
    EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, HPKE_KEY_BYTES);
    EVP_PKEY_CTX *context = own != NULL ? EVP_PKEY_CTX_new(own, NULL) : NULL;
    size_t size = HPKE_KEY_BYTES;
    int status = -1;

    if (context != NULL && other != NULL && EVP_PKEY_derive_init(context) == 1 &&
        EVP_PKEY_derive_set_peer(context, other) == 1 && EVP_PKEY_derive(context, shared, &size) == 1 &&
        size == HPKE_KEY_BYTES)
        status = 0;
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(other);
    EVP_PKEY_free(own);
    return status;
}

static int decapsulate(unsigned char secret[HASH_BYTES], const unsigned char *private,
                       const unsigned char *sender) {
    unsigned char shared[HPKE_KEY_BYTES], key[HASH_BYTES], both[2 * HPKE_KEY_BYTES];
    int status = -1;

    memcpy(both, sender, HPKE_KEY_BYTES);
    if (hpke_public(both + HPKE_KEY_BYTES, private) == 0 && agree(shared, private, sender) == 0 &&
        labeled_extract(key, (struct hpke_bytes){"", 0}, kem, "eae_prk",
                        (struct hpke_bytes){shared, sizeof shared}) == 0)
        status = labeled_expand((struct hpke_bytes){secret, HASH_BYTES}, key, kem, "shared_secret",
                                (struct hpke_bytes){both, sizeof both});
    OPENSSL_cleanse(shared, sizeof shared);
    OPENSSL_cleanse(key, sizeof key);
    return status;
}

struct schedule {
    unsigned char key[32], nonce[NONCE_BYTES];
};

static int make_schedule(struct schedule *schedule, const unsigned char shared[HASH_BYTES],
                         const char *info) {
    const struct hpke_bytes none = {"", 0};
    unsigned char context[1 + 2 * HASH_BYTES] = {0}, secret[HASH_BYTES]; /* mode 0: base */
    const struct hpke_bytes full = {context, sizeof context};
    int status = -1;

    if (labeled_extract(context + 1, none, whole, "psk_id_hash", none) == 0 &&
        labeled_extract(context + 1 + HASH_BYTES, none, whole, "info_hash",
                        (struct hpke_bytes){info, strlen(info)}) == 0 &&
        labeled_extract(secret, (struct hpke_bytes){shared, HASH_BYTES}, whole, "secret", none) == 0 &&
        labeled_expand((struct hpke_bytes){schedule->key, sizeof schedule->key}, secret, whole, "key",
                       full) == 0)
        status = labeled_expand((struct hpke_bytes){schedule->nonce, sizeof schedule->nonce}, secret, whole,
                                "base_nonce", full);
    OPENSSL_cleanse(secret, sizeof secret);
    return status;
}

static int open_message(const struct schedule *schedule, const unsigned char *bytes, size_t size,
                        unsigned char *target) {
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    unsigned char tag[HPKE_TAG_BYTES], end[1];
    size_t plain = size - sizeof tag;
    int written, rest, status = -1;

    memcpy(tag, bytes + plain, sizeof tag);
    if (cipher != NULL &&
        EVP_DecryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, schedule->key, schedule->nonce) == 1 &&
        EVP_DecryptUpdate(cipher, target, &written, bytes, (int)plain) == 1 &&
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1 &&
        EVP_DecryptFinal_ex(cipher, end, &rest) == 1)
        status = 0;
    else
        OPENSSL_cleanse(target, plain);
    EVP_CIPHER_CTX_free(cipher);
    return status;
}

int hpke_open(const unsigned char private[HPKE_KEY_BYTES], const char *info, struct hpke_bytes sealed,
              unsigned char *target) {
    const unsigned char *bytes = sealed.bytes;
    unsigned char shared[HASH_BYTES];
    struct schedule schedule;
    int status = -1;

    if (sealed.size <= HPKE_KEY_BYTES + HPKE_TAG_BYTES || sealed.size > TEXT_MAX)
        return -1;
    if (decapsulate(shared, private, bytes) == 0 && make_schedule(&schedule, shared, info) == 0)
        status = open_message(&schedule, bytes + HPKE_KEY_BYTES, sealed.size - HPKE_KEY_BYTES, target);
    OPENSSL_cleanse(shared, sizeof shared);
    OPENSSL_cleanse(&schedule, sizeof schedule);
    return status;
}
