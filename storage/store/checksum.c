/* SPDX-License-Identifier: MIT
 * CRC-32 (ISO-HDLC), CRC-32C (Castagnoli), CRC-64/NVME by one reflected byte-wise table each; digests by
 * OpenSSL. All are sent big-endian in base64. */
#include "storage/store/checksum.h"

#include "lib/log.h"
#include <string.h>
#include <strings.h>

struct checksum_kind {
    const char *header;
    const EVP_MD *(*digest)(void); /* NULL: a CRC */
    uint64_t polynomial;           /* reflected */
    size_t size;
    uint64_t (*table)[256];
};

static uint64_t crc32_table[256];
static uint64_t crc32c_table[256];
static uint64_t crc64_table[256];

static const struct checksum_kind kinds[] = {
    {.header = "x-amz-checksum-crc32", .polynomial = 0xEDB88320u, .size = 4, .table = &crc32_table},
    {.header = "x-amz-checksum-crc32c", .polynomial = 0x82F63B78u, .size = 4, .table = &crc32c_table},
    {.header = "x-amz-checksum-crc64nvme",
     .polynomial = 0x9A6C9329AC4BC9B5u,
     .size = 8,
     .table = &crc64_table},
    {.header = "x-amz-checksum-sha1", .digest = EVP_sha1, .size = 20},
    {.header = "x-amz-checksum-sha256", .digest = EVP_sha256, .size = 32},
    {.header = "content-md5", .digest = EVP_md5, .size = 16},
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

const struct checksum_kind *const checksum_sha256 = &kinds[4];
const struct checksum_kind *const checksum_md5 = &kinds[5];

const struct checksum_kind *checksum_kind_of_header(const char *header) {
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (strcasecmp(kinds[i].header, header) == 0)
            return &kinds[i];
    }
    return NULL;
}

const char *checksum_kind_header(const struct checksum_kind *kind) {
    return kind->header;
}

static void fill_table(const struct checksum_kind *kind) {
    uint64_t *table = *kind->table;

    if (table[1] != 0)
        return;
    for (uint64_t byte = 0; byte < 256; byte++) {
        uint64_t value = byte;
        for (unsigned bit = 0; bit < 8; bit++)
            value = (value >> 1) ^ ((value & 1) != 0 ? kind->polynomial : 0);
        table[byte] = value;
    }
}

void checksum_init(struct checksum *checksum, const struct checksum_kind *kind) {
    *checksum =
        (struct checksum){.kind = kind, .crc = UINT64_MAX >> (64 - 8 * (kind->size < 8 ? kind->size : 8))};
    if (kind->digest == NULL) {
        fill_table(kind);
        return;
    }
    checksum->digest = EVP_MD_CTX_new();
    if (checksum->digest == NULL || EVP_DigestInit_ex(checksum->digest, kind->digest(), NULL) != 1)
        fatal("event=no_digest header=%s", kind->header);
}

void checksum_update(struct checksum *checksum, const void *bytes, size_t size) {
    const unsigned char *source = bytes;

    if (checksum->kind->digest != NULL) {
        (void)EVP_DigestUpdate(checksum->digest, bytes, size);
        return;
    }
    const uint64_t *table = *checksum->kind->table;
    uint64_t crc = checksum->crc;
    for (size_t i = 0; i < size; i++)
        crc = table[(crc ^ source[i]) & 0xff] ^ (crc >> 8);
    checksum->crc = crc;
}

size_t checksum_finish(struct checksum *checksum, unsigned char result[CHECKSUM_MAX]) {
    size_t size = checksum->kind->size;

    if (checksum->digest != NULL) {
        (void)EVP_DigestFinal_ex(checksum->digest, result, NULL);
    } else {
        for (size_t i = 0; i < size; i++)
            result[i] = (unsigned char)(~checksum->crc >> (8 * (size - 1 - i)));
    }
    checksum_clear(checksum);
    return size;
}

void checksum_clear(struct checksum *checksum) {
    EVP_MD_CTX_free(checksum->digest);
    checksum->digest = NULL;
    checksum->kind = NULL;
}

void checksum_base64(char target[CHECKSUM_BASE64_SIZE], const unsigned char *result, size_t size) {
    (void)EVP_EncodeBlock((unsigned char *)target, result, (int)size);
}

uint32_t checksum_crc32(const void *bytes, size_t size) {
    struct checksum checksum;

    checksum_init(&checksum, &kinds[0]);
    checksum_update(&checksum, bytes, size);
    return (uint32_t)~checksum.crc;
}
