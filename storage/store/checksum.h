/* SPDX-License-Identifier: MIT
 * The checksums that S3 clients send: MD5 (ETag, Content-MD5), SHA-256, and the "additional" ones of the
 * x-amz-checksum-* headers, computed while bytes pass. */
#ifndef STORAGE_STORE_CHECKSUM_H
#define STORAGE_STORE_CHECKSUM_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#define CHECKSUM_MAX 32
#define CHECKSUM_BASE64_SIZE 48

struct checksum_kind;

struct checksum {
    const struct checksum_kind *kind;
    EVP_MD_CTX *digest;
    uint64_t crc;
};

/* Row of a header such as "x-amz-checksum-crc32c", any case; NULL for an unknown one. */
const struct checksum_kind *checksum_kind_of_header(const char *header);
const char *checksum_kind_header(const struct checksum_kind *kind);
extern const struct checksum_kind *const checksum_md5;
extern const struct checksum_kind *const checksum_sha256;

void checksum_init(struct checksum *checksum, const struct checksum_kind *kind);
void checksum_update(struct checksum *checksum, const void *bytes, size_t size);
/* Size of the result in bytes; the checksum is spent and freed. */
size_t checksum_finish(struct checksum *checksum, unsigned char result[CHECKSUM_MAX]);
void checksum_clear(struct checksum *checksum); /* frees one that was not finished; fine on a zeroed one */

void checksum_base64(char target[CHECKSUM_BASE64_SIZE], const unsigned char *result, size_t size);
uint32_t checksum_crc32(const void *bytes, size_t size);

#endif
