/* SPDX-License-Identifier: MIT
 * Master keys, and what they are for: a data key of one object is kept wrapped by a master key beside the
 * object's row ("seal": key id, ':', AES-256-GCM of it in hex, bound to id and object), so that another
 * master key needs new seals and no new objects. The first key wraps, all unwrap. From each also follow a
 * pair of X25519 keys, to which clients encrypt the keys of what they upload, and the key of links. For the
 * gateway and the scheduler alone. */
#ifndef STORAGE_KEYRING_H
#define STORAGE_KEYRING_H

#include "config/settings.h"
#include "storage/envelope.h"
#include <stdbool.h>
#include <stddef.h>

#define KEYRING_ID_MAX 32
#define KEYRING_SEAL_MAX 160 /* holds every seal, with its NUL */
#define KEYRING_PUBLIC_BYTES 32
#define KEYRING_LINK_TEXT 65
#define KEYRING_INFO "filemill upload key v1" /* HPKE's info of what clients send */

struct keyring;

enum keyring_result {
    KEYRING_OK,
    KEYRING_UNKNOWN, /* wrapped by a master key that is not here */
    KEYRING_BROKEN,  /* no seal, or not of this object */
};

/* Reads encryption-keys-file and encryption-key; an empty one where neither is set. NULL with a line in
 * `error` that tells no key. */
struct keyring *keyring_new(const struct settings *settings, char *error, size_t error_size);
void keyring_free(struct keyring *keyring);
bool keyring_is_empty(const struct keyring *keyring);
const char *keyring_id(const struct keyring *keyring); /* of the key that wraps; "" when empty */

/* `seal` holds KEYRING_SEAL_MAX. -1 when empty. */
int keyring_wrap(const struct keyring *keyring, const char *object,
                 const unsigned char key[ENVELOPE_KEY_BYTES], char *seal);
enum keyring_result keyring_unwrap(const struct keyring *keyring, const char *object, const char *seal,
                                   unsigned char key[ENVELOPE_KEY_BYTES]);
/* A new data key and its seal. */
int keyring_make(const struct keyring *keyring, const char *object, unsigned char key[ENVELOPE_KEY_BYTES],
                 char *seal);

/* The public key that clients encrypt to; -1 when empty. */
int keyring_public(const struct keyring *keyring, unsigned char target[KEYRING_PUBLIC_BYTES]);
/* The data key in what a client sent (base64url of HPKE's enc and ct); -1 when it is for none of the keys. */
int keyring_receive(const struct keyring *keyring, const char *wrapped,
                    unsigned char key[ENVELOPE_KEY_BYTES]);

/* Hex HMAC of a link's text; -1 when empty. */
int keyring_link(const struct keyring *keyring, const char *text, char target[KEYRING_LINK_TEXT]);
/* By any of the keys. */
bool keyring_link_is_good(const struct keyring *keyring, const char *text, const char *signature);

#endif
