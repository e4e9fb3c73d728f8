/* SPDX-License-Identifier: MIT
 * Receiving what was encrypted to a public key: HPKE (RFC 9180) base mode, one message, with DHKEM(X25519,
 * HKDF-SHA256), HKDF-SHA256 and AES-256-GCM; and HKDF (RFC 5869) itself. Pure. */
#ifndef STORAGE_HPKE_H
#define STORAGE_HPKE_H

#include <stddef.h>

#define HPKE_KEY_BYTES 32 /* private and public keys, and the sender's encapsulated one */
#define HPKE_TAG_BYTES 16

struct hpke_bytes {
    const void *bytes;
    size_t size;
};

/* At most 32 bytes of `label` derived from a key. -1 when the library fails. */
int hkdf_derive(unsigned char *target, size_t size, struct hpke_bytes key, const char *label);
/* -1 when `private` is no key. */
int hpke_public(unsigned char public[HPKE_KEY_BYTES], const unsigned char private[HPKE_KEY_BYTES]);
/* `sealed`: the encapsulated key, the ciphertext, its tag. `target` holds what is left. -1: not for this key.
 */
int hpke_open(const unsigned char private[HPKE_KEY_BYTES], const char *info, struct hpke_bytes sealed,
              unsigned char *target);

#endif
