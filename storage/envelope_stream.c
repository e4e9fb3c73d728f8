/* SPDX-License-Identifier: MIT
 * A file seen as sealed, and a sealed object on its way into a file: one chunk in memory each. */
#include "storage/envelope.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/memory.h"
#include "lib/text.h"

#define SEALED_CHUNK (ENVELOPE_MAX_CHUNK_BYTES + ENVELOPE_TAG_BYTES)
#define NO_CHUNK UINT64_MAX

struct envelope_source {
    struct envelope *envelope;
    int fd;
    uint64_t plain_bytes, chunks;
    uint64_t held; /* the chunk that `sealed` holds */
    unsigned char plain[ENVELOPE_CHUNK_BYTES], sealed[SEALED_CHUNK];
};

struct envelope_sink {
    unsigned char key[ENVELOPE_KEY_BYTES];
    struct envelope *envelope; /* NULL: the header is not complete */
    int fd;
    uint64_t offset, plain_bytes, index, written;
    bool broken, done;
    size_t held;
    unsigned char sealed[SEALED_CHUNK], plain[ENVELOPE_MAX_CHUNK_BYTES];
};

/* ---- source ---- */

struct envelope_source *envelope_source_new(const unsigned char key[ENVELOPE_KEY_BYTES], int fd,
                                            uint64_t bytes) {
    struct envelope *envelope;
    struct envelope_source *source;

    if (envelope_sealed_bytes(bytes, ENVELOPE_CHUNK_BYTES) == UINT64_MAX)
        return NULL;
    envelope = envelope_new(key);
    if (envelope == NULL)
        return NULL;
    source = memory_new(sizeof *source);
    source->envelope = envelope;
    source->fd = fd;
    source->plain_bytes = bytes;
    source->chunks = envelope_chunks(bytes, ENVELOPE_CHUNK_BYTES);
    source->held = NO_CHUNK;
    return source;
}

void envelope_source_free(struct envelope_source *source) {
    if (source == NULL)
        return;
    envelope_free(source->envelope);
    OPENSSL_cleanse(source->plain, sizeof source->plain);
    free(source);
}

uint64_t envelope_source_bytes(const struct envelope_source *source) {
    return envelope_sealed_bytes(source->plain_bytes, ENVELOPE_CHUNK_BYTES);
}

static size_t plain_size_of(const struct envelope_source *source, uint64_t index) {
    return index + 1 < source->chunks ? ENVELOPE_CHUNK_BYTES
                                      : (size_t)(source->plain_bytes - index * ENVELOPE_CHUNK_BYTES);
}

static int read_whole(int fd, unsigned char *target, size_t size, uint64_t offset) {
    size_t done = 0;

    while (done < size) {
        ssize_t count = pread(fd, target + done, size - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            errno = count == 0 ? EIO : errno;
            return -1;
        }
        done += (size_t)count;
    }
    return 0;
}

static int hold_chunk(struct envelope_source *source, uint64_t index) {
    size_t size = plain_size_of(source, index);

    if (source->held == index)
        return 0;
    source->held = NO_CHUNK;
    if (read_whole(source->fd, source->plain, size, index * ENVELOPE_CHUNK_BYTES) != 0)
        return -1;
    if (envelope_seal_chunk(source->envelope, index, index + 1 == source->chunks, source->plain, size,
                            source->sealed) != 0) {
        errno = EIO;
        return -1;
    }
    source->held = index;
    return 0;
}

int64_t envelope_source_read(struct envelope_source *source, uint64_t offset, void *target, size_t max) {
    const uint64_t whole = ENVELOPE_CHUNK_BYTES + ENVELOPE_TAG_BYTES;
    uint64_t index, at;
    size_t size;

    if (offset < ENVELOPE_HEADER_BYTES) {
        size = ENVELOPE_HEADER_BYTES - (size_t)offset;
        size = size < max ? size : max;
        memcpy(target, envelope_header(source->envelope) + offset, size);
        return (int64_t)size;
    }
    index = (offset - ENVELOPE_HEADER_BYTES) / whole;
    at = (offset - ENVELOPE_HEADER_BYTES) % whole;
    if (index >= source->chunks)
        return 0;
    size = plain_size_of(source, index) + ENVELOPE_TAG_BYTES;
    if (at >= size)
        return 0;
    if (hold_chunk(source, index) != 0)
        return -1;
    size -= (size_t)at;
    size = size < max ? size : max;
    memcpy(target, source->sealed + at, size);
    return (int64_t)size;
}

int envelope_source_hash(struct envelope_source *source, char target[65]) {
    unsigned char part[4096], digest[EVP_MAX_MD_SIZE];
    unsigned digest_size = 0;
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    int64_t count = hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 ? 1 : -1;

    for (uint64_t offset = 0; count > 0; offset += (uint64_t)count) {
        count = envelope_source_read(source, offset, part, sizeof part);
        if (count > 0 && EVP_DigestUpdate(hash, part, (size_t)count) != 1)
            count = -1;
        if (count <= 0)
            break;
    }
    if (count == 0 && EVP_DigestFinal_ex(hash, digest, &digest_size) == 1)
        text_hex_encode(target, digest, digest_size);
    else
        count = -1;
    EVP_MD_CTX_free(hash);
    return count == 0 ? 0 : -1;
}

/* ---- sink ---- */

struct envelope_sink *envelope_sink_new(const unsigned char key[ENVELOPE_KEY_BYTES], int fd, uint64_t offset,
                                        uint64_t bytes) {
    struct envelope_sink *sink = memory_new(sizeof *sink);

    memcpy(sink->key, key, sizeof sink->key);
    sink->fd = fd;
    sink->offset = offset;
    sink->plain_bytes = bytes;
    return sink;
}

void envelope_sink_free(struct envelope_sink *sink) {
    if (sink == NULL)
        return;
    envelope_free(sink->envelope);
    OPENSSL_cleanse(sink, sizeof *sink);
    free(sink);
}

bool envelope_sink_is_broken(const struct envelope_sink *sink) {
    return sink->broken;
}

static int fail(struct envelope_sink *sink) {
    sink->broken = true;
    return -1;
}

static int write_whole(struct envelope_sink *sink, size_t size) {
    size_t done = 0;

    while (done < size) {
        ssize_t count = pwrite(sink->fd, sink->plain + done, size - done,
                               (off_t)(sink->offset + sink->written + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return -1;
        done += (size_t)count;
    }
    sink->written += size;
    return 0;
}

/* What has to be here before the next step: the header, or a chunk as long as the size says it is. */
static size_t wanted_bytes(const struct envelope_sink *sink) {
    uint64_t left = sink->plain_bytes - sink->written;

    if (sink->envelope == NULL)
        return ENVELOPE_HEADER_BYTES;
    if (left > envelope_chunk_bytes(sink->envelope))
        left = envelope_chunk_bytes(sink->envelope);
    return (size_t)left + ENVELOPE_TAG_BYTES;
}

static int take_header(struct envelope_sink *sink) {
    sink->envelope = envelope_open(sink->key, sink->sealed);
    return sink->envelope == NULL ? fail(sink) : 0;
}

static int take_chunk(struct envelope_sink *sink) {
    size_t plain = sink->held - ENVELOPE_TAG_BYTES;
    bool last = sink->written + plain == sink->plain_bytes;

    if (envelope_open_chunk(sink->envelope, sink->index, last, sink->sealed, sink->held, sink->plain) != 0)
        return fail(sink);
    sink->index++;
    sink->done = last;
    return write_whole(sink, plain);
}

int envelope_sink_write(struct envelope_sink *sink, const void *bytes, size_t size) {
    const unsigned char *at = bytes;

    while (size > 0) {
        size_t wanted, part;
        if (sink->broken || sink->done)
            return fail(sink);
        wanted = wanted_bytes(sink);
        part = wanted - sink->held < size ? wanted - sink->held : size;
        memcpy(sink->sealed + sink->held, at, part);
        sink->held += part;
        at += part;
        size -= part;
        if (sink->held < wanted)
            continue;
        if ((sink->envelope == NULL ? take_header(sink) : take_chunk(sink)) != 0)
            return -1;
        sink->held = 0;
    }
    return 0;
}

int envelope_sink_end(struct envelope_sink *sink) {
    return sink->done && !sink->broken ? 0 : fail(sink);
}
