/* SPDX-License-Identifier: MIT
 * What the bucket enforces, by asking it: presigned requests that are as they should be, and some that are
 * not. Objects lie below doctor/ and are deleted again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "doctor/doctor.h"
#include "http/client.h"
#include "lib/clock.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "storage/storage.h"

#define BODY "filemill ok\n"
#define BODY_SHA256 "q5zamBONg6TvGceYvrQRzj6CvuKfWRk08p6MvJPJwpU="
#define OTHER_SHA256 "Zxv07tjDs6L3WpxAzL/l8uB46JT7hdY7/ZjcWrIykzw=" /* of other bytes */
#define HEADERS_MAX 6
#define REPLY_MAX 65536
#define ASK_MS 10000
#define URL_SECONDS 300
#define EXPIRED_MS 2500
#define SKEW_USUAL_S 10
#define SKEW_MOST_S 600

struct bucket {
    struct doctor *doctor;
    struct storage *storage;
    struct http_client *http;
    char key[128];
    int status; /* of the last answer; 0: none came */
    enum http_client_error error;
    bool same; /* its body is what was sent */
    bool told; /* it had a date, and so much is the store's clock before ours: */
    int64_t skew_s;
};

static void note_date(struct bucket *bucket, const char *date) {
    int64_t then_s = clock_parse_http(date);

    if (then_s < 0)
        return;
    bucket->told = true;
    bucket->skew_s = then_s - (int64_t)time(NULL);
}

static void on_reply(void *context, const struct http_client_reply *reply) {
    struct bucket *bucket = context;

    bucket->error = reply->error;
    bucket->status = reply->error == HTTP_CLIENT_OK ? reply->status : 0;
    note_date(bucket, reply->date);
    bucket->same = reply->body_size == strlen(BODY) && memcmp(reply->body, BODY, strlen(BODY)) == 0;
    loop_stop(bucket->doctor->loop, 0);
}

static void ask(struct bucket *bucket, const char *method, const char *url, const char *const *headers,
                const char *body) {
    const struct http_client_request request = {.method = method,
                                                .url = url,
                                                .headers = headers,
                                                .body = body,
                                                .body_size = body != NULL ? strlen(body) : 0,
                                                .upload_fd = -1,
                                                .sink_fd = -1,
                                                .max_bytes = REPLY_MAX,
                                                .max_body = REPLY_MAX,
                                                .timeout_ms = ASK_MS};

    bucket->status = 0;
    if (http_client_start(bucket->http, &request, on_reply, bucket) != NULL)
        (void)loop_run(bucket->doctor->loop);
}

static void ask_signed(struct bucket *bucket, const struct storage_presign *what, const char *const *headers,
                       const char *body) {
    char url[STORAGE_URL_MAX];

    bucket->status = 0;
    if (storage_presign(bucket->storage, what, url, sizeof url) == 0)
        ask(bucket, what->method, url, headers, body);
}

/* ---- uploads ---- */

/* An upload that the presigned URL does not allow, told by what is wrong with it. */
struct wrong {
    const char *check, *what, *remedy;
    const char *body, *type, *sha256;
    bool create_only; /* to the key of the good one; nothing depends on it */
    bool checksum;    /* only where the provider binds them */
    bool tolerable;   /* others find out */
};

static const struct wrong wrongs[] = {
    {.check = "bucket.length",
     .what = "13 bytes where 12 were announced",
     .body = BODY "!",
     .type = "text/plain",
     .sha256 = BODY_SHA256,
     .remedy = "This store ignores the length that a URL is signed for: clients can fill it. Finalize still "
               "refuses such files. Use a store that checks signed headers, or set quotas in it."},
    {.check = "bucket.type",
     .what = "text/html where text/plain was announced",
     .body = BODY,
     .type = "text/html",
     .sha256 = BODY_SHA256,
     .remedy = "This store ignores the type that a URL is signed for: never serve its objects from your "
               "app's own domain."},
    {.check = "bucket.checksum",
     .what = "bytes of another SHA-256",
     .body = BODY,
     .type = "text/plain",
     .sha256 = OTHER_SHA256,
     .checksum = true,
     .tolerable = true,
     .remedy = "This store does not verify x-amz-checksum-sha256. Workers do when they read, so nothing "
               "wrong is parsed, but clients hear of it late."},
    {.check = "bucket.create_only",
     .what = "a second upload to a key that is to be made once",
     .body = BODY,
     .type = "text/plain",
     .sha256 = BODY_SHA256,
     .create_only = true,
     .tolerable = true,
     .remedy = "This store does not know If-None-Match: *. No upload of ours asks for it: finalize binds a "
               "file to its ETag, so what is changed later fails with input_changed."},
};

static void put(struct bucket *bucket, const struct wrong *how, const char *key) {
    char type[64], checksum[128];
    const char *headers[HEADERS_MAX] = {type};
    size_t count = 1;
    const struct storage_presign what = {.method = "PUT",
                                         .key = key,
                                         .expires_s = URL_SECONDS,
                                         .internal = true,
                                         .content_type = "text/plain",
                                         .content_length = (int64_t)strlen(BODY),
                                         .checksum_sha256 = how->sha256,
                                         .create_only = how->create_only};

    (void)text_format(type, sizeof type, "Content-Type: %s", how->type);
    (void)text_format(checksum, sizeof checksum, "x-amz-checksum-sha256: %s", how->sha256);
    if (storage_binds_checksum(bucket->storage))
        headers[count++] = checksum;
    if (how->create_only)
        headers[count++] = "If-None-Match: *";
    ask_signed(bucket, &what, headers, how->body);
}

/* DELETE and GET of a key. */
static void ask_key(struct bucket *bucket, const char *method, const char *key) {
    const struct storage_presign what = {
        .method = method, .key = key, .expires_s = URL_SECONDS, .internal = true, .content_length = -1};

    ask_signed(bucket, &what, NULL, NULL);
}

static void check_wrongs(struct bucket *bucket) {
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        const struct wrong *wrong = &wrongs[i];
        char key[160];
        if ((wrong->checksum && !storage_binds_checksum(bucket->storage)) ||
            (wrong->create_only && !storage_binds_create_only(bucket->storage))) {
            doctor_note(bucket->doctor, wrong->check, VERDICT_WARN, wrong->remedy,
                        "%s can't: not asked of it", storage_provider_name(bucket->storage));
            continue;
        }
        (void)text_format(key, sizeof key, "%s%s", bucket->key, wrong->create_only ? "" : wrong->check);
        put(bucket, wrong, key);
        doctor_note(bucket->doctor, wrong->check,
                    bucket->status / 100 == 4 ? VERDICT_OK
                    : wrong->tolerable        ? VERDICT_WARN
                                              : VERDICT_FAIL,
                    wrong->remedy, "%s: status %d", wrong->what, bucket->status);
        if (!wrong->create_only)
            ask_key(bucket, "DELETE", key);
    }
}

/* ---- reading ---- */

static void on_waited(void *context) {
    struct bucket *bucket = context;

    loop_stop(bucket->doctor->loop, 0);
}

static void check_expiry(struct bucket *bucket) {
    const struct storage_presign what = {
        .method = "GET", .key = bucket->key, .expires_s = 1, .internal = true, .content_length = -1};
    struct loop_timer *timer = loop_timer_new(bucket->doctor->loop, on_waited, bucket);
    char url[STORAGE_URL_MAX];

    bucket->status = 0;
    if (storage_presign(bucket->storage, &what, url, sizeof url) == 0) {
        loop_timer_set(timer, EXPIRED_MS);
        (void)loop_run(bucket->doctor->loop);
        ask(bucket, "GET", url, NULL, NULL);
    }
    loop_timer_free(timer);
    doctor_note(
        bucket->doctor, "bucket.expiry",
        bucket->status >= 400 && bucket->status < 500 ? VERDICT_OK : VERDICT_FAIL,
        "This store answers URLs that have expired: check its clock; a link that leaks works for ever.",
        "a URL of one second, %d ms later: status %d", EXPIRED_MS, bucket->status);
}

/* The object's address without what is signed, from a caller without a key. */
static void check_private(struct bucket *bucket) {
    const struct storage_presign what = {.method = "GET",
                                         .key = bucket->key,
                                         .expires_s = URL_SECONDS,
                                         .internal = true,
                                         .content_length = -1};
    char url[STORAGE_URL_MAX];

    if (storage_presign(bucket->storage, &what, url, sizeof url) != 0)
        return;
    url[strcspn(url, "?")] = '\0';
    ask(bucket, "GET", url, NULL, NULL);
    doctor_note(bucket->doctor, "bucket.private",
                bucket->status >= 400 && bucket->status < 500 ? VERDICT_OK : VERDICT_FAIL,
                "Anybody can read this bucket: take its public access away.",
                "without a signature: status %d", bucket->status);
}

static void check_cors(struct bucket *bucket) {
    char *origins = settings_store_origins(&bucket->doctor->settings);
    const struct storage_presign what = {.method = "PUT",
                                         .key = bucket->key,
                                         .expires_s = URL_SECONDS,
                                         .internal = true,
                                         .content_length = -1};
    char url[STORAGE_URL_MAX], origin[512];
    const char *const headers[] = {origin, "Access-Control-Request-Method: PUT",
                                   "Access-Control-Request-Headers: content-type", NULL};

    if (origins == NULL) {
        doctor_note(bucket->doctor, "bucket.cors", VERDICT_OK, "",
                    "no browser is expected: cors-origins is not set");
        return;
    }
    if (text_format(origin, sizeof origin, "Origin: %.*s", (int)strcspn(origins, ","), origins) == 0 &&
        storage_presign(bucket->storage, &what, url, sizeof url) == 0)
        ask(bucket, "OPTIONS", url, headers, NULL);
    doctor_note(bucket->doctor, "bucket.cors", bucket->status / 100 == 2 ? VERDICT_OK : VERDICT_WARN,
                "Browsers can't upload: let the bucket's CORS rule allow PUT with content-type from your "
                "app's and the console's origin.",
                "a browser's question from %.200s: status %d", origin + strlen("Origin: "), bucket->status);
    free(origins);
}

/* Signatures are good for a quarter of an hour around the store's own time. */
static void check_clock(struct bucket *bucket) {
    int64_t distance_s = bucket->skew_s < 0 ? -bucket->skew_s : bucket->skew_s;

    if (bucket->told)
        doctor_note(bucket->doctor, "bucket.clock",
                    distance_s > SKEW_MOST_S    ? VERDICT_FAIL
                    : distance_s > SKEW_USUAL_S ? VERDICT_WARN
                                                : VERDICT_OK,
                    "Let this machine follow NTP: URLs are signed by its clock and expire by the store's.",
                    "the store's is %lld s from ours", (long long)bucket->skew_s);
}

/* ---- all ---- */

static const struct wrong right = {.body = BODY, .type = "text/plain", .sha256 = BODY_SHA256};

/* Puts an object there; false: it can't be. */
static bool check_upload(struct bucket *bucket, const char *check) {
    char id[UUID_TEXT_SIZE];

    text_uuid4(id);
    (void)text_format(bucket->key, sizeof bucket->key, "doctor/%s", id);
    put(bucket, &right, bucket->key);
    doctor_note(bucket->doctor, check, bucket->status / 100 == 2 ? VERDICT_OK : VERDICT_FAIL,
                "Check endpoint, region, bucket and key, that the key may write, and this machine's clock.",
                "%s: %s %d", storage_provider_name(bucket->storage),
                bucket->status == 0 ? http_client_error_name(bucket->error) : "status", bucket->status);
    return bucket->status / 100 == 2;
}

static void check_delete(struct bucket *bucket, const char *check) {
    ask_key(bucket, "DELETE", bucket->key);
    doctor_note(bucket->doctor, check, bucket->status / 100 == 2 ? VERDICT_OK : VERDICT_FAIL,
                "The key must be allowed to delete: retention depends on it.", "status %d", bucket->status);
}

static void check_bucket(struct bucket *bucket) {
    bool there = check_upload(bucket, "bucket.upload");

    check_clock(bucket);
    if (!there)
        return;
    ask_key(bucket, "GET", bucket->key);
    doctor_note(bucket->doctor, "bucket.download",
                bucket->status == 200 && bucket->same ? VERDICT_OK : VERDICT_FAIL,
                "The key must be allowed to read, and what is read must be what was written.",
                "status %d, %s", bucket->status, bucket->same ? "the same bytes" : "other bytes");
    check_wrongs(bucket);
    check_expiry(bucket);
    check_private(bucket);
    check_cors(bucket);
    check_delete(bucket, "bucket.delete");
}

/* The bucket that media is published to, and whether its CDN leads there. */
static void check_published(struct bucket *bucket) {
    const char *cdn = bucket->doctor->settings.cdn_base_url;
    char url[STORAGE_URL_MAX];

    if (!check_upload(bucket, "publish.upload"))
        return;
    bucket->same = false;
    if (cdn != NULL &&
        text_format(url, sizeof url, "%s%s%s", cdn, text_ends_with(cdn, "/") ? "" : "/", bucket->key) == 0)
        ask(bucket, "GET", url, NULL, NULL);
    doctor_note(bucket->doctor, "publish.cdn", bucket->same ? VERDICT_OK : VERDICT_WARN,
                "Let FILEMILL_CDN_BASE_URL be where this bucket's objects are read by everybody.",
                "what was stored is %s there", bucket->same ? "read" : "not read");
    check_delete(bucket, "publish.delete");
}

static void doctor_published(struct bucket *bucket) {
    char error[256];

    bucket->storage = storage_new_published(&bucket->doctor->settings, error, sizeof error);
    if (bucket->storage != NULL)
        check_published(bucket);
    else if (error[0] != '\0')
        doctor_note(bucket->doctor, "publish.upload", VERDICT_FAIL, "Correct the option that is named.", "%s",
                    error);
    storage_free(bucket->storage);
}

void doctor_bucket(struct doctor *doctor) {
    struct bucket bucket = {.doctor = doctor};
    char error[256];

    bucket.http = http_client_new(doctor->loop, 2);
    bucket.storage = storage_new(&doctor->settings, error, sizeof error);
    if (bucket.storage != NULL)
        check_bucket(&bucket);
    else
        doctor_note(doctor, "bucket.upload", VERDICT_WARN,
                    "Start `filemill serve`, which has a store of its own, or name one; then ask again.",
                    "%s", error);
    storage_free(bucket.storage);
    doctor_published(&bucket);
    http_client_free(bucket.http);
}
