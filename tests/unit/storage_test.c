/* SPDX-License-Identifier: MIT
 * Which provider, endpoint, region and addressing the settings mean; what a presigned URL binds at each; and
 * which option an error names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/text.h"
#include "storage/provider.h"
#include "storage/storage.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What every row has; rows add to it. */
static struct settings with_keys(struct settings settings) {
    if (settings.storage_bucket == NULL)
        settings.storage_bucket = "user-files";
    settings.storage_access_key = "AKIATEST";
    settings.storage_secret_key = "secret";
    if (settings.storage_addressing == NULL)
        settings.storage_addressing = "auto";
    if (settings.store_address == NULL)
        settings.store_address = "127.0.0.1";
    settings.store_port = 8081;
    return settings;
}

static void providers_are_told_from_the_settings(void **state) {
    static const struct {
        struct settings settings;
        const char *provider;
        const char *url;   /* what the URL begins with */
        const char *scope; /* region in it */
    } rows[] = {
        {{0}, "filemill", "http://127.0.0.1:8081/user-files/k?", "us-east-1"},
        {{.store_address = "::1"}, "filemill", "http://[::1]:8081/user-files/k?", "us-east-1"},
        {{.r2_account_id = "abc123"}, "r2", "https://abc123.r2.cloudflarestorage.com/user-files/k?", "auto"},
        {{.spaces_region = "nyc3"}, "spaces", "https://user-files.nyc3.digitaloceanspaces.com/k?", "nyc3"},
        {{.spaces_region = "nyc3", .storage_endpoint = "https://nyc3.digitaloceanspaces.com"},
         "spaces",
         "https://user-files.nyc3.digitaloceanspaces.com/k?",
         "nyc3"},
        {{.b2_region = "us-west-004"},
         "b2",
         "https://s3.us-west-004.backblazeb2.com/user-files/k?",
         "us-west-004"},
        /* as the media worker's .env has it: no scheme, upper case in the bucket */
        {{.b2_region = "us-west-004",
          .storage_endpoint = "s3.us-west-004.backblazeb2.com",
          .storage_bucket = "IBA-Lot-Media"},
         "b2",
         "https://s3.us-west-004.backblazeb2.com/IBA-Lot-Media/k?",
         "us-west-004"},
        {{.storage_endpoint = "s3.eu-central-003.backblazeb2.com"},
         "b2",
         "https://s3.eu-central-003.backblazeb2.com/user-files/k?",
         "eu-central-003"},
        {{.storage_endpoint = "https://s3.eu-west-1.amazonaws.com/"},
         "aws",
         "https://user-files.s3.eu-west-1.amazonaws.com/k?",
         "eu-west-1"},
        {{.storage_provider = "aws", .storage_region = "eu-north-1"},
         "aws",
         "https://user-files.s3.eu-north-1.amazonaws.com/k?",
         "eu-north-1"},
        {{.storage_provider = "aws", .storage_region = "eu-north-1", .storage_bucket = "dotted.name"},
         "aws",
         "https://s3.eu-north-1.amazonaws.com/dotted.name/k?",
         "eu-north-1"},
        {{.storage_provider = "aws", .storage_region = "eu-north-1", .storage_addressing = "path"},
         "aws",
         "https://s3.eu-north-1.amazonaws.com/user-files/k?",
         "eu-north-1"},
        {{.storage_endpoint = "http://10.0.0.5:9000"},
         "minio",
         "http://10.0.0.5:9000/user-files/k?",
         "us-east-1"},
        {{.storage_endpoint = "https://S3.Example.com:443", .storage_region = "garage"},
         "minio",
         "https://s3.example.com/user-files/k?",
         "garage"},
        {{.storage_endpoint = "http://s3.local:80", .storage_addressing = "virtual"},
         "minio",
         "http://user-files.s3.local/k?",
         "us-east-1"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct settings settings = with_keys(rows[i].settings);
        const struct storage_presign what = {
            .method = "GET", .key = "k", .expires_s = 60, .content_length = -1};
        char error[256] = "";
        char url[STORAGE_URL_MAX];
        char scope[128];
        struct storage *storage = storage_new(&settings, error, sizeof(error));
        assert_string_equal(error, "");
        assert_non_null(storage);
        assert_string_equal(storage_provider_name(storage), rows[i].provider);
        assert_int_equal(storage_presign(storage, &what, url, sizeof(url)), 0);
        assert_memory_equal(url, rows[i].url, strlen(rows[i].url));
        assert_int_equal(text_format(scope, sizeof(scope), "%%2F%s%%2Fs3%%2Faws4_request&", rows[i].scope),
                         0);
        assert_non_null(strstr(url, scope));
        storage_free(storage);
    }
}

static void errors_name_the_option(void **state) {
    static const struct {
        struct settings settings;
        const char *option;
    } rows[] = {
        {{.storage_provider = "gcs"}, "storage-provider: "},
        {{.storage_provider = "minio"}, "storage-endpoint: "},
        {{.storage_provider = "aws"}, "storage-region: "},
        {{.storage_provider = "b2"}, "storage-region: "},
        {{.storage_provider = "r2"}, "r2-account-id: "},
        {{.r2_account_id = "a b"}, "r2-account-id: "},
        {{.storage_endpoint = "ftp://host"}, "storage-endpoint: "},
        {{.storage_endpoint = "https://host/path"}, "storage-endpoint: "},
        {{.storage_endpoint = "https://user:pw@host"}, "storage-endpoint: "},
        {{.storage_endpoint = "https://"}, "storage-endpoint: "},
        {{.storage_endpoint = "http://x.r2.cloudflarestorage.com"}, "storage-endpoint: "},
        {{.storage_public_endpoint = "nowhere/else"}, "storage-public-endpoint: "},
        {{.storage_bucket = "a"}, "storage-bucket: "},
        {{.storage_bucket = "a/b/c"}, "storage-bucket: "},
        {{.storage_bucket = "..x"}, "storage-bucket: "},
        {{.storage_region = "EU West"}, "storage-region: "},
        {{.storage_addressing = "virtual"}, "storage-addressing: "},
        {{.storage_addressing = "sideways"}, "storage-addressing: "},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct settings settings = with_keys(rows[i].settings);
        char error[256] = "";
        assert_null(storage_new(&settings, error, sizeof(error)));
        assert_memory_equal(error, rows[i].option, strlen(rows[i].option));
        assert_null(strchr(error, '\n'));
    }
    struct settings settings = with_keys((struct settings){0});
    char error[256] = "";
    settings.storage_secret_key = NULL;
    assert_null(storage_new(&settings, error, sizeof(error)));
    assert_true(text_starts_with(error, "storage-secret-key: "));
    settings = with_keys((struct settings){0});
    settings.storage_access_key = "AK/IA";
    assert_null(storage_new(&settings, error, sizeof(error)));
    assert_true(text_starts_with(error, "storage-access-key: "));
    assert_null(strstr(error, "AK/IA"));
}

static void signed_headers_follow_what_the_provider_enforces(void **state) {
    static const struct {
        struct settings settings;
        const char *signed_headers;
    } rows[] = {
        {{0}, "content-length%3Bcontent-type%3Bhost%3Bif-none-match%3Bx-amz-checksum-sha256&"},
        {{.r2_account_id = "a"},
         "content-length%3Bcontent-type%3Bhost%3Bif-none-match%3Bx-amz-checksum-sha256&"},
        {{.b2_region = "us-west-004"}, "content-length%3Bcontent-type%3Bhost&"},
        {{.spaces_region = "nyc3"}, "content-length%3Bcontent-type%3Bhost&"},
    };
    const struct storage_presign what = {.method = "PUT",
                                         .key = "k",
                                         .expires_s = 60,
                                         .content_type = "a/b",
                                         .content_length = 5,
                                         .checksum_sha256 = "x",
                                         .create_only = true};

    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct settings settings = with_keys(rows[i].settings);
        char error[256];
        char url[STORAGE_URL_MAX];
        struct storage *storage = storage_new(&settings, error, sizeof(error));
        assert_non_null(storage);
        assert_int_equal(storage_presign(storage, &what, url, sizeof(url)), 0);
        const char *signed_headers = strstr(url, "X-Amz-SignedHeaders=");
        assert_non_null(signed_headers);
        assert_true(
            text_starts_with(signed_headers + strlen("X-Amz-SignedHeaders="), rows[i].signed_headers));
        assert_int_equal(storage_binds_checksum(storage), strstr(rows[i].signed_headers, "sha256") != NULL);
        assert_int_equal(storage_binds_create_only(storage),
                         strstr(rows[i].signed_headers, "none-match") != NULL);
        storage_free(storage);
    }
}

static void urls_are_for_whom_they_are_meant(void **state) {
    const struct settings settings = with_keys((struct settings){
        .storage_endpoint = "http://10.0.0.5:9000", .storage_public_endpoint = "https://files.example.com"});
    struct storage_presign what = {
        .method = "GET", .key = "a b/\xC3\xBC+.txt", .expires_s = 60, .content_length = -1};
    char error[256];
    char url[STORAGE_URL_MAX];
    struct storage *storage = storage_new(&settings, error, sizeof(error));

    assert_non_null(storage);
    assert_int_equal(storage_presign(storage, &what, url, sizeof(url)), 0);
    assert_true(text_starts_with(url, "https://files.example.com/user-files/a%20b/%C3%BC%2B.txt?"));
    what.internal = true;
    assert_int_equal(storage_presign(storage, &what, url, sizeof(url)), 0);
    assert_true(text_starts_with(url, "http://10.0.0.5:9000/user-files/"));
    assert_null(strstr(url, settings.storage_secret_key));
    assert_int_equal(storage_presign(storage, &what, url, 100), -1);
    what.expires_s = 0;
    assert_int_equal(storage_presign(storage, &what, url, sizeof(url)), -1);
    what.expires_s = 604801;
    assert_int_equal(storage_presign(storage, &what, url, sizeof(url)), -1);
    storage_free(storage);
    storage_free(NULL);
}

static void the_bucket_for_publishing_is_another_one(void **state) {
    struct settings settings = with_keys((struct settings){.storage_endpoint = "http://10.0.0.5:9000"});
    const struct storage_presign what = {.method = "PUT",
                                         .key = "k",
                                         .expires_s = 60,
                                         .internal = true,
                                         .content_type = "image/webp",
                                         .cache_control = "public",
                                         .content_length = -1};
    char error[256];
    char url[STORAGE_URL_MAX];
    struct storage *storage;

    assert_null(storage_new_published(&settings, error, sizeof(error)));
    assert_string_equal(error, "");
    settings.publish_bucket = "IBA-Lot-Media";
    settings.publish_region = "us-west-004";
    assert_null(storage_new_published(&settings, error, sizeof(error)));
    assert_string_equal(error, "publish: access-key: must be set");
    settings.publish_access_key = "other";
    settings.publish_secret_key = "secret of the other";
    storage = storage_new_published(&settings, error, sizeof(error));
    assert_non_null(storage);
    assert_string_equal(storage_provider_name(storage), "b2");
    assert_int_equal(storage_presign(storage, &what, url, sizeof(url)), 0);
    assert_true(text_starts_with(url, "https://s3.us-west-004.backblazeb2.com/IBA-Lot-Media/k?"));
    assert_non_null(strstr(url, "X-Amz-SignedHeaders=cache-control%3Bcontent-type%3Bhost&"));
    assert_non_null(strstr(url, "X-Amz-Credential=other%2F"));
    storage_free(storage);
    settings.publish_endpoint = "s3.us-west-004.backblazeb2.com";
    storage = storage_new_published(&settings, error, sizeof(error));
    assert_non_null(storage);
    assert_string_equal(storage_provider_name(storage), "b2");
    storage_free(storage);
}

static void a_url_tells_its_provider(void **state) {
    static const struct {
        struct settings settings;
        const char *url, *provider;
    } rows[] = {
        {{0}, "https://abc.r2.cloudflarestorage.com/files/k?X-Amz-Expires=1", "r2"},
        {{0}, "https://files.nyc3.digitaloceanspaces.com/k", "spaces"},
        {{.storage_provider = "filemill"}, "https://s3.us-west-004.backblazeb2.com/media/k", "b2"},
        {{.storage_provider = "filemill"}, "http://127.0.0.1:8081/files/k", "filemill"},
        {{.storage_provider = "r2"}, "https://files.example.com/k", "r2"},
        {{.storage_provider = "r2", .publish_endpoint = "Media.example.com:9000"},
         "https://media.example.com:9000/k",
         "minio"},
        {{.storage_provider = "r2", .publish_endpoint = "https://media.example.com/"},
         "https://media.example.com/k?host=files.example.com",
         "minio"},
        {{0}, "http://store:8081/files/k", "minio"},
        {{0}, "", "minio"},
    };

    for (size_t i = 0; i < COUNT(rows); i++)
        assert_string_equal(provider_of_url(&rows[i].settings, rows[i].url)->name, rows[i].provider);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(providers_are_told_from_the_settings),
        cmocka_unit_test(errors_name_the_option),
        cmocka_unit_test(signed_headers_follow_what_the_provider_enforces),
        cmocka_unit_test(urls_are_for_whom_they_are_meant),
        cmocka_unit_test(the_bucket_for_publishing_is_another_one),
        cmocka_unit_test(a_url_tells_its_provider),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
