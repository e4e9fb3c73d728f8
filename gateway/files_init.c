/* SPDX-License-Identifier: MIT
 * POST /v1/files/init-upload: one row, one transaction, one presigned PUT that binds the declared type and
 * length and, where given, the SHA-256. */
#include "gateway/call.h"
#include "gateway/handlers.h"
#include "gateway/json.h"
#include "gateway/statements.h"
#include "lib/buffer.h"
#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "storage/keyring.h"
#include "storage/keys.h"
#include "storage/portal_paths.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX (6u * (STORAGE_URL_MAX + KEY_MAX) + 4096u) /* every byte of the longest texts escaped */
#define DOCUMENTS_CLASS "document-uploads"

struct upload {
    char file[UUID_TEXT_SIZE];
    char tenant[UUID_TEXT_SIZE];
    char key[KEY_MAX + 1];
    char url[STORAGE_URL_MAX];
    char sha256[65];   /* "" when not given */
    char checksum[48]; /* the same in base64 */
    char seal[KEYRING_SEAL_MAX]; /* "": the bytes come plain */
    char *answer;
};

static const struct field encryption_fields[] = {
    {"algorithm", FIELD_CHOICE, true, 0, 0, "AES-256-GCM-STREAM", ""},
    {"wrapped_key", FIELD_TEXT, true, 1, 200, NULL, ""},
};

/* The key that came is wrapped anew, by a master key and for this object alone. */
static const struct statement insert_seal = {
    "upload_insert_seal",
    "with f as (update files set sealed = true where id = $1::uuid returning id, r2_key_original) "
    "insert into object_keys (key, file_id, seal, stored_bytes, by_client) select r2_key_original, id, $2, $3::bigint, "
    "true from f",
    3};

/* A document for a word list: the rest until the next begins with it (sql/migrations/0076_upload_rest.sql). */
static const struct statement begin_rest = {"upload_begin_rest",
                                            "select upload_rest_begin($1::uuid, $2::bigint)", 2};

static void clear_upload(void *state) {
    struct upload *upload = state;
    free(upload->answer);
}

static void take_checksum(struct upload *upload, const char *hex) {
    unsigned char digest[32];
    if (hex == NULL || text_hex_decode(digest, sizeof digest, hex) != 0) {
        return;
    }
    text_hex_encode(upload->sha256, digest, sizeof digest);
    EVP_EncodeBlock((unsigned char *)upload->checksum, digest, sizeof digest);
}

static int make_key(struct call *call, struct upload *upload, const char *filename) {
    const char *layout = json_text_member(call->body, "layout");
    const char *retention_class = json_text_member(call->body, "retention_class");
    char extension[17];
    if (retention_class != NULL) {
        key_extension(extension, sizeof extension, filename);
        return key_retained(upload->key, sizeof upload->key, retention_class, call->user, upload->file,
                            extension);
    }
    if (layout != NULL && strcmp(layout, "raw") == 0) {
        return portal_path_raw(upload->key, sizeof upload->key, call->user, upload->file,
                               (uint64_t)(clock_wall_ms() / 1000), filename);
    }
    key_extension(extension, sizeof extension, filename);
    return key_original(upload->key, sizeof upload->key, upload->tenant, call->user, upload->file, extension);
}

static int presign(struct call *call, struct upload *upload, const char *mime, int64_t size_bytes) {
    return storage_presign(call->gateway->storage,
                           &(struct storage_presign){
                               .method = "PUT",
                               .key = upload->key,
                               .expires_s = call->gateway->settings.upload_url_seconds,
                               .content_type = mime,
                               .content_length = upload->seal[0] == '\0'
                                                     ? size_bytes
                                                     : (int64_t)envelope_sealed_bytes((uint64_t)size_bytes,
                                                                                      ENVELOPE_CHUNK_BYTES),
                               .checksum_sha256 = upload->checksum[0] != '\0' ? upload->checksum : NULL,
                           },
                           upload->url, sizeof upload->url);
}

static void append_member(struct buffer *body, const char *before, const char *text) {
    (void)buffer_append_text(body, before);
    json_append(body, text);
}

/* The checksum header is asked for only where the URL binds it: some providers can't. Written without a tree:
 * this is the hottest answer. */
static char *make_answer(const struct call *call, const struct upload *upload, const char *mime) {
    struct buffer body;
    buffer_init(&body, ANSWER_MAX);
    append_member(&body, "{\"file_id\":", upload->file);
    append_member(&body, ",\"r2_key\":", upload->key);
    append_member(&body, ",\"upload_url\":", upload->url);
    append_member(&body, ",\"required_headers\":{\"Content-Type\":", mime);
    if (upload->checksum[0] != '\0' && strstr(upload->url, "x-amz-checksum-sha256") != NULL) {
        append_member(&body, ",\"x-amz-checksum-sha256\":", upload->checksum);
    }
    if (buffer_append_format(&body, "},\"expires_in_seconds\":%lld}",
                             (long long)call->gateway->settings.upload_url_seconds) != 0) {
        fatal("an answer over its ceiling");
    }
    return buffer_take(&body, NULL);
}

static void judged(struct call *call, const struct database_answer *answer) {
    bool member = result_text(answer->results[0], 0, "role") != NULL;
    call_problem(call, member ? PROBLEM_INSUFFICIENT_ROLE : PROBLEM_NOT_A_MEMBER, NULL);
}

static void inserted(struct call *call, const struct database_answer *answer) {
    struct upload *upload = call->state;
    if (result_affected(answer->results[0]) == 1) {
        counter_add(COUNT_UPLOADS_STARTED, 1);
        call_respond(call, 200, upload->answer);
        return;
    }
    const struct query query = {.statement = &statements[STATEMENT_ROLE], .values = {upload->tenant}};
    call_read(call, &query, 1, judged);
}

static void tell_class(struct call *call, const struct database_answer *answer) {
    json_t *why = json_loads(answer->message, 0, NULL);
    const char *reason = json_text_member(why, "reason");
    if (reason != NULL && strcmp(reason, "size") == 0) {
        call_problem_with(call, PROBLEM_CLASS_SIZE, NULL, json_incref(why));
    } else {
        call_problem(call, PROBLEM_CLASS_TYPE, NULL);
    }
    json_decref(why);
}

/* What the rules of its retention class say (sql/migrations/0048_retention.sql). */
static const struct call_refusal refusals[] = {{.sqlstate = "FM010", .tell = tell_class}, {.sqlstate = NULL}};

/* False when the call is answered. */
static bool take_encryption(struct call *call, struct upload *upload, const json_t *encryption) {
    const struct field_rows rows = {encryption_fields, sizeof encryption_fields / sizeof encryption_fields[0], 0};
    unsigned char key[ENVELOPE_KEY_BYTES];
    if (encryption == NULL) {
        return true;
    }
    json_t *details = fields_check(&rows, encryption);
    if (details != NULL) {
        call_problem_with(call, PROBLEM_BAD_REQUEST, NULL,
                          json_pack("{s:s,s:o}", "member", "encryption", "details", details));
        return false;
    }
    if (keyring_is_empty(call->gateway->keyring)) {
        call_problem(call, PROBLEM_NOT_ENCRYPTED, NULL);
        return false;
    }
    if (keyring_receive(call->gateway->keyring, json_text_member(encryption, "wrapped_key"), key) != 0) {
        call_problem(call, PROBLEM_BAD_ENVELOPE, "wrapped_key is not encrypted to a key of this server.");
        return false;
    }
    int status = keyring_wrap(call->gateway->keyring, upload->key, key, upload->seal);
    explicit_bzero(key, sizeof key);
    upload->checksum[0] = '\0'; /* the hash is of the plain bytes: the store can't check it */
    if (status != 0) {
        call_problem(call, PROBLEM_INTERNAL, NULL);
    }
    return status == 0;
}

/* What a file's row brings with it. */
static void insert(struct call *call, struct upload *upload, const struct query *file) {
    const char *retention_class = json_text_member(call->body, "retention_class");
    int64_t rest_seconds = call->gateway->settings.wordlist_cooldown_seconds;
    char stored[24], rest[24];
    struct query queries[3] = {*file};
    size_t count = 1;
    (void)text_format(stored, sizeof stored, "%llu",
                      (unsigned long long)envelope_sealed_bytes(
                          (uint64_t)json_integer_value(json_object_get(call->body, "size_bytes")),
                          ENVELOPE_CHUNK_BYTES));
    (void)text_format(rest, sizeof rest, "%lld", (long long)rest_seconds);
    if (upload->seal[0] != '\0') {
        queries[count++] =
            (struct query){.statement = &insert_seal, .values = {upload->file, upload->seal, stored}};
    }
    if (rest_seconds > 0 && retention_class != NULL && strcmp(retention_class, DOCUMENTS_CLASS) == 0) {
        queries[count++] = (struct query){.statement = &begin_rest, .values = {upload->file, rest}};
    }
    call_write(call, &(struct call_effect){
                         .queries = queries,
                         .count = count,
                         .on_answer = inserted,
                         .refusals = refusals,
                         .known_status = 200,
                         .known_body = upload->answer,
                         .proof_file = upload->file,
                     });
}

void handle_file_init(struct call *call) {
    const char *filename = json_text_member(call->body, "filename");
    const char *mime = json_text_member(call->body, "mime");
    const char *visibility = json_text_member(call->body, "visibility");
    int64_t size_bytes = json_integer_value(json_object_get(call->body, "size_bytes"));
    char size[24];
    char minutes[24];
    struct upload *upload = call_state(call, sizeof *upload, clear_upload);
    text_uuid7(upload->file);
    if (json_object_get(call->body, "layout") != NULL) {
        text_uuid4(upload->file); /* a job of a portal may take it on */
    }
    text_copy(upload->tenant, sizeof upload->tenant, json_text_member(call->body, "tenant_id"));
    fields_lower(upload->tenant);
    take_checksum(upload, json_text_member(call->body, "sha256"));
    if (make_key(call, upload, filename) != 0) {
        call_problem(call, PROBLEM_INTERNAL, NULL);
        return;
    }
    if (!take_encryption(call, upload, json_object_get(call->body, "encryption"))) {
        return;
    }
    if (presign(call, upload, mime, size_bytes) != 0) {
        call_problem(call, PROBLEM_INTERNAL, NULL);
        return;
    }
    upload->answer = make_answer(call, upload, mime);
    (void)text_format(size, sizeof size, "%lld", (long long)size_bytes);
    (void)text_format(minutes, sizeof minutes, "%lld",
                      (long long)call->gateway->settings.upload_expiry_minutes);
    insert(call, upload,
           &(const struct query){
               .statement = &statements[STATEMENT_FILE_INSERT],
               .values = {upload->file, upload->tenant, visibility != NULL ? visibility : "private", upload->key,
                          mime, size, upload->sha256[0] != '\0' ? upload->sha256 : NULL, filename, minutes,
                          json_text_member(call->body, "retention_class")},
           });
}
