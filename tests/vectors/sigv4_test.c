/* SPDX-License-Identifier: MIT
 * The public SigV4 suite (awslabs/aws-c-auth): each case signed in the header and in the query, compared with
 * the canonical request, string to sign and signature that the suite gives. The service of the suite is not
 * S3, so paths are normalised as each case says. And the presigned URL that the S3 manual publishes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/buffer.h"
#include "lib/text.h"
#include "storage/sigv4.h"
#include <dirent.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SUITE_CASES 38
#define TEXT_MAX 8192
#define REQUEST_MAX_PAIRS 32

struct suite_case {
    char directory[1024];
    char request_text[TEXT_MAX];
    char context[TEXT_MAX];
    char access_key[128];
    char secret_key[128];
    char token[1024];
    char region[64];
    char service[64];
    char timestamp[32];
    char names[REQUEST_MAX_PAIRS][1024];
    char values[REQUEST_MAX_PAIRS][1024];
    char payload_hash[65];
    char body_length[24];
    struct sigv4_credentials credentials;
    struct sigv4_request request;
};

static int read_text(const char *directory, const char *name, char *target, size_t size) {
    char path[2048];
    FILE *file;
    size_t used;

    assert_int_equal(text_format(path, sizeof(path), "%s/%s", directory, name), 0);
    file = fopen(path, "re");
    if (file == NULL)
        return -1;
    used = fread(target, 1, size - 1, file);
    target[used] = '\0';
    (void)fclose(file);
    return 0;
}

/* The suite's contexts are flat enough to find "name": value by its quoted name. */
static bool context_text(const char *context, const char *name, char *target, size_t size) {
    char quoted[64];
    const char *place;
    size_t length;

    assert_int_equal(text_format(quoted, sizeof(quoted), "\"%s\": ", name), 0);
    place = strstr(context, quoted);
    if (place == NULL)
        return false;
    place += strlen(quoted);
    if (*place == '"')
        place++;
    length = strcspn(place, "\",\n}");
    assert_true(length < size);
    memcpy(target, place, length);
    target[length] = '\0';
    return true;
}

static bool context_flag(const char *context, const char *name) {
    char value[16];

    return context_text(context, name, value, sizeof(value)) && strcmp(value, "true") == 0;
}

static void add_header(struct suite_case *test, const char *name, const char *value) {
    size_t place = test->request.header_count++;

    test->request.headers[place] = (struct sigv4_pair){.name = name, .value = value};
}

static void parse_query(struct suite_case *test, char *query) {
    char *rest = NULL;

    for (char *part = strtok_r(query, "&", &rest); part != NULL; part = strtok_r(NULL, "&", &rest)) {
        size_t place = test->request.query_count++;
        size_t name_size = strcspn(part, "=");
        const char *value = part[name_size] == '=' ? part + name_size + 1 : "";
        char *name_text = test->names[REQUEST_MAX_PAIRS - 1 - place];
        char *value_text = test->values[REQUEST_MAX_PAIRS - 1 - place];
        assert_int_equal(text_percent_decode(name_text, 1024, part, name_size, false), 0);
        assert_int_equal(text_percent_decode(value_text, 1024, value, strlen(value), false), 0);
        test->request.query[place] = (struct sigv4_pair){.name = name_text, .value = value_text};
    }
}

/* Start line, headers (a line that begins with a blank continues the one before), empty line, body. */
static void parse_request(struct suite_case *test) {
    char *head = test->request_text;
    char *body = strstr(head, "\n\n");
    char *line_end = strchr(head, '\n');
    unsigned char digest[32];
    size_t count = 0;

    if (body != NULL) {
        *body = '\0';
        body += 2;
    } else {
        body = head + strlen(head);
    }
    *line_end = '\0';
    char *path = strchr(head, ' ');
    *path++ = '\0';
    *strstr(path, " HTTP/1.1") = '\0';
    char *query = strchr(path, '?');
    if (query != NULL) {
        *query++ = '\0';
        parse_query(test, query);
    }
    test->request.method = head;
    test->request.path = path;
    for (char *line = line_end + 1; line < body && *line != '\0';) {
        size_t length = strcspn(line, "\n");
        while (line[length] == '\n' && (line[length + 1] == ' ' || line[length + 1] == '\t'))
            length += 1 + strcspn(line + length + 1, "\n");
        size_t name_size = strcspn(line, ":");
        assert_true(count < REQUEST_MAX_PAIRS / 2);
        memcpy(test->names[count], line, name_size);
        memcpy(test->values[count], line + name_size + 1, length - name_size - 1);
        add_header(test, test->names[count], test->values[count]);
        count++;
        line += length + (line[length] == '\n' ? 1 : 0);
    }
    assert_int_equal(EVP_Digest(body, strlen(body), digest, NULL, EVP_sha256(), NULL), 1);
    text_hex_encode(test->payload_hash, digest, sizeof(digest));
    test->request.payload_hash = test->payload_hash;
}

static void load_case(struct suite_case *test) {
    memset(&test->request, 0, sizeof(test->request));
    memset(test->names, 0, sizeof(test->names));
    memset(test->values, 0, sizeof(test->values));
    assert_int_equal(read_text(test->directory, "context.json", test->context, sizeof(test->context)), 0);
    assert_int_equal(
        read_text(test->directory, "request.txt", test->request_text, sizeof(test->request_text)), 0);
    assert_true(context_text(test->context, "access_key_id", test->access_key, sizeof(test->access_key)));
    assert_true(context_text(test->context, "secret_access_key", test->secret_key, sizeof(test->secret_key)));
    assert_true(context_text(test->context, "region", test->region, sizeof(test->region)));
    assert_true(context_text(test->context, "service", test->service, sizeof(test->service)));
    assert_true(context_text(test->context, "timestamp", test->timestamp, sizeof(test->timestamp)));
    bool token = context_text(test->context, "token", test->token, sizeof(test->token)) &&
                 !context_flag(test->context, "omit_session_token");
    test->credentials = (struct sigv4_credentials){.access_key = test->access_key,
                                                   .secret_key = test->secret_key,
                                                   .session_token = token ? test->token : NULL,
                                                   .region = test->region,
                                                   .service = test->service};
    parse_request(test);
    test->request.path_is_encoded = true;
    test->request.encode_twice = true;
    test->request.normalize_path = context_flag(test->context, "normalize");
    /* 2015-08-30T12:36:00Z without its marks */
    size_t used = 0;
    for (const char *c = test->timestamp; *c != '\0'; c++) {
        if (*c != '-' && *c != ':')
            test->request.date[used++] = *c;
    }
    test->request.date[used] = '\0';
}

static void expect_file(const struct suite_case *test, const char *name, const char *actual) {
    char expected[TEXT_MAX];

    assert_int_equal(read_text(test->directory, name, expected, sizeof(expected)), 0);
    assert_string_equal(actual, expected);
}

static void check_header(struct suite_case *test) {
    struct buffer canonical;
    struct buffer to_sign;
    struct buffer authorization;
    char signed_headers[1024];
    char signature[65];
    char expected[256];

    add_header(test, "X-Amz-Date", test->request.date);
    if (test->credentials.session_token != NULL)
        add_header(test, "X-Amz-Security-Token", test->credentials.session_token);
    if (context_flag(test->context, "sign_body"))
        add_header(test, "x-amz-content-sha256", test->payload_hash);
    buffer_init(&canonical, TEXT_MAX);
    buffer_init(&to_sign, TEXT_MAX);
    buffer_init(&authorization, TEXT_MAX);
    assert_int_equal(
        sigv4_canonical_request(&test->request, &canonical, signed_headers, sizeof(signed_headers)), 0);
    expect_file(test, "header-canonical-request.txt", canonical.data);
    assert_int_equal(sigv4_string_to_sign(&test->credentials, test->request.date, canonical.data,
                                          canonical.size, &to_sign),
                     0);
    expect_file(test, "header-string-to-sign.txt", to_sign.data);
    sigv4_signature(&test->credentials, test->request.date, to_sign.data, signature);
    expect_file(test, "header-signature.txt", signature);
    assert_int_equal(sigv4_authorization(&test->credentials, &test->request, &authorization), 0);
    assert_int_equal(text_format(expected, sizeof(expected), ", Signature=%s", signature), 0);
    assert_true(text_ends_with(authorization.data, expected));
    buffer_clear(&authorization);
    buffer_clear(&to_sign);
    buffer_clear(&canonical);
}

static void check_query(struct suite_case *test) {
    struct buffer query;
    char expected[65];
    char expires[16];
    uint64_t expires_s;

    buffer_init(&query, TEXT_MAX);
    assert_true(context_text(test->context, "expiration_in_seconds", expires, sizeof(expires)));
    assert_int_equal(text_parse_u64(expires, 1, 604800, &expires_s), 0);
    assert_int_equal(sigv4_presign_query(&test->credentials, &test->request, (int64_t)expires_s, &query), 0);
    assert_int_equal(read_text(test->directory, "query-signature.txt", expected, sizeof(expected)), 0);
    const char *signature = strstr(query.data, "&X-Amz-Signature=");
    assert_non_null(signature);
    assert_string_equal(signature + strlen("&X-Amz-Signature="), expected);
    buffer_clear(&query);
}

static const char *suite_directory(char *target, size_t size) {
    const char *root = getenv("FILEMILL_VECTORS");
    DIR *directory;

    assert_int_equal(text_format(target, size, "%s/sigv4", root != NULL ? root : "../shared/vectors"), 0);
    directory = opendir(target);
    if (directory == NULL)
        return NULL;
    (void)closedir(directory);
    return target;
}

static void suite_signs_as_published(void **state) {
    static struct suite_case test;
    char root[900];
    struct dirent *entry;
    unsigned count = 0;
    DIR *directory;

    if (suite_directory(root, sizeof(root)) == NULL) {
        print_message("skipped: no vectors at %s (set FILEMILL_VECTORS)\n", root);
        skip();
    }
    directory = opendir(root);
    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        assert_int_equal(text_format(test.directory, sizeof(test.directory), "%s/%s", root, entry->d_name),
                         0);
        print_message("case %s\n", entry->d_name);
        load_case(&test);
        check_header(&test);
        load_case(&test);
        check_query(&test);
        count++;
    }
    (void)closedir(directory);
    assert_int_equal(count, SUITE_CASES);
}

static void s3_presigned_url_is_the_published_one(void **state) {
    const struct sigv4_credentials credentials = {.access_key = "AKIAIOSFODNN7EXAMPLE",
                                                  .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                                  .region = "us-east-1",
                                                  .service = "s3"};
    const struct sigv4_request request = {.method = "GET",
                                          .path = "/test.txt",
                                          .headers = {{"host", "examplebucket.s3.amazonaws.com"}},
                                          .header_count = 1,
                                          .payload_hash = SIGV4_UNSIGNED_PAYLOAD,
                                          .date = "20130524T000000Z"};
    struct buffer url;

    buffer_init(&url, 4096);
    assert_int_equal(buffer_append_text(&url, "https://examplebucket.s3.amazonaws.com/test.txt"), 0);
    assert_int_equal(sigv4_presign_query(&credentials, &request, 86400, &url), 0);
    assert_string_equal(url.data,
                        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
                        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
                        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
                        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    buffer_clear(&url);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suite_signs_as_published),
        cmocka_unit_test(s3_presigned_url_is_the_published_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
