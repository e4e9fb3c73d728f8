/* SPDX-License-Identifier: MIT
 * Parts of the store that need no server: records on the disk, ordered index, conditions, ranges, XML,
 * checksums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/text.h"
#include "storage/store/checksum.h"
#include "storage/store/conditions.h"
#include "storage/store/cors.h"
#include "storage/store/index.h"
#include "storage/store/object.h"
#include "storage/store/xml.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int memory_file(const void *data, size_t size) {
    int fd = memfd_create("object", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), (ssize_t)size);
    return fd;
}

static void records_survive_and_damage_is_seen(void **state) {
    static const char key[] = "a\nb=c%\xC3\xBC/..//";
    struct object written = {.size = 4, .modified_ms = 1234567890123, .etag = "0123-2"};
    struct buffer file;

    buffer_init(&file, 65536);
    assert_int_equal(buffer_append(&file, "data", 4), 0);
    object_set_key(&written, key);
    assert_int_equal(object_set_field(&written, "content-type", "text/plain; x=\"=\n\""), 0);
    assert_int_equal(object_set_field(&written, "Content-Type", "a/b"), 0);
    assert_int_equal(object_set_field(&written, "x-amz-meta-m", ""), 0);
    assert_int_equal(object_encode(&written, &file), 0);
    for (size_t damaged = 0; damaged <= file.size; damaged++) {
        struct object read = {0};
        char *copy = malloc(file.size + 1);
        assert_non_null(copy);
        memcpy(copy, file.data, file.size);
        copy[damaged] = (char)(damaged < file.size ? copy[damaged] ^ 0x10 : 0);
        int fd = memory_file(copy, file.size);
        bool in_record = damaged >= 4 && damaged < file.size;
        assert_int_equal(object_read(fd, &read), in_record ? -1 : 0);
        if (!in_record) {
            assert_string_equal(read.key, key);
            assert_string_equal(read.etag, "0123-2");
            assert_int_equal(read.size, 4);
            assert_int_equal(read.modified_ms, 1234567890123);
            assert_string_equal(object_field(&read, "content-type"), "a/b");
            assert_string_equal(object_field(&read, "X-Amz-Meta-M"), "");
            assert_null(object_field(&read, "etag"));
        }
        object_clear(&read);
        (void)close(fd);
        free(copy);
    }
    for (size_t size = 0; size < file.size; size++) {
        struct object read = {0};
        int fd = memory_file(file.data, size);
        assert_int_equal(object_read(fd, &read), -1);
        (void)close(fd);
    }
    buffer_clear(&file);
    object_clear(&written);
}

static int compare_texts(const void *left, const void *right) {
    return strcmp(left, right);
}

static void the_index_is_an_ordered_set(void **state) {
    enum { KEYS = 2000 };
    static char keys[KEYS][16];
    struct index *index = index_new();
    size_t place = 0;

    for (size_t i = 0; i < KEYS; i++) {
        struct object object = {.size = i};
        (void)snprintf(keys[i], sizeof(keys[i]), "%zx", i * 2654435761u % 1000003u);
        object_set_key(&object, keys[i]);
        index_put(index, &object);
        index_put(index, &object);
        object_clear(&object);
    }
    assert_int_equal(index_count(index), KEYS);
    qsort(keys, KEYS, sizeof(keys[0]), compare_texts);
    for (const struct index_entry *entry = index_seek(index, "", false); entry != NULL;
         entry = index_next(entry))
        assert_string_equal(index_key(entry), keys[place++]);
    assert_int_equal(place, KEYS);
    for (size_t i = 0; i < KEYS; i += 2) {
        assert_true(index_remove(index, keys[i]));
        assert_false(index_remove(index, keys[i]));
    }
    assert_int_equal(index_count(index), KEYS / 2);
    assert_null(index_find(index, keys[0]));
    assert_string_equal(index_key(index_seek(index, keys[0], false)), keys[1]);
    assert_string_equal(index_key(index_seek(index, keys[1], false)), keys[1]);
    assert_string_equal(index_key(index_seek(index, keys[1], true)), keys[3]);
    assert_null(index_seek(index, "\xff", false));
    index_free(index);
    index_free(NULL);
}

static void checksums_have_their_published_values(void **state) {
    static const struct {
        const char *header;
        const char *hex; /* of "123456789" */
    } rows[] = {
        {"x-amz-checksum-crc32", "cbf43926"},
        {"X-Amz-Checksum-Crc32c", "e3069283"},
        {"x-amz-checksum-crc64nvme", "ae8b14860a799888"},
        {"x-amz-checksum-sha1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"},
        {"x-amz-checksum-sha256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"},
        {"content-md5", "25f9e794323b453885f5181f1b624d0b"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct checksum_kind *kind = checksum_kind_of_header(rows[i].header);
        unsigned char result[CHECKSUM_MAX];
        char hex[2 * CHECKSUM_MAX + 1];
        struct checksum checksum;
        assert_non_null(kind);
        checksum_init(&checksum, kind);
        checksum_update(&checksum, "1234", 4);
        checksum_update(&checksum, "", 0);
        checksum_update(&checksum, "56789", 5);
        size_t size = checksum_finish(&checksum, result);
        text_hex_encode(hex, result, size);
        assert_string_equal(hex, rows[i].hex);
    }
    assert_null(checksum_kind_of_header("x-amz-checksum-crc16"));
}

static void dates_and_conditions(void **state) {
    static const struct {
        struct conditions conditions;
        enum s3_error read;  /* of etag "e" modified at 1e9 s */
        enum s3_error write; /* onto it */
        enum s3_error create;
    } rows[] = {
        {{0}, S3_OK, S3_OK, S3_OK},
        {{.if_match = "\"e\""}, S3_OK, S3_OK, S3_NO_SUCH_KEY},
        {{.if_match = "\"x\" , \"e\""}, S3_OK, S3_OK, S3_NO_SUCH_KEY},
        {{.if_match = "\"ee\""}, S3_PRECONDITION_FAILED, S3_PRECONDITION_FAILED, S3_NO_SUCH_KEY},
        {{.if_none_match = "*"}, S3_NOT_MODIFIED, S3_PRECONDITION_FAILED, S3_OK},
        {{.if_none_match = "\"e\""}, S3_NOT_MODIFIED, S3_NOT_IMPLEMENTED, S3_NOT_IMPLEMENTED},
        {{.if_modified_since = "Sun, 09 Sep 2001 01:46:40 GMT"}, S3_NOT_MODIFIED, S3_OK, S3_OK},
        {{.if_modified_since = "Sun, 09 Sep 2001 01:46:39 GMT"}, S3_OK, S3_OK, S3_OK},
        {{.if_modified_since = "yesterday"}, S3_OK, S3_OK, S3_OK},
        {{.if_unmodified_since = "Sun, 09 Sep 2001 01:46:39 GMT"}, S3_PRECONDITION_FAILED, S3_OK, S3_OK},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(conditions_read(&rows[i].conditions, "e", 1000000000999), rows[i].read);
        assert_int_equal(conditions_write(&rows[i].conditions, "e"), rows[i].write);
        assert_int_equal(conditions_write(&rows[i].conditions, NULL), rows[i].create);
    }
}

static void ranges_never_leave_the_object(void **state) {
    static const char *const numbers[] = {
        "", "0", "1", "9", "10", "11", "18446744073709551615", "18446744073709551616", "x"};
    char header[128];

    for (uint64_t size = 0; size <= 10; size += 5) {
        for (size_t i = 0; i < COUNT(numbers) * COUNT(numbers); i++) {
            uint64_t offset = 0;
            uint64_t length = 0;
            (void)snprintf(header, sizeof(header), "bytes=%s-%s", numbers[i / COUNT(numbers)],
                           numbers[i % COUNT(numbers)]);
            if (range_parse(header, size, &offset, &length) == RANGE_PART)
                assert_true(length > 0 && offset < size && length <= size - offset);
        }
    }
}

struct heard {
    char text[256];
    size_t opened;
};

static int hear_open(void *context, const char *name, unsigned depth) {
    struct heard *heard = context;

    heard->opened++;
    return 0;
}

static int hear_close(void *context, const char *name, unsigned depth, const char *text) {
    struct heard *heard = context;
    size_t used = strlen(heard->text);

    (void)snprintf(heard->text + used, sizeof(heard->text) - used, "%u%s(%s)", depth, name, text);
    return 0;
}

static void xml_is_read_strictly(void **state) {
    static const struct {
        const char *document;
        const char *heard; /* NULL: refused */
    } rows[] = {
        {"<a/>", "1a()"},
        {"<?xml version=\"1.0\"?>\n<a xmlns=\"x>y\"><b>t&amp;&#x41;&#66;&lt;</b></a>\n", "2b(t&AB<)1a()"},
        {"<s3:a xmlns:s3='u'><s3:b c='d'/></s3:a>", "2b()1a()"},
        {"<a><!-- <b> --><c>1</c></a>", "2c(1)1a()"},
        {"<a>\xC3\xBC&#xFC;&#128169;</a>", "1a(\xC3\xBC\xC3\xBC\xF0\x9F\x92\xA9)"},
        {"", NULL},
        {"text", NULL},
        {"<a>", NULL},
        {"<a></b>", NULL},
        {"<a/>text", NULL},
        {"<a/><b/>", NULL},
        {"<a>&e;</a>", NULL},
        {"<a>&#0;</a>", NULL},
        {"<a>&#xD800;</a>", NULL},
        {"<a>&#1114112;</a>", NULL},
        {"<a>&amp</a>", NULL},
        {"<!DOCTYPE a []><a/>", NULL},
        {"<a><![CDATA[x]]></a>", NULL},
        {"<a>\xff</a>", NULL},
        {"<a", NULL},
        {"<>", NULL},
        {"<a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a>", NULL},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        static const struct xml_events events = {.open = hear_open, .close = hear_close};
        struct heard heard = {.opened = 0};
        size_t size = strlen(rows[i].document);
        char *copy = malloc(size + 1);
        assert_non_null(copy);
        memcpy(copy, rows[i].document, size + 1);
        assert_int_equal(xml_parse(copy, size, &events, &heard), rows[i].heard != NULL ? 0 : -1);
        if (rows[i].heard != NULL)
            assert_string_equal(heard.text, rows[i].heard);
        free(copy);
    }
}

static void xml_is_written_escaped(void **state) {
    struct buffer out;

    buffer_init(&out, 200);
    assert_int_equal(xml_element(&out, "K", "a<b>&\"\x01\n\xC3\xBC"), 0);
    assert_string_equal(out.data, "<K>a&lt;b&gt;&amp;&quot;&#x1;&#xA;\xC3\xBC</K>");
    buffer_clear(&out);
}

static void origins_are_compared_whole(void **state) {
    static const char list[] = "https://app.example, http://localhost:3000";

    assert_true(cors_allows(list, "https://app.example"));
    assert_true(cors_allows(list, "http://localhost:3000"));
    assert_true(cors_allows("*", "https://any.example"));
    assert_false(cors_allows(list, "https://app.example.evil"));
    assert_false(cors_allows(list, "https://app.exampl"));
    assert_false(cors_allows(list, ""));
    assert_false(cors_allows(list, "*"));
    assert_false(cors_allows(NULL, "https://app.example"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_survive_and_damage_is_seen),
        cmocka_unit_test(the_index_is_an_ordered_set),
        cmocka_unit_test(checksums_have_their_published_values),
        cmocka_unit_test(dates_and_conditions),
        cmocka_unit_test(ranges_never_leave_the_object),
        cmocka_unit_test(xml_is_read_strictly),
        cmocka_unit_test(xml_is_written_escaped),
        cmocka_unit_test(origins_are_compared_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
