/* SPDX-License-Identifier: MIT
 * What the public suite (tests/vectors) does not ask: the path rules of S3, and the limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buffer.h"
#include "storage/sigv4.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct sigv4_credentials credentials = {
    .access_key = "AKIATEST", .secret_key = "secret", .region = "us-east-1", .service = "s3"};

static struct sigv4_request simple(const char *path) {
    return (struct sigv4_request){.method = "GET",
                                  .path = path,
                                  .headers = {{"Host", "h"}},
                                  .header_count = 1,
                                  .payload_hash = SIGV4_UNSIGNED_PAYLOAD,
                                  .date = "20260102T030405Z"};
}

static void s3_paths_are_encoded_once_and_never_normalised(void **state) {
    static const struct {
        const char *path;
        const char *canonical;
    } rows[] = {
        {"/", "/"},
        {"/b/a//b/../c/./", "/b/a//b/../c/./"},
        {"/b/a b+c%d", "/b/a%20b%2Bc%25d"},
        {"/b/\xC3\xBC~-_.", "/b/%C3%BC~-_."},
        {"/b/(1)*'!", "/b/%281%29%2A%27%21"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct sigv4_request request = simple(rows[i].path);
        struct buffer canonical;
        char expected[256];
        char signed_headers[64];
        buffer_init(&canonical, 4096);
        assert_int_equal(
            sigv4_canonical_request(&request, &canonical, signed_headers, sizeof(signed_headers)), 0);
        (void)snprintf(expected, sizeof(expected), "GET\n%s\n\nhost:h\n\nhost\nUNSIGNED-PAYLOAD",
                       rows[i].canonical);
        assert_string_equal(canonical.data, expected);
        assert_string_equal(signed_headers, "host");
        buffer_clear(&canonical);
    }
}

static void dot_segments_cannot_climb_out(void **state) {
    static const char *const rows[][2] = {
        {"/..", "/"}, {"/../../a", "/a"}, {"/a/..", "/"}, {"//", "/"}, {"/a/b/..", "/a/"}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sigv4_request request = simple(rows[i][0]);
        struct buffer canonical;
        char expected[64];
        char signed_headers[64];
        request.normalize_path = true;
        buffer_init(&canonical, 4096);
        assert_int_equal(
            sigv4_canonical_request(&request, &canonical, signed_headers, sizeof(signed_headers)), 0);
        (void)snprintf(expected, sizeof(expected), "GET\n%s\n\n", rows[i][1]);
        assert_memory_equal(canonical.data, expected, strlen(expected));
        buffer_clear(&canonical);
    }
}

static void limits_are_reported(void **state) {
    struct sigv4_request request = simple("/b/k");
    struct buffer out;
    char signed_headers[64];
    char tiny[3];

    buffer_init(&out, 4096);
    assert_int_equal(sigv4_presign_query(&credentials, &request, 0, &out), -1);
    assert_int_equal(sigv4_presign_query(&credentials, &request, 604801, &out), -1);
    assert_int_equal(sigv4_canonical_request(&request, &out, tiny, sizeof(tiny)), -1);
    request.header_count = 0;
    assert_int_equal(sigv4_presign_query(&credentials, &request, 60, &out), -1);
    request.header_count = SIGV4_MAX_HEADERS + 1;
    assert_int_equal(sigv4_canonical_request(&request, &out, signed_headers, sizeof(signed_headers)), -1);
    request = simple("/b/k");
    request.query_count = SIGV4_MAX_HEADERS - 5;
    for (size_t i = 0; i < request.query_count; i++)
        request.query[i] = (struct sigv4_pair){"n", "v"};
    assert_int_equal(sigv4_presign_query(&credentials, &request, 60, &out), -1);
    buffer_clear(&out);
    buffer_init(&out, 100);
    request = simple("/b/k");
    assert_int_equal(sigv4_presign_query(&credentials, &request, 60, &out), -1);
    buffer_clear(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s3_paths_are_encoded_once_and_never_normalised),
        cmocka_unit_test(dot_segments_cannot_climb_out),
        cmocka_unit_test(limits_are_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
