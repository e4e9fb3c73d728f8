/* SPDX-License-Identifier: MIT
 * The payload: one JSON object and nothing after it. Members that nobody reads are let pass, those that are
 * read are checked here; the schema itself is judged by the processor that fulfils it. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/buffer.h"
#include "lib/text.h"
#include "oneshot/contract.h"

#define CHUNK_BYTES 16384

static int read_all(int fd, struct buffer *text, struct contract_error *error) {
    char chunk[CHUNK_BYTES];
    ssize_t count;

    while ((count = read(fd, chunk, sizeof chunk)) != 0) {
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return contract_fail(error, "PAYLOAD_MISSING", "standard input: %s", strerror(errno));
        if (buffer_append(text, chunk, (size_t)count) != 0)
            return contract_fail(error, "PAYLOAD_INVALID", "the payload is larger than %u bytes",
                                 CONTRACT_PAYLOAD_MAX);
    }
    if (text->size == 0 || strspn(text->data, " \t\r\n") == text->size)
        return contract_fail(error, "PAYLOAD_MISSING", "standard input is empty");
    return 0;
}

/* A text that is there, or NULL: null and "" are as good as nothing. A member of another type is an error. */
static int read_text(json_t *object, const char *name, const char **target, struct contract_error *error) {
    const json_t *value = json_object_get(object, name);

    *target = NULL;
    if (value == NULL || json_is_null(value))
        return 0;
    if (!json_is_string(value))
        return contract_fail(error, "PAYLOAD_INVALID", "%s must be a text", name);
    if (strlen(json_string_value(value)) != json_string_length(value))
        return contract_fail(error, "PAYLOAD_INVALID", "%s holds a NUL", name);
    *target = json_string_length(value) == 0 ? NULL : json_string_value(value);
    return 0;
}

static int read_uuid(json_t *object, const char *name, const char **target, struct contract_error *error) {
    const char *text;

    if (read_text(object, name, &text, error) != 0)
        return -1;
    if (text == NULL)
        return contract_fail(error, "PAYLOAD_INVALID", "%s is missing", name);
    if (!text_is_uuid(text))
        return contract_fail(error, "PAYLOAD_INVALID", "%s is not a UUID", name);
    *target = text;
    return 0;
}

/* NULL after contract_fail. */
static json_t *read_object(json_t *object, const char *name, struct contract_error *error) {
    json_t *value = json_object_get(object, name);

    if (json_is_object(value))
        return value;
    (void)contract_fail(error, "PAYLOAD_INVALID", value == NULL ? "%s is missing" : "%s must be an object",
                        name);
    return NULL;
}

/* The path is the user's own, or it is refused. */
static int check_raw_path(const struct contract_payload *payload, struct contract_error *error) {
    struct portal_path parts;
    const char *refusal =
        portal_path_check(payload->raw_path, strlen(payload->raw_path), PORTAL_ANY_UUID, &parts);

    if (refusal != NULL)
        return contract_fail(error, "PAYLOAD_INVALID", "raw_path: %s", refusal);
    if (parts.area != PORTAL_RAW)
        return contract_fail(error, "PAYLOAD_INVALID", "raw_path must begin with raw/");
    if (strcasecmp(parts.user, payload->user) != 0)
        return contract_fail(error, "PAYLOAD_INVALID", "raw_path is another user's");
    return 0;
}

static int read_input(struct contract_payload *payload, struct contract_error *error) {
    json_t *input = read_object(payload->root, "input", error);
    const char *mime;

    if (input == NULL || read_text(input, "artifact_url", &payload->url, error) != 0 ||
        read_text(input, "raw_path", &payload->raw_path, error) != 0 ||
        read_text(input, "mime_type", &mime, error) != 0)
        return -1;
    payload->mime = mime == NULL ? "" : mime;
    if ((payload->url == NULL) == (payload->raw_path == NULL))
        return contract_fail(error, "PAYLOAD_INVALID",
                             "exactly one of artifact_url and raw_path must be given, not %s",
                             payload->url == NULL ? "neither" : "both");
    if (payload->url != NULL && !text_starts_with(payload->url, "https://") &&
        !text_starts_with(payload->url, "http://"))
        return contract_fail(error, "PAYLOAD_INVALID", "artifact_url must be an http or https URL");
    return payload->raw_path == NULL ? 0 : check_raw_path(payload, error);
}

static int read_storage(struct contract_payload *payload, struct contract_error *error) {
    json_t *store = json_object_get(payload->root, "storage");

    if (store == NULL || json_is_null(store))
        return 0;
    if (!json_is_object(store))
        return contract_fail(error, "PAYLOAD_INVALID", "storage must be an object");
    return read_text(store, "bucket", &payload->bucket, error) != 0 ||
                   read_text(store, "region", &payload->region, error) != 0 ||
                   read_text(store, "endpoint", &payload->endpoint, error) != 0
               ? -1
               : 0;
}

int contract_payload_read(struct contract_payload *payload, int fd, struct contract_error *error) {
    struct buffer text;
    json_error_t parsing;
    int status;

    memset(payload, 0, sizeof *payload);
    payload->mime = "";
    buffer_init(&text, CONTRACT_PAYLOAD_MAX);
    status = read_all(fd, &text, error);
    if (status == 0)
        payload->root = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &parsing);
    buffer_clear(&text);
    if (status != 0)
        return -1;
    if (payload->root == NULL)
        return contract_fail(error, "PAYLOAD_INVALID", "malformed JSON: %s, line %d", parsing.text,
                             parsing.line);
    if (!json_is_object(payload->root))
        return contract_fail(error, "PAYLOAD_INVALID", "the payload must be one JSON object");
    if (read_uuid(payload->root, "job_id", &payload->job, error) != 0 ||
        read_uuid(payload->root, "user_id", &payload->user, error) != 0)
        return -1;
    payload->schema = read_object(payload->root, "portal_schema", error);
    return payload->schema == NULL || read_input(payload, error) != 0 ? -1 : read_storage(payload, error);
}

void contract_payload_clear(struct contract_payload *payload) {
    json_decref(payload->root);
    payload->root = NULL;
}
