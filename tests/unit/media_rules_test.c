/* SPDX-License-Identifier: MIT
 * Which opinion counts of what bytes are, families, and what a zip's directory says; the latter over every
 * cut and many flips of a package as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/plan.h"
#include <stdlib.h>
#include <string.h>

#define DOCX "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
#define XLSX "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
#define ODT "application/vnd.oasis.opendocument.text"
#define ODF "application/vnd.oasis.opendocument"

static void one_of_three_counts(void **state) {
    static const struct {
        const char *own, *magic, *zip, *expected;
    } cases[] = {
        {"application/pdf", "application/pdf", NULL, "application/pdf"},
        {"application/pdf", "application/octet-stream", NULL, "application/pdf"},
        {"application/pdf", NULL, NULL, "application/pdf"},
        {"application/pdf", "application/zip", NULL, "application/pdf"}, /* both: what would be parsed */
        {"image/jpeg", "text/html", NULL, "image/jpeg"},
        {"image/png", "image/apng", NULL, "image/png"},
        /* packages */
        {DOCX, "application/zip", DOCX, DOCX},
        {DOCX, DOCX, "application/zip", "application/zip"},
        {DOCX, DOCX, NULL, DOCX},
        {DOCX, DOCX, XLSX, XLSX},
        {"application/zip", "application/zip", DOCX, DOCX},
        {"application/zip", DOCX, NULL, "application/zip"},
        {"application/zip", "application/zip", ODF, "application/zip"},
        {ODT, ODT, ODF, ODT},
        {ODT, ODT, "application/zip", "application/zip"},
        {ODT, ODT, NULL, ODT},
        {"application/epub+zip", "application/epub+zip", "application/epub+zip", "application/epub+zip"},
        {"application/zip", "application/zip", "application/java-archive", "application/java-archive"},
        /* text */
        {"text/plain", "application/csv", NULL, "text/csv"},
        {"text/plain", "text/csv", NULL, "text/csv"},
        {"text/plain", "text/html", NULL, "text/plain"},
        {"text/plain", "application/json", NULL, "text/plain"},
        {"text/plain", "text/x-shellscript", NULL, "text/plain"},
        {"text/plain", "image/x-portable-pixmap", NULL, "text/plain"},
        {"text/html", "text/plain", NULL, "text/html"},
        {"image/svg+xml", "text/plain", NULL, "image/svg+xml"},
        {NULL, "text/plain", NULL, NULL},
        {NULL, "application/json", NULL, NULL},
        /* sound in containers */
        {"audio/webm", "video/webm", NULL, "audio/webm"},
        {"audio/mp4", "video/mp4", NULL, "audio/mp4"},
        {"audio/ogg", "application/ogg", NULL, "audio/ogg"},
        {"audio/mpeg", "application/octet-stream", NULL, "audio/mpeg"},
        {"audio/mpeg", "image/x-tga", NULL, "image/x-tga"},
        {"audio/mpeg", "text/plain", NULL, "audio/mpeg"},
        /* unknown to us */
        {NULL, NULL, NULL, NULL},
        {NULL, "application/octet-stream", NULL, NULL},
        {NULL, "application/x-empty", NULL, NULL},
        {NULL, "inode/x-empty", NULL, NULL},
        {NULL, "font/woff", NULL, "font/woff"},
        {NULL, "application/vnd.microsoft.portable-executable", NULL, "application/x-dosexec"},
        {NULL, "image/x-ms-bmp", NULL, "image/bmp"},
        {"application/x-ole-storage", "application/vnd.ms-excel", NULL, "application/x-ole-storage"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *got = media_type_combine(cases[i].own, cases[i].magic, cases[i].zip);
        if ((got == NULL) != (cases[i].expected == NULL) ||
            (got != NULL && strcmp(got, cases[i].expected) != 0)) {
            fail_msg("case %zu: %s", i, got != NULL ? got : "(unknown)");
        }
    }
}

static void families_keep_types_apart(void **state) {
    static const struct {
        const char *media_type;
        enum media_family family;
    } cases[] = {
        {"image/png", MEDIA_IMAGE},
        {"audio/mp4", MEDIA_AUDIO},
        {"video/mp4", MEDIA_VIDEO},
        {"application/pdf", MEDIA_PDF},
        {DOCX, MEDIA_OFFICE},
        {ODT, MEDIA_OFFICE},
        {"text/csv", MEDIA_TEXT},
        {"application/json", MEDIA_TEXT},
        {"application/zip", MEDIA_ARCHIVE},
        {"application/x-dosexec", MEDIA_EXECUTABLE},
        {"font/woff", MEDIA_OTHER},
        {"", MEDIA_OTHER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(media_family_of(cases[i].media_type), cases[i].family);
    }
    assert_true(media_type_agrees("font/ttf", "font/woff"));
    assert_true(media_type_agrees("application/x-msdownload", "application/x-dosexec"));
    assert_true(media_type_agrees("application/zip", "application/java-archive"));
    assert_true(media_type_agrees("text/plain", "text/csv"));
    assert_false(media_type_agrees("application/pdf", "application/x-dosexec"));
    assert_false(media_type_agrees("font/ttf", "application/x-dosexec"));
    assert_false(media_type_agrees("image/png", "image/jpeg"));
    assert_false(media_type_agrees("text/csv", "text/html"));
    assert_false(media_type_agrees("application/json", "text/html"));
}

/* --- directories -------------------------------------------------------------------------------------------
 */

struct zip {
    unsigned char bytes[4096];
    size_t size, directory;
    unsigned entries;
};

static void put(struct zip *zip, const void *bytes, size_t size) {
    memcpy(zip->bytes + zip->size, bytes, size);
    zip->size += size;
}

static void put_number(struct zip *zip, unsigned number, size_t size) {
    for (size_t i = 0; i < size; i++) {
        zip->bytes[zip->size++] = (unsigned char)(number >> (8 * i));
    }
}

static void add(struct zip *zip, const char *name) {
    static const unsigned char middle[24];
    static const unsigned char end[12];
    zip->directory = zip->entries == 0 ? zip->size : zip->directory;
    put(zip, "PK\1\2", 4);
    put(zip, middle, sizeof middle);
    put_number(zip, (unsigned)strlen(name), 2);
    put_number(zip, 0, 2); /* extra */
    put_number(zip, 3, 2); /* comment */
    put(zip, end, sizeof end);
    put(zip, name, strlen(name));
    put(zip, "abc", 3);
    zip->entries++;
}

static void end_zip(struct zip *zip, const char *comment) {
    size_t directory = zip->entries == 0 ? 0 : zip->size - zip->directory;
    put(zip, "PK\5\6\0\0\0\0", 8);
    put_number(zip, zip->entries, 2);
    put_number(zip, zip->entries, 2);
    put_number(zip, (unsigned)directory, 4);
    put_number(zip, 0, 4);
    put_number(zip, (unsigned)strlen(comment), 2);
    put(zip, comment, strlen(comment));
}

/* In memory of its very size, so that a sanitizer sees what is read beyond. */
static const char *judge(const unsigned char *bytes, size_t size) {
    unsigned char *exact = malloc(size > 0 ? size : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, size);
    const char *media_type = media_type_of_zip(exact, size);
    free(exact);
    return media_type;
}

static const char *judge_names(const char *const *names, const char *comment, size_t cut) {
    struct zip zip = {.size = 0};
    put(&zip, "contents of the first entries", 29);
    for (; *names != NULL; names++) {
        add(&zip, *names);
    }
    end_zip(&zip, comment);
    return judge(zip.bytes + cut, zip.size - cut);
}

static void a_directory_shows_the_kind(void **state) {
    assert_string_equal(judge_names((const char *[]){"a", "word/x", "[Content_Types].xml", NULL}, "", 0),
                        DOCX);
    assert_string_equal(judge_names((const char *[]){"[Content_Types].xml", "xl/x", NULL}, "hello", 0), XLSX);
    assert_string_equal(judge_names((const char *[]){"content.xml", "META-INF/manifest.xml", NULL}, "", 0),
                        ODF);
    assert_string_equal(judge_names((const char *[]){"word/x", NULL}, "", 0), "application/zip");
    assert_string_equal(judge_names((const char *[]){"words/x", "[Content_Types].xml", NULL}, "", 0),
                        "application/zip");
    assert_string_equal(judge_names((const char *[]){NULL}, "", 0), "application/zip");
    /* the first entry is out of sight: what the others show counts, that they show nothing does not */
    assert_string_equal(judge_names((const char *[]){"a", "word/x", "[Content_Types].xml", NULL}, "", 40),
                        DOCX);
    assert_null(judge_names((const char *[]){"[Content_Types].xml", "word/x", NULL}, "", 40));
}

static void what_is_no_directory_does_no_harm(void **state) {
    struct zip zip = {.size = 0};
    assert_null(judge((const unsigned char *)"", 0));
    assert_null(judge((const unsigned char *)"PK\5\6", 4));
    add(&zip, "[Content_Types].xml");
    add(&zip, "word/document.xml");
    end_zip(&zip, "a comment");
    for (size_t size = 0; size < zip.size; size++) {
        (void)judge(zip.bytes, size);
        (void)judge(zip.bytes + size, zip.size - size);
    }
    for (size_t at = 0; at < zip.size; at++) {
        unsigned char before = zip.bytes[at];
        for (unsigned value = 0; value < 256; value += 51) {
            zip.bytes[at] = (unsigned char)value;
            (void)judge(zip.bytes, zip.size);
        }
        zip.bytes[at] = before;
    }
    assert_string_equal(judge(zip.bytes, zip.size), DOCX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_three_counts),
        cmocka_unit_test(families_keep_types_apart),
        cmocka_unit_test(a_directory_shows_the_kind),
        cmocka_unit_test(what_is_no_directory_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
