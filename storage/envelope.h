/* SPDX-License-Identifier: MIT
 * An object encrypted so that it streams and can be read from anywhere: AES-256-GCM in chunks by the STREAM
 * construction (Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and its Nonce-Reuse
 * Misuse-Resistance, 2015), as age and Tink use it. A key belongs to one object.
 *   header  "FMSEAL", version 1, log2 of the chunk's size, 7 bytes nonce prefix, algorithm 1, 16 bytes
 * commitment chunk i of n   AES-256-GCM(key, nonce = prefix, i in 4 bytes, 1 if i = n - 1, aad = header),
 * then its tag All chunks but the last are full, and only an empty object's last one is empty: so the sizes
 * of plain and sealed object follow from each other. The commitment (HMAC-SHA256 under the key) tells a wrong
 * key from a damaged object. Pure: it knows no store and no master key. docs/encryption.md has the format for
 * other programs. */
#ifndef STORAGE_ENVELOPE_H
#define STORAGE_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENVELOPE_KEY_BYTES 32
#define ENVELOPE_KEY_TEXT (2 * ENVELOPE_KEY_BYTES + 1) /* in hex, with its NUL */
#define ENVELOPE_HEADER_BYTES 32
#define ENVELOPE_TAG_BYTES 16
#define ENVELOPE_CHUNK_BYTES 65536u     /* as written here */
#define ENVELOPE_MAX_CHUNK_BYTES 65536u /* as read; at least ENVELOPE_MIN_CHUNK_BYTES */
#define ENVELOPE_MIN_CHUNK_BYTES 4096u

struct envelope;

/* To seal a new object. NULL only when the library fails. */
struct envelope *envelope_new(const unsigned char key[ENVELOPE_KEY_BYTES]);
/* To open one: NULL when the header is none of ours, or of another key. */
struct envelope *envelope_open(const unsigned char key[ENVELOPE_KEY_BYTES],
                               const unsigned char header[ENVELOPE_HEADER_BYTES]);
void envelope_free(struct envelope *envelope); /* wipes the key */
const unsigned char *envelope_header(const struct envelope *envelope);
uint32_t envelope_chunk_bytes(const struct envelope *envelope);

/* How large a plain object is when sealed. UINT64_MAX: too large. */
uint64_t envelope_sealed_bytes(uint64_t plain_bytes, uint32_t chunk_bytes);
/* The other way; -1 when no sealed object has this size. */
int envelope_plain_bytes(uint64_t sealed_bytes, uint32_t chunk_bytes, uint64_t *plain_bytes);
/* How many chunks a plain object has: at least one. */
uint64_t envelope_chunks(uint64_t plain_bytes, uint32_t chunk_bytes);

/* One chunk. `target` holds size + ENVELOPE_TAG_BYTES; -1 on impossible sizes. */
int envelope_seal_chunk(struct envelope *envelope, uint64_t index, bool last, const void *plain, size_t size,
                        unsigned char *target);
/* `size` with the tag; `target` holds size - ENVELOPE_TAG_BYTES, and nothing but zeros after -1: changed,
 * cut, moved, or of another object. */
int envelope_open_chunk(struct envelope *envelope, uint64_t index, bool last, const void *sealed, size_t size,
                        unsigned char *target);

/* ---- a file seen as sealed, from any offset: for uploads ---- */

struct envelope_source;

/* Of the first `bytes` bytes of `fd` (borrowed). */
struct envelope_source *envelope_source_new(const unsigned char key[ENVELOPE_KEY_BYTES], int fd,
                                            uint64_t bytes);
void envelope_source_free(struct envelope_source *source);
uint64_t envelope_source_bytes(const struct envelope_source *source); /* sealed */
/* How many bytes were written to `target`, 0 at the end, -1 with errno when the file can't be read. Any
 * offset gives the same bytes each time. */
int64_t envelope_source_read(struct envelope_source *source, uint64_t offset, void *target, size_t max);
/* Hex SHA-256 of all that is read; -1 on failure. */
int envelope_source_hash(struct envelope_source *source, char target[65]);

/* ---- a sealed object as it comes, for downloads ---- */

struct envelope_sink;

/* Opened chunks are written to `fd` (borrowed) from `offset` on, `bytes` in all. */
struct envelope_sink *envelope_sink_new(const unsigned char key[ENVELOPE_KEY_BYTES], int fd, uint64_t offset,
                                        uint64_t bytes);
void envelope_sink_free(struct envelope_sink *sink);
/* -1: broken (envelope_sink_is_broken), or the file can't be written. Nothing of a broken chunk is written.
 */
int envelope_sink_write(struct envelope_sink *sink, const void *bytes, size_t size);
/* -1: the end is missing. */
int envelope_sink_end(struct envelope_sink *sink);
bool envelope_sink_is_broken(const struct envelope_sink *sink);

#endif
