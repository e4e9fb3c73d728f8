/* SPDX-License-Identifier: MIT
 * Headers, sizes and chunks of sealed objects. */
#include "storage/envelope.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "lib/memory.h"
#include "lib/text.h"

#define MAGIC "FMSEAL"
#define VERSION 1
#define ALGORITHM 1
#define PREFIX_BYTES 7
#define COMMITMENT_BYTES 16
#define NONCE_BYTES 12
#define MOST_CHUNKS (UINT64_C(1) << 32)

/* Places in the header. */
enum { AT_VERSION = 6, AT_CHUNK = 7, AT_PREFIX = 8, AT_ALGORITHM = 15, AT_COMMITMENT = 16 };

struct envelope {
    unsigned char key[ENVELOPE_KEY_BYTES];
    unsigned char header[ENVELOPE_HEADER_BYTES];
    uint32_t chunk_bytes;
    EVP_CIPHER_CTX *cipher;
};

static int commit(const unsigned char *key, const unsigned char *header, unsigned char *target) {
    static const char label[] = "filemill sealed object";
    unsigned char text[sizeof label - 1 + AT_COMMITMENT], digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    memcpy(text, label, sizeof label - 1);
    memcpy(text + sizeof label - 1, header, AT_COMMITMENT);
    if (HMAC(EVP_sha256(), key, ENVELOPE_KEY_BYTES, text, sizeof text, digest, &size) == NULL)
        return -1;
    memcpy(target, digest, COMMITMENT_BYTES);
    return 0;
}

static struct envelope *envelope_make(const unsigned char *key, const unsigned char *header,
                                      uint32_t chunk_bytes) {
    struct envelope *envelope = memory_new(sizeof *envelope);

    memcpy(envelope->key, key, sizeof envelope->key);
    memcpy(envelope->header, header, sizeof envelope->header);
    envelope->chunk_bytes = chunk_bytes;
    envelope->cipher = EVP_CIPHER_CTX_new();
    if (envelope->cipher != NULL)
        return envelope;
    envelope_free(envelope);
    return NULL;
}

static unsigned log2_of(uint32_t power) {
    unsigned bits = 0;

    while (power >> (bits + 1) != 0)
        bits++;
    return bits;
}

struct envelope *envelope_new(const unsigned char key[ENVELOPE_KEY_BYTES]) {
    unsigned char header[ENVELOPE_HEADER_BYTES] = MAGIC;

    header[AT_VERSION] = VERSION;
    header[AT_CHUNK] = (unsigned char)log2_of(ENVELOPE_CHUNK_BYTES);
    text_random(header + AT_PREFIX, PREFIX_BYTES);
    header[AT_ALGORITHM] = ALGORITHM;
    if (commit(key, header, header + AT_COMMITMENT) != 0)
        return NULL;
    return envelope_make(key, header, ENVELOPE_CHUNK_BYTES);
}

struct envelope *envelope_open(const unsigned char key[ENVELOPE_KEY_BYTES],
                               const unsigned char header[ENVELOPE_HEADER_BYTES]) {
    unsigned char commitment[COMMITMENT_BYTES];

    if (memcmp(header, MAGIC, AT_VERSION) != 0 || header[AT_VERSION] != VERSION ||
        header[AT_ALGORITHM] != ALGORITHM || header[AT_CHUNK] < log2_of(ENVELOPE_MIN_CHUNK_BYTES) ||
        header[AT_CHUNK] > log2_of(ENVELOPE_MAX_CHUNK_BYTES))
        return NULL;
    if (commit(key, header, commitment) != 0 ||
        CRYPTO_memcmp(commitment, header + AT_COMMITMENT, sizeof commitment) != 0)
        return NULL;
    return envelope_make(key, header, UINT32_C(1) << header[AT_CHUNK]);
}

void envelope_free(struct envelope *envelope) {
    if (envelope == NULL)
        return;
    EVP_CIPHER_CTX_free(envelope->cipher);
    OPENSSL_cleanse(envelope, sizeof *envelope);
    free(envelope);
}

const unsigned char *envelope_header(const struct envelope *envelope) {
    return envelope->header;
}

uint32_t envelope_chunk_bytes(const struct envelope *envelope) {
    return envelope->chunk_bytes;
}

uint64_t envelope_chunks(uint64_t plain_bytes, uint32_t chunk_bytes) {
    return plain_bytes == 0 ? 1 : (plain_bytes - 1) / chunk_bytes + 1;
}

uint64_t envelope_sealed_bytes(uint64_t plain_bytes, uint32_t chunk_bytes) {
    uint64_t chunks = envelope_chunks(plain_bytes, chunk_bytes);

    if (chunks > MOST_CHUNKS)
        return UINT64_MAX;
    return ENVELOPE_HEADER_BYTES + plain_bytes + chunks * ENVELOPE_TAG_BYTES;
}

int envelope_plain_bytes(uint64_t sealed_bytes, uint32_t chunk_bytes, uint64_t *plain_bytes) {
    uint64_t whole = (uint64_t)chunk_bytes + ENVELOPE_TAG_BYTES, chunks, body;

    if (sealed_bytes < ENVELOPE_HEADER_BYTES + ENVELOPE_TAG_BYTES)
        return -1;
    body = sealed_bytes - ENVELOPE_HEADER_BYTES;
    chunks = (body - 1) / whole + 1;
    if (body < chunks * ENVELOPE_TAG_BYTES)
        return -1;
    *plain_bytes = body - chunks * ENVELOPE_TAG_BYTES;
    return envelope_sealed_bytes(*plain_bytes, chunk_bytes) == sealed_bytes ? 0 : -1;
}

static bool is_possible(const struct envelope *envelope, uint64_t index, bool last, size_t plain_size) {
    if (index >= MOST_CHUNKS || plain_size > envelope->chunk_bytes)
        return false;
    return last ? plain_size > 0 || index == 0 : plain_size == envelope->chunk_bytes;
}

/* Sets key, nonce and what is authenticated beside the bytes. */
static int begin(struct envelope *envelope, uint64_t index, bool last, int direction) {
    unsigned char nonce[NONCE_BYTES];
    int size;

    memcpy(nonce, envelope->header + AT_PREFIX, PREFIX_BYTES);
    for (int i = 0; i < 4; i++)
        nonce[PREFIX_BYTES + i] = (unsigned char)(index >> (24 - 8 * i));
    nonce[NONCE_BYTES - 1] = last;
    if (EVP_CipherInit_ex(envelope->cipher, EVP_aes_256_gcm(), NULL, envelope->key, nonce, direction) != 1 ||
        EVP_CipherUpdate(envelope->cipher, NULL, &size, envelope->header, ENVELOPE_HEADER_BYTES) != 1)
        return -1;
    return 0;
}

int envelope_seal_chunk(struct envelope *envelope, uint64_t index, bool last, const void *plain, size_t size,
                        unsigned char *target) {
    int written = 0, rest = 0;

    if (!is_possible(envelope, index, last, size) || begin(envelope, index, last, 1) != 0)
        return -1;
    if (size > 0 && EVP_CipherUpdate(envelope->cipher, target, &written, plain, (int)size) != 1)
        return -1;
    if (EVP_CipherFinal_ex(envelope->cipher, target + written, &rest) != 1 ||
        EVP_CIPHER_CTX_ctrl(envelope->cipher, EVP_CTRL_AEAD_GET_TAG, ENVELOPE_TAG_BYTES, target + size) != 1)
        return -1;
    return 0;
}

int envelope_open_chunk(struct envelope *envelope, uint64_t index, bool last, const void *sealed, size_t size,
                        unsigned char *target) {
    const unsigned char *bytes = sealed;
    unsigned char tag[ENVELOPE_TAG_BYTES], end[1];
    size_t plain = size - ENVELOPE_TAG_BYTES;
    int written = 0, rest = 0;

    if (size < ENVELOPE_TAG_BYTES || !is_possible(envelope, index, last, plain))
        return -1;
    memcpy(tag, bytes + plain, sizeof tag);
    if (begin(envelope, index, last, 0) == 0 &&
        (plain == 0 || EVP_CipherUpdate(envelope->cipher, target, &written, bytes, (int)plain) == 1) &&
        EVP_CIPHER_CTX_ctrl(envelope->cipher, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1 &&
        EVP_CipherFinal_ex(envelope->cipher, end, &rest) == 1)
        return 0;
    OPENSSL_cleanse(target, plain);
    return -1;
}
