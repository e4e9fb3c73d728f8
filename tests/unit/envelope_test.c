/* SPDX-License-Identifier: MIT
 * Sealed objects: what was sealed opens, at every size around a chunk's edge and from every offset; whatever
 * is changed, cut, moved or mixed does not. Master keys: seals, rotation, keys that clients send. */
#include "storage/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/text.h"
#include "storage/hpke.h"
#include "storage/keyring.h"

#define CHUNK ((size_t)ENVELOPE_CHUNK_BYTES)
#define WHOLE (CHUNK + ENVELOPE_TAG_BYTES)

static const unsigned char key[ENVELOPE_KEY_BYTES] = "0123456789abcdef0123456789abcde";

struct object {
    unsigned char *plain, *sealed;
    size_t plain_size, sealed_size;
};

static int file_of(const void *bytes, size_t size) {
    int fd = memfd_create("envelope", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    return fd;
}

static struct object object_new(size_t size) {
    struct object object = {.plain = malloc(size + 1), .plain_size = size};
    struct envelope_source *source;
    size_t at = 0;
    int64_t count;
    int fd;

    for (size_t i = 0; i < size; i++)
        object.plain[i] = (unsigned char)(i * 7 + i / 251);
    fd = file_of(object.plain, size);
    source = envelope_source_new(key, fd, size);
    assert_non_null(source);
    object.sealed_size = (size_t)envelope_source_bytes(source);
    object.sealed = malloc(object.sealed_size + 64);
    while ((count = envelope_source_read(source, at, object.sealed + at, 10007)) > 0)
        at += (size_t)count;
    assert_int_equal(count, 0);
    assert_int_equal(at, object.sealed_size);
    envelope_source_free(source);
    close(fd);
    return object;
}

static void object_free(struct object *object) {
    free(object->plain);
    free(object->sealed);
}

/* Opens `size` bytes as an object of `plain_size`, in parts of `step`; how many bytes came out is told. */
static int open_all(const unsigned char *sealed, size_t size, size_t plain_size, size_t step, int fd) {
    struct envelope_sink *sink = envelope_sink_new(key, fd, 0, plain_size);
    int status = 0;

    for (size_t at = 0; status == 0 && at < size; at += step)
        status = envelope_sink_write(sink, sealed + at, size - at < step ? size - at : step);
    if (status == 0)
        status = envelope_sink_end(sink);
    assert_true(status == 0 || envelope_sink_is_broken(sink));
    envelope_sink_free(sink);
    return status;
}

/* Nothing that comes out may differ from what went in, whatever came. */
static void refuses(const struct object *object, const unsigned char *sealed, size_t size,
                    size_t plain_size) {
    int fd = memfd_create("opened", MFD_CLOEXEC);
    off_t written;
    unsigned char *out;

    assert_int_equal(open_all(sealed, size, plain_size, 30011, fd), -1);
    written = lseek(fd, 0, SEEK_END);
    assert_true(written >= 0 && (size_t)written <= object->plain_size && written % (off_t)CHUNK == 0);
    out = malloc((size_t)written + 1);
    assert_int_equal(pread(fd, out, (size_t)written, 0), written);
    assert_memory_equal(out, object->plain, (size_t)written);
    free(out);
    close(fd);
}

static const size_t sizes[] = {0,
                               1,
                               15,
                               16,
                               4095,
                               CHUNK - 1,
                               CHUNK,
                               CHUNK + 1,
                               2 * CHUNK - 1,
                               2 * CHUNK,
                               2 * CHUNK + 1,
                               3 * CHUNK + 17,
                               5 * CHUNK};
#define SIZES (sizeof sizes / sizeof sizes[0])

static void every_size_opens_again(void **state) {
    static const size_t steps[] = {1009, 65536, 65552, 1u << 20};

    for (size_t i = 0; i < SIZES; i++) {
        struct object object = object_new(sizes[i]);
        uint64_t plain;
        assert_int_equal(envelope_sealed_bytes(sizes[i], ENVELOPE_CHUNK_BYTES), object.sealed_size);
        assert_int_equal(envelope_plain_bytes(object.sealed_size, ENVELOPE_CHUNK_BYTES, &plain), 0);
        assert_int_equal(plain, sizes[i]);
        for (size_t step = 0; step < sizeof steps / sizeof steps[0]; step++) {
            int fd = memfd_create("opened", MFD_CLOEXEC);
            unsigned char *out = malloc(sizes[i] + 1);
            assert_int_equal(open_all(object.sealed, object.sealed_size, sizes[i], steps[step], fd), 0);
            assert_int_equal(lseek(fd, 0, SEEK_END), (off_t)sizes[i]);
            assert_int_equal(pread(fd, out, sizes[i], 0), (ssize_t)sizes[i]);
            assert_memory_equal(out, object.plain, sizes[i]);
            free(out);
            close(fd);
        }
        object_free(&object);
    }
}

static void sizes_follow_from_each_other(void **state) {
    const uint32_t chunk = ENVELOPE_MIN_CHUNK_BYTES;
    uint64_t plain = 0, possible = 0;

    for (uint64_t sealed = 0; sealed < 5 * (chunk + ENVELOPE_TAG_BYTES); sealed++) {
        if (envelope_plain_bytes(sealed, chunk, &plain) != 0)
            continue;
        assert_int_equal(plain, possible);
        assert_int_equal(envelope_sealed_bytes(plain, chunk), sealed);
        possible++;
    }
    assert_true(possible > 4 * chunk);
    assert_int_equal(envelope_sealed_bytes(UINT64_MAX / 2, chunk), UINT64_MAX);
}

static void a_source_reads_the_same_from_anywhere(void **state) {
    struct object object = object_new(3 * CHUNK + 5);
    int fd = file_of(object.plain, object.plain_size);
    struct envelope_source *source = envelope_source_new(key, fd, object.plain_size);
    unsigned char *first = malloc(object.sealed_size), part[997];
    char hash[65], again[65];
    size_t at = 0;
    int64_t count;

    assert_int_equal(envelope_source_hash(source, hash), 0);
    while ((count = envelope_source_read(source, at, first + at, object.sealed_size - at)) > 0)
        at += (size_t)count;
    for (size_t offset = 0; offset < object.sealed_size; offset += 40009) {
        count = envelope_source_read(source, object.sealed_size - 1 - offset, part, sizeof part);
        assert_true(count > 0);
        assert_memory_equal(part, first + object.sealed_size - 1 - offset, (size_t)count);
    }
    assert_int_equal(envelope_source_hash(source, again), 0);
    assert_string_equal(hash, again);
    assert_memory_not_equal(first, object.sealed, object.sealed_size); /* another prefix for the same bytes */
    free(first);
    envelope_source_free(source);
    close(fd);
    object_free(&object);
}

static void a_file_shorter_than_said_is_no_object(void **state) {
    int fd = file_of("short", 5);
    struct envelope_source *source = envelope_source_new(key, fd, 70000);
    unsigned char part[128];

    assert_int_equal(envelope_source_read(source, ENVELOPE_HEADER_BYTES, part, sizeof part), -1);
    envelope_source_free(source);
    close(fd);
}

static void every_flipped_bit_is_seen(void **state) {
    struct object object = object_new(2 * CHUNK + 100);

    /* each byte of header, tags and edges; here and there between */
    for (size_t i = 0, step; i < object.sealed_size; i += step) {
        size_t place = i < ENVELOPE_HEADER_BYTES ? 0 : (i - ENVELOPE_HEADER_BYTES) % WHOLE;
        step = place < 8 || place + 1009 > CHUNK - 8 ? 1 + (place > 8 && place < CHUNK - 8) * 96 : 1009;
        object.sealed[i] ^= (unsigned char)(1u << (i % 8));
        refuses(&object, object.sealed, object.sealed_size, object.plain_size);
        object.sealed[i] ^= (unsigned char)(1u << (i % 8));
    }
    object_free(&object);
}

static void every_cut_is_seen(void **state) {
    struct object object = object_new(2 * CHUNK + 100);
    static const size_t cuts[] = {1, 16, 99, 100, 116, 117, 116 + WHOLE, 116 + WHOLE + 1, 116 + 2 * WHOLE};
    uint64_t plain;

    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        size_t left = object.sealed_size - cuts[i];
        refuses(&object, object.sealed, left, object.plain_size);
        /* also when the reader believes the size that is left */
        if (envelope_plain_bytes(left, ENVELOPE_CHUNK_BYTES, &plain) == 0)
            refuses(&object, object.sealed, left, (size_t)plain);
    }
    object_free(&object);
}

static void longer_objects_are_refused(void **state) {
    struct object object = object_new(2 * CHUNK);
    uint64_t plain;

    memset(object.sealed + object.sealed_size, 0, 64);
    refuses(&object, object.sealed, object.sealed_size + 1, object.plain_size);
    refuses(&object, object.sealed, object.sealed_size + 33, object.plain_size);
    assert_int_equal(envelope_plain_bytes(object.sealed_size + 33, ENVELOPE_CHUNK_BYTES, &plain), 0);
    refuses(&object, object.sealed, object.sealed_size + 33, (size_t)plain);
    object_free(&object);
}

static void chunks_keep_their_places(void **state) {
    struct object object = object_new(4 * CHUNK);
    unsigned char *first = object.sealed + ENVELOPE_HEADER_BYTES, *swap = malloc(WHOLE);

    for (size_t a = 0; a < 4; a++)
        for (size_t b = a + 1; b < 4; b++)
            for (int turn = 0; turn < 2; turn++) { /* there, and back */
                memcpy(swap, first + a * WHOLE, WHOLE);
                memcpy(first + a * WHOLE, first + b * WHOLE, WHOLE);
                memcpy(first + b * WHOLE, swap, WHOLE);
                if (turn == 0)
                    refuses(&object, object.sealed, object.sealed_size, object.plain_size);
            }
    memmove(first + WHOLE, first + 2 * WHOLE, 2 * WHOLE); /* one is left out */
    refuses(&object, object.sealed, object.sealed_size - WHOLE, object.plain_size - CHUNK);
    free(swap);
    object_free(&object);
}

static void chunks_stay_in_their_object(void **state) {
    struct object one = object_new(2 * CHUNK), other = object_new(2 * CHUNK); /* even under the same key */

    memcpy(one.sealed + ENVELOPE_HEADER_BYTES, other.sealed + ENVELOPE_HEADER_BYTES, WHOLE);
    refuses(&one, one.sealed, one.sealed_size, one.plain_size);
    memcpy(other.sealed, one.sealed, ENVELOPE_HEADER_BYTES);
    refuses(&other, other.sealed, other.sealed_size, other.plain_size);
    object_free(&one);
    object_free(&other);
}

static void another_key_does_not_open(void **state) {
    struct object object = object_new(100);
    unsigned char wrong[ENVELOPE_KEY_BYTES];

    memcpy(wrong, key, sizeof wrong);
    wrong[31] ^= 1;
    assert_null(envelope_open(wrong, object.sealed));
    object_free(&object);
}

static void impossible_chunks_are_refused(void **state) {
    struct envelope *envelope = envelope_new(key);
    unsigned char *out = malloc(WHOLE);

    assert_int_equal(envelope_seal_chunk(envelope, 0, false, out, 5, out), -1);
    assert_int_equal(envelope_seal_chunk(envelope, 1, true, out, 0, out), -1);
    assert_int_equal(envelope_seal_chunk(envelope, UINT64_C(1) << 32, true, out, 5, out), -1);
    assert_int_equal(envelope_open_chunk(envelope, 0, true, out, 15, out), -1);
    free(out);
    envelope_free(envelope);
}

/* ---- keys ---- */

#define KEY_A "a:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KEY_B "b:ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static struct keyring *keyring_of(const char *keys) {
    char copy[1024], none[] = "off", error[256];
    const struct settings settings = {.encryption_key = copy, .encrypt_outputs = none};

    text_copy(copy, sizeof copy, keys);
    return keyring_new(&settings, error, sizeof error);
}

static void seals_belong_to_an_object_and_a_key(void **state) {
    struct keyring *old = keyring_of(KEY_A), *both = keyring_of(KEY_B "," KEY_A), *new = keyring_of(KEY_B);
    unsigned char data[ENVELOPE_KEY_BYTES], back[ENVELOPE_KEY_BYTES];
    char seal[KEYRING_SEAL_MAX], again[KEYRING_SEAL_MAX];

    assert_int_equal(keyring_make(old, "t/object", data, seal), 0);
    assert_int_equal(keyring_unwrap(old, "t/object", seal, back), KEYRING_OK);
    assert_memory_equal(data, back, sizeof data);
    assert_int_equal(keyring_unwrap(old, "t/other", seal, back), KEYRING_BROKEN);
    assert_int_equal(keyring_unwrap(new, "t/object", seal, back), KEYRING_UNKNOWN);
    assert_int_equal(keyring_unwrap(both, "t/object", seal, back), KEYRING_OK);
    assert_int_equal(keyring_wrap(both, "t/object", back, again), 0);
    assert_int_equal(strncmp(again, "b:", 2), 0);
    assert_int_equal(keyring_unwrap(new, "t/object", again, back), KEYRING_OK);
    assert_memory_equal(data, back, sizeof data);
    for (size_t i = 2; seal[i] != '\0'; i++) {
        char kept = seal[i];
        seal[i] = kept == '0' ? '1' : '0';
        assert_int_equal(keyring_unwrap(old, "t/object", seal, back), KEYRING_BROKEN);
        seal[i] = kept;
    }
    assert_int_equal(keyring_unwrap(old, "t/object", "a:", back), KEYRING_BROKEN);
    assert_int_equal(keyring_unwrap(old, "t/object", "", back), KEYRING_BROKEN);
    keyring_free(old);
    keyring_free(both);
    keyring_free(new);
}

static void wrong_keys_are_refused(void **state) {
    static const char *const wrong[] = {"a:0011",
                                        "zz",
                                        KEY_A "," KEY_A,
                                        "A:"
                                        "00112233445566778899aabbccddeeff"
                                        "00112233445566778899aabbccddeeff",
                                        ":"
                                        "00112233445566778899aabbccddeeff"
                                        "00112233445566778899aabbccddeeff",
                                        KEY_A "0"};
    struct keyring *named = keyring_of("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
    struct keyring *none = keyring_of("# nothing\n");

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_null(keyring_of(wrong[i]));
    assert_int_equal(strlen(keyring_id(named)), 16);
    assert_true(keyring_is_empty(none));
    keyring_free(named);
    keyring_free(none);
}

static void links_are_signed(void **state) {
    struct keyring *old = keyring_of(KEY_A), *both = keyring_of(KEY_B "\n" KEY_A), *new = keyring_of(KEY_B);
    char signature[KEYRING_LINK_TEXT];

    assert_int_equal(keyring_link(old, "text", signature), 0);
    assert_true(keyring_link_is_good(both, "text", signature));
    assert_false(keyring_link_is_good(both, "texts", signature));
    assert_false(keyring_link_is_good(new, "text", signature));
    assert_false(keyring_link_is_good(old, "text", ""));
    keyring_free(old);
    keyring_free(both);
    keyring_free(new);
}

static void what_is_for_nobody_is_refused(void **state) {
    struct keyring *keyring = keyring_of(KEY_A);
    unsigned char back[ENVELOPE_KEY_BYTES];
    char text[108];

    memset(text, 'A', sizeof text);
    text[107] = '\0';
    assert_int_equal(keyring_receive(keyring, text, back), -1); /* a sender's key of zeros */
    text[0] = 'B';
    assert_int_equal(keyring_receive(keyring, text, back), -1);
    assert_int_equal(keyring_receive(keyring, "AAAA", back), -1);
    assert_int_equal(keyring_receive(keyring, "", back), -1);
    keyring_free(keyring);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_opens_again),
        cmocka_unit_test(sizes_follow_from_each_other),
        cmocka_unit_test(a_source_reads_the_same_from_anywhere),
        cmocka_unit_test(a_file_shorter_than_said_is_no_object),
        cmocka_unit_test(every_flipped_bit_is_seen),
        cmocka_unit_test(every_cut_is_seen),
        cmocka_unit_test(longer_objects_are_refused),
        cmocka_unit_test(chunks_keep_their_places),
        cmocka_unit_test(chunks_stay_in_their_object),
        cmocka_unit_test(another_key_does_not_open),
        cmocka_unit_test(impossible_chunks_are_refused),
        cmocka_unit_test(seals_belong_to_an_object_and_a_key),
        cmocka_unit_test(wrong_keys_are_refused),
        cmocka_unit_test(links_are_signed),
        cmocka_unit_test(what_is_for_nobody_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
