/* SPDX-License-Identifier: MIT
 * The content of files, derivatives and portal artifacts, by token or by a signed link; and the public key
 * that clients encrypt to. A link names its maker: it opens what that one may still see when it is used, for
 * as long as it is good. */
#include "gateway/content.h"
#include "gateway/json.h"
#include "gateway/module.h"
#include "lib/clock.h"
#include "lib/memory.h"
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[CONTENT_KIND_COUNT] = {
    [CONTENT_FILE] = "file", [CONTENT_DERIVATIVE] = "derivative", [CONTENT_ARTIFACT] = "artifact"};

/* A row that says sealed and has no seal is damaged: never taken for plain. */
#define SEAL "case when f.sealed then coalesce(k.seal, 'missing') end as seal"
static const struct statement original = {
    "content_original",
    "select f.etag, " SEAL " from files f left join object_keys k on f.sealed and k.key = f.r2_key_original "
    "where f.id = $1::uuid",
    1};
static const struct statement derivative = {"content_derivative",
                                            "select d.r2_key as key, d.mime, d.size_bytes, d.sha256, k.seal "
                                            "from file_derivatives d left join object_keys k "
                                            "on k.key = d.r2_key where d.file_id = $1::uuid and d.kind = $2",
                                            2};
/* Of portals' jobs, and of word lists while they are kept. */
static const struct statement artifact = {
    "content_artifact",
    "select a.r2_key as key, a.mime, a.size_bytes, a.sha256, k.seal, (select w.name from wordlists w where "
    "w.id = a.file_id) as list from document_artifacts a left join object_keys k on k.key = a.r2_key where "
    "a.job_id = $1::uuid and a.kind = $2 and (exists (select from portal_jobs p where p.job_id = a.job_id) "
    "or exists (select from jobs j join files f on f.id = a.file_id join retention_classes c on c.name = "
    "f.retention_class where j.id = a.job_id and j.type in ('wordlist', 'wordlist_export') and j.user_id = "
    "filemill_user() and a.created_at > now() - c.keep))",
    2};

/* ---- files and derivatives ---- */

static struct content *content_of(struct call *call, struct file_view *file) {
    struct content *content = memory_new(sizeof *content);
    content->call = call;
    file->work = content;
    file->work_clear = content_clear;
    return content;
}

/* The store's ETag without its quotes serves as ours. */
static void take_etag(struct content *content) {
    size_t size = strlen(content->store_etag);
    bool quoted = size >= 2 && content->store_etag[0] == '"' && content->store_etag[size - 1] == '"';
    (void)text_format(content->etag, sizeof content->etag, "%.*s", (int)(quoted ? size - 2 : 0),
                      content->store_etag + (quoted ? 1 : 0));
}

static void found_original(struct call *call, const struct database_answer *answer) {
    struct file_view *file = call->state;
    const struct database_result *result = answer->results[0];
    if (result_rows(result) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    if (file_answer_elsewhere(call, file->key)) {
        return;
    }
    struct content *content = content_of(call, file);
    (void)text_copy(content->key, sizeof content->key, file->key);
    (void)text_copy(content->mime, sizeof content->mime,
                    file->detected_mime[0] != '\0' ? file->detected_mime : file->mime);
    (void)text_copy(content->filename, sizeof content->filename, file->filename);
    result_copy(content->seal, sizeof content->seal, result, 0, "seal");
    result_copy(content->store_etag, sizeof content->store_etag, result, 0, "etag");
    take_etag(content);
    content->size_bytes = (uint64_t)file->size_bytes;
    content_answer(call, content);
}

static void look_for_original(struct call *call, struct file_view *file) {
    if (strcmp(file->status, "uploading") == 0) {
        call_problem(call, PROBLEM_NOT_FINALIZED, NULL);
        return;
    }
    const struct query query = {.statement = &original, .values = {file->id}};
    call_read(call, &query, 1, found_original);
}

static void handle_file_content(struct call *call) {
    file_look(call, call->parameters[0], FILE_ACCESS_LINK, look_for_original);
}

/* What the rows of derivatives and artifacts have alike. */
void content_take_row(struct content *content, const struct database_result *result) {
    result_copy(content->key, sizeof content->key, result, 0, "key");
    result_copy(content->mime, sizeof content->mime, result, 0, "mime");
    result_copy(content->seal, sizeof content->seal, result, 0, "seal");
    result_copy(content->etag, sizeof content->etag, result, 0, "sha256");
    content->size_bytes = (uint64_t)result_number(result, 0, "size_bytes");
}

static void found_derivative(struct call *call, const struct database_answer *answer) {
    struct file_view *file = call->state;
    if (result_rows(answer->results[0]) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    if (file_answer_elsewhere(call, result_text(answer->results[0], 0, "key"))) {
        return;
    }
    struct content *content = content_of(call, file);
    content_take_row(content, answer->results[0]);
    file_name_derivative(content->filename, sizeof content->filename, file->filename, call->parameters[1],
                         content->key);
    content_answer(call, content);
}

static void look_for_derivative(struct call *call, struct file_view *file) {
    const struct query query = {.statement = &derivative, .values = {file->id, call->parameters[1]}};
    call_read(call, &query, 1, found_derivative);
}

static void handle_derivative_content(struct call *call) {
    file_look(call, call->parameters[0], FILE_ACCESS_LINK, look_for_derivative);
}

/* ---- artifacts ---- */

static void found_artifact(struct call *call, const struct database_answer *answer) {
    struct content *content = call->state;
    const char *name;
    size_t size;
    if (result_rows(answer->results[0]) == 0) {
        call_problem(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    content_take_row(content, answer->results[0]);
    const char *list = result_text(answer->results[0], 0, "list");
    name = strrchr(content->key, '/');
    (void)text_copy(content->filename, sizeof content->filename, name != NULL ? name + 1 : "");
    if (list != NULL) { /* an export is named as its list */
        (void)text_format(content->filename, sizeof content->filename, "%s.%s", list, call->parameters[1]);
    }
    size = strlen(content->filename);
    if (text_ends_with(content->filename, ".enc")) {
        content->filename[size - strlen(".enc")] = '\0';
    }
    content_answer(call, content);
}

static void handle_artifact_content(struct call *call) {
    struct content *content = call_state(call, sizeof *content, content_clear);
    content->call = call;
    const struct query query = {.statement = &artifact, .values = {call->parameters[0], call->parameters[1]}};
    call_read(call, &query, 1, found_artifact);
}

/* ---- signed links ---- */

/* What a link says, and so what its signature covers. */
struct link {
    const char *of, *id, *kind, *user, *expires;
};

static void link_text(char *target, size_t size, const struct link *link) {
    (void)text_format(target, size, "content\n%s\n%s\n%s\n%s\n%s", link->of, link->id, link->kind, link->user,
                      link->expires);
}

#define LINK_TEXT_MAX 256 /* a choice, two UUIDs, a name of 64 and a number */

int content_link(const struct call *call, enum content_kind of, const char *id, const char *kind,
                 int64_t expires_s, char url[STORAGE_URL_MAX]) {
    const struct settings *settings = &call->gateway->settings;
    char text[LINK_TEXT_MAX], signature[KEYRING_LINK_TEXT], expires[24], own[96];
    const char *base = settings->public_url;
    (void)text_format(expires, sizeof expires, "%lld", (long long)(clock_wall_ms() / 1000 + expires_s));
    const struct link link = {kind_names[of], id, kind, call->user, expires};
    link_text(text, sizeof text, &link);
    if (keyring_link(call->gateway->keyring, text, signature) != 0) {
        return -1;
    }
    if (base == NULL) {
        (void)text_format(own, sizeof own, "http://%s:%lld", settings->gateway_address,
                          (long long)settings->gateway_port);
        base = own;
    }
    size_t length = strlen(base);
    length -= length > 0 && base[length - 1] == '/' ? 1 : 0;
    return text_format(url, STORAGE_URL_MAX,
                       "%.*s/v1/content?of=%s&id=%s&kind=%s&user=%s&expires=%s&signature=%s", (int)length,
                       base, kind_names[of], id, kind, call->user, expires, signature);
}

int content_place_link(const struct call *call, const struct content_place *place,
                       char url[STORAGE_URL_MAX]) {
    if (place->sealed) {
        return content_link(call, place->of, place->id, place->kind, place->expires_s, url);
    }
    char *disposition = memory_format("attachment; filename=\"%s\"", place->filename);
    int status = storage_presign(call->gateway->storage,
                                 &(struct storage_presign){.method = "GET",
                                                           .key = place->key,
                                                           .expires_s = place->expires_s,
                                                           .content_length = -1,
                                                           .response_disposition = disposition},
                                 url, STORAGE_URL_MAX);
    free(disposition);
    return status;
}

static const struct {
    const char *of;
    void (*handler)(struct call *call);
} link_handlers[CONTENT_KIND_COUNT] = {[CONTENT_FILE] = {"file", handle_file_content},
                                       [CONTENT_DERIVATIVE] = {"derivative", handle_derivative_content},
                                       [CONTENT_ARTIFACT] = {"artifact", handle_artifact_content}};

static void handle_link(struct call *call) {
    const char *of = call_query_value(call, "of");
    const char *expires = call_query_value(call, "expires");
    char text[LINK_TEXT_MAX];
    uint64_t until;
    (void)text_copy(call->parameters[0], sizeof call->parameters[0], call_query_value(call, "id"));
    (void)text_copy(call->parameters[1], sizeof call->parameters[1], call_query_value(call, "kind"));
    const struct link link = {of, call->parameters[0], call->parameters[1], call_query_value(call, "user"),
                              expires};
    link_text(text, sizeof text, &link);
    if (text_parse_u64(expires, 0, INT64_MAX, &until) != 0 || until < (uint64_t)(clock_wall_ms() / 1000) ||
        !keyring_link_is_good(call->gateway->keyring, text, call_query_value(call, "signature"))) {
        call_problem(call, PROBLEM_LINK_REFUSED, NULL);
        return;
    }
    (void)text_copy(call->user, sizeof call->user, call_query_value(call, "user"));
    for (size_t i = 0; i < CONTENT_KIND_COUNT; i++) {
        if (strcmp(link_handlers[i].of, of) == 0) {
            link_handlers[i].handler(call);
        }
    }
}

/* ---- the key that clients encrypt to ---- */

static void handle_key(struct call *call) {
    unsigned char public[KEYRING_PUBLIC_BYTES];
    char x[64];
    if (keyring_public(call->gateway->keyring, public) != 0 ||
        text_base64url_encode(x, sizeof x, public, sizeof public) != 0) {
        call_problem(call, PROBLEM_NOT_ENCRYPTED, NULL);
        return;
    }
    call_respond_take(
        call, 200,
        memory_format("{\"algorithm\":\"AES-256-GCM-STREAM\",\"wrapping\":\"HPKE-X25519-SHA256-AES256GCM\","
                      "\"info\":\"%s\",\"chunk_bytes\":%u,\"key\":{\"kty\":\"OKP\",\"crv\":\"X25519\","
                      "\"use\":\"enc\",\"kid\":\"%s\",\"x\":\"%s\"}}",
                      KEYRING_INFO, ENVELOPE_CHUNK_BYTES, keyring_id(call->gateway->keyring), x));
}

static const struct field link_query[] = {
    {"of", FIELD_CHOICE, true, 0, 0, "file|derivative|artifact", "What the link names."},
    {"id", FIELD_UUID, true, 0, 0, NULL, "The file, or the job."},
    {"kind", FIELD_TEXT, true, 1, 64, NULL,
     "Which of its derivatives or artifacts; \"original\" for the file."},
    {"user", FIELD_UUID, true, 0, 0, NULL, "Who made the link."},
    {"expires", FIELD_INTEGER, true, 0, INT64_C(99999999999), NULL,
     "Until when it is good, in seconds since 1970."},
    {"signature", FIELD_SHA256, true, 0, 0, NULL, "Made with the link."},
};

#define CONTENT_PROBLEMS                                                                                     \
    PROBLEM_NOT_FOUND, PROBLEM_FORBIDDEN, PROBLEM_OBJECT_NOT_FOUND, PROBLEM_OBJECT_CHANGED,                  \
        PROBLEM_CONDITION_FAILED, PROBLEM_RANGE_REFUSED, PROBLEM_DECRYPT_FAILED, PROBLEM_KEY_UNAVAILABLE,    \
        PROBLEM_BUSY, PROBLEM_STORAGE_UNAVAILABLE

static const struct route routes[] = {
    {.method = "GET",
     .pattern = "/v1/files/:id/content",
     .operation = "readFile",
     .flags = ROUTE_READS,
     .handler = handle_file_content,
     .summary = "The original's bytes, decrypted; one Range, If-Range, If-Match, If-None-Match.",
     .success = 200,
     .problems = {CONTENT_PROBLEMS, PROBLEM_NOT_FINALIZED}},
    {.method = "GET",
     .pattern = "/v1/files/:id/derivatives/:kind/content",
     .operation = "readDerivative",
     .flags = ROUTE_READS,
     .handler = handle_derivative_content,
     .summary = "A derivative's bytes, the same way.",
     .success = 200,
     .problems = {CONTENT_PROBLEMS}},
    {.method = "GET",
     .pattern = "/v1/jobs/:id/artifacts/:kind/content",
     .operation = "readArtifact",
     .flags = ROUTE_READS,
     .handler = handle_artifact_content,
     .summary = "The bytes of what a portal's job made, the same way.",
     .success = 200,
     .problems = {CONTENT_PROBLEMS}},
    {.method = "GET",
     .pattern = "/v1/content",
     .operation = "readByLink",
     .flags = 0,
     .handler = handle_link,
     ROUTE_QUERY(link_query),
     .summary = "The same by a signed link, without a token.",
     .success = 200,
     .problems = {CONTENT_PROBLEMS, PROBLEM_LINK_REFUSED, PROBLEM_NOT_FINALIZED}},
    {.method = "GET",
     .pattern = "/v1/encryption/key",
     .operation = "getEncryptionKey",
     .flags = ROUTE_READS,
     .handler = handle_key,
     .summary = "The public key that clients encrypt their data keys to.",
     .success = 200,
     .response = "EncryptionKey",
     .problems = {PROBLEM_NOT_ENCRYPTED}},
};

static const struct answer_row answers[] = {
    {.name = "EncryptionKey",
     .members = "algorithm:text wrapping:text info:text chunk_bytes:integer key:object"},
};

const struct gateway_module content_module = {
    .name = "content", MODULE_ROUTES(routes), MODULE_ANSWERS(answers)};
