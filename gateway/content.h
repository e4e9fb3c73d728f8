/* SPDX-License-Identifier: MIT
 * An object's bytes through this gateway: ranges, conditions, decrypted on the way where it is encrypted. A
 * window is fetched when the client has taken the one before, so a slow client holds one window and nothing
 * else. Nothing is sent of a chunk that is not authentic: before the first byte that is a problem, after it
 * the connection ends. */
#ifndef GATEWAY_CONTENT_H
#define GATEWAY_CONTENT_H

#include "gateway/call.h"
#include "gateway/files.h"
#include "storage/envelope.h"
#include "storage/keyring.h"

struct content {
    /* set by whoever asks for it */
    char key[KEY_MAX + 1];
    char seal[KEYRING_SEAL_MAX]; /* "" when the object is plain */
    char mime[256];
    char filename[FILE_NAME_MAX];
    char etag[80];        /* without quotes; "" unknown */
    char store_etag[260]; /* what the store must say; "" when that is not known */
    uint64_t size_bytes;  /* plain */
    /* content.c's own */
    struct call *call;
    bool counted;
    unsigned char data_key[ENVELOPE_KEY_BYTES];
    struct envelope *envelope;
    uint64_t offset, end, chunk; /* plain bytes still to send; the first chunk of the window under way */
    uint64_t fetched_bytes;      /* that the window must have */
    bool part;
    struct http_stream *stream;
    struct buffer text;              /* content_read's: what came */
    void (*done)(struct call *call); /* NULL: content_answer */
};

/* Answers the call; `content` lives as long as the call's state, until content_clear. */
void content_answer(struct call *call, struct content *content);
/* Takes a struct content: it clears a state. */
void content_clear(void *state);
/* Its first bytes into memory, at most so many; then `done`. A failure is answered here. */
void content_read(struct call *call, struct content *content, size_t most, void (*done)(struct call *call));
/* Of a row with the columns key, mime, seal, sha256 and size_bytes. */
void content_take_row(struct content *content, const struct database_result *result);

/* A link to the same, good for so long without a token, as far as its maker may then still see it. -1 when it
 * does not fit, or there is no key to sign with. */
int content_link(const struct call *call, enum content_kind of, const char *id, const char *kind,
                 int64_t expires_s, char url[STORAGE_URL_MAX]);

/* Where what a job made is, or what it was made of. */
struct content_place {
    enum content_kind of;
    const char *id, *kind;      /* its names here */
    const char *key, *filename; /* in the store, and as it is saved: a name without quotes */
    bool sealed;                /* it is read through here, decrypted */
    int64_t expires_s;
};

/* A link to what is sealed is content_link's, to all else the store's. -1 when there is none. */
int content_place_link(const struct call *call, const struct content_place *place, char url[STORAGE_URL_MAX]);

#endif
