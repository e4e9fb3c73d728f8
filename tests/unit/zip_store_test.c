/* SPDX-License-Identifier: MIT
 * Archives that no disk of a test holds: sizes and offsets beyond 32 bits stand in ZIP64 fields. What readers
 * make of ordinary ones is in tests/integration/test_portal.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "workers/processors/zip_store.h"

#define LARGE UINT64_C(5000000000)

struct sink {
    unsigned char bytes[4096];
    size_t size;
    size_t room;
};

static int keep(void *context, const void *bytes, size_t size) {
    struct sink *sink = context;
    if (size > sink->room - sink->size) {
        return -1;
    }
    memcpy(sink->bytes + sink->size, bytes, size);
    sink->size += size;
    return 0;
}

static uint64_t number(const unsigned char *at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;) {
        value = value << 8 | at[i];
    }
    return value;
}

static const unsigned char *find(const struct sink *sink, uint32_t signature) {
    for (size_t i = 0; i + 4 <= sink->size; i++) {
        if (number(sink->bytes + i, 4) == signature) {
            return sink->bytes + i;
        }
    }
    return NULL;
}

static void small_archives_need_no_zip64(void **state) {
    struct sink sink = {.room = sizeof sink.bytes};
    struct zip_store zip;
    zip_begin(&zip, keep, &sink);
    assert_int_equal(zip_add(&zip, "a.txt", "abc", 3), 0);
    assert_int_equal(zip_end(&zip), 0);
    assert_null(find(&sink, 0x06064b50));
    const unsigned char *end = find(&sink, 0x06054b50);
    assert_non_null(end);
    assert_int_equal(number(end + 10, 2), 1);
    assert_int_equal(number(end + 16, 4), 30 + 5 + 3);
    assert_int_equal(number(sink.bytes + 14, 4), 0x352441c2); /* CRC-32 of "abc" */
    assert_int_equal(number(sink.bytes + 10, 4), 0x00210000); /* 1980-01-01 */
}

static void large_entries_and_far_ones_are_zip64(void **state) {
    struct sink sink = {.room = sizeof sink.bytes};
    struct zip_store zip;
    zip_begin(&zip, keep, &sink);
    assert_int_equal(zip_entry(&zip, "large", LARGE, 7), 0);
    assert_int_equal(number(sink.bytes + 4, 2), 45);
    assert_int_equal(number(sink.bytes + 18, 4), 0xffffffff);
    assert_int_equal(number(sink.bytes + 30 + 5 + 4, 8), LARGE);
    zip.offset += LARGE; /* as if they had been appended */
    uint64_t far = zip.offset;
    assert_int_equal(zip_add(&zip, "far", "x", 1), 0);
    assert_int_equal(zip_end(&zip), 0);
    const unsigned char *end = find(&sink, 0x06064b50);
    assert_non_null(end);
    assert_int_equal(number(end + 32, 8), 2);
    assert_int_equal(number(end + 48, 8), far + 30 + 3 + 1);
    const unsigned char *locator = find(&sink, 0x07064b50);
    assert_non_null(locator);
    assert_int_equal(number(locator + 8, 8), number(end + 48, 8) + number(end + 40, 8));
    const unsigned char *directory = sink.bytes + (number(end + 48, 8) - LARGE);
    assert_int_equal(number(directory, 4), 0x02014b50);
    const unsigned char *second = directory + 46 + 5 + 20;
    assert_int_equal(number(second, 4), 0x02014b50);
    assert_int_equal(number(second + 42, 4), 0xffffffff);
    assert_int_equal(number(second + 46 + 3 + 4, 8), far);
}

static void failures_are_told(void **state) {
    struct sink sink = {.room = 10};
    struct zip_store zip;
    char name[ZIP_NAME_SIZE + 1];
    zip_begin(&zip, keep, &sink);
    assert_int_equal(zip_add(&zip, "a", "b", 1), -1);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    sink = (struct sink){.room = sizeof sink.bytes};
    zip_begin(&zip, keep, &sink);
    assert_int_equal(zip_add(&zip, name, "b", 1), -1);
    for (size_t i = 0; i < ZIP_MAX_ENTRIES; i++) {
        assert_int_equal(zip_add(&zip, "a", "", 0), 0);
    }
    assert_int_equal(zip_add(&zip, "a", "", 0), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_archives_need_no_zip64),
        cmocka_unit_test(large_entries_and_far_ones_are_zip64),
        cmocka_unit_test(failures_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
