/* SPDX-License-Identifier: MIT
 * What is sealed, and the keys to it: whatever a header, a chunk, a client's key, a seal or a file of master
 * keys holds, nothing is opened that was not sealed by us; what was is opened to the same bytes, and no
 * longer when one bit of it changes. The first byte chooses. */
#include "lib/text.h"
#include "storage/envelope.h"
#include "storage/hpke.h"
#include "storage/keyring.h"
#include "tests/fuzz/fuzz.h"
#include <sys/mman.h>
#include <unistd.h>

static const unsigned char key[ENVELOPE_KEY_BYTES] = "thirty-two bytes, that are a key";

/* A header and a chunk of anybody's. */
static void open_foreign(const uint8_t *bytes, size_t size) {
    struct envelope *envelope;
    unsigned char *plain, *header;

    if (size < ENVELOPE_HEADER_BYTES)
        return;
    header = (unsigned char *)exact_copy(bytes, ENVELOPE_HEADER_BYTES);
    envelope = envelope_open(key, header);
    require(envelope == NULL); /* its commitment is under the key */
    free(header);
    plain = malloc(size);
    require(plain != NULL && hpke_open(key, KEYRING_INFO, (struct hpke_bytes){bytes, size}, plain) != 0);
    free(plain);
}

/* What is written comes back, in whatever pieces; with a bit changed, or its end missing, it does not. */
static void seal_and_open(const uint8_t *bytes, size_t size) {
    uint32_t spoil = size >= 3 ? bytes[0] | (uint32_t)bytes[1] << 8 : 0;
    size_t step = size >= 3 ? bytes[2] + 1u : 1;
    int plain = memfd_create("plain", MFD_CLOEXEC), opened = memfd_create("opened", MFD_CLOEXEC);
    struct envelope_source *source;
    struct envelope_sink *sink;
    uint64_t total, want;
    char *sealed, *back = exact_copy("", 0);
    int status = 0;

    require(plain >= 0 && opened >= 0 && write(plain, bytes, size) == (ssize_t)size);
    source = envelope_source_new(key, plain, size);
    require(source != NULL);
    total = envelope_source_bytes(source);
    require(total == envelope_sealed_bytes(size, ENVELOPE_CHUNK_BYTES) &&
            envelope_plain_bytes(total, ENVELOPE_CHUNK_BYTES, &want) == 0 && want == size);
    sealed = malloc(total);
    require(sealed != NULL);
    for (uint64_t at = 0; at < total;) {
        int64_t got = envelope_source_read(source, at, sealed + at, total - at < step ? total - at : step);
        require(got > 0);
        at += (uint64_t)got;
    }
    if (spoil % 4 == 1)
        sealed[spoil % total] ^= (char)(1 << spoil % 8);
    sink = envelope_sink_new(key, opened, 0, size);
    for (uint64_t at = 0; at < total && status == 0; at += step)
        status = envelope_sink_write(sink, sealed + at, total - at < step ? total - at : step);
    if (status == 0)
        status = envelope_sink_end(sink);
    require((status == 0) == (spoil % 4 != 1));
    free(back);
    back = malloc(size + 1);
    require(back != NULL && (status != 0 || (pread(opened, back, size + 1, 0) == (ssize_t)size &&
                                             memcmp(back, bytes, size) == 0)));
    envelope_sink_free(sink);
    envelope_source_free(source);
    free(sealed);
    free(back);
    close(plain);
    close(opened);
}

static void read_keys(const uint8_t *bytes, size_t size) {
    char *text = exact_text(bytes, size), error[256] = "";
    struct settings settings = {.encryption_key = text, .encrypt_outputs = "off"};
    struct keyring *keyring = keyring_new(&settings, error, sizeof error);
    unsigned char data[ENVELOPE_KEY_BYTES], again[ENVELOPE_KEY_BYTES];
    char seal[KEYRING_SEAL_MAX];

    require((keyring == NULL) == (error[0] != '\0'));
    if (keyring != NULL && !keyring_is_empty(keyring)) {
        require(strlen(keyring_id(keyring)) <= KEYRING_ID_MAX &&
                keyring_make(keyring, "object", data, seal) == 0);
        require(keyring_unwrap(keyring, "object", seal, again) == KEYRING_OK &&
                memcmp(data, again, sizeof data) == 0);
        require(keyring_unwrap(keyring, "other", seal, again) == KEYRING_BROKEN);
    }
    keyring_free(keyring);
    free(text);
}

static void read_seals(const uint8_t *bytes, size_t size) {
    static struct settings settings = {
        .encryption_key = "a:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        .encrypt_outputs = "off"};
    static struct keyring *keyring;
    unsigned char data[ENVELOPE_KEY_BYTES];
    char *text = exact_text(bytes, size), error[256];

    if (keyring == NULL)
        keyring = keyring_new(&settings, error, sizeof error);
    require(keyring_unwrap(keyring, "object", text, data) != KEYRING_OK &&
            keyring_receive(keyring, text, data) != 0);
    require(!keyring_link_is_good(keyring, "text", text));
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static void (*const targets[])(const uint8_t *, size_t) = {open_foreign, seal_and_open, read_keys,
                                                               read_seals};

    if (size > 0)
        targets[bytes[0] % 4](bytes + 1, size - 1);
    return 0;
}
