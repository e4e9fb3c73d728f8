/* SPDX-License-Identifier: MIT
 * The field tables. PROTOCOL.md shows them with who may send what; tests/unit/message_test.c keeps both
 * alike. */
#include "proto/fields.h"

#define MAX_NUMBER ((uint64_t)INT64_MAX) /* what Postgres' bigint holds */
#define MAX_UUID 36
#define MAX_NAME 64
#define MAX_SHA256 64
#define MAX_MIME 200
#define MAX_KEY 1024
#define MAX_URL 4096
#define MAX_DETAIL 800
#define MAX_SEAL 159
#define MAX_JSON (16u * 1024u)
#define MAX_PARAMETERS (48u * 1024u) /* a model of labels may be among them */

#define AT(owner, field) .offset = offsetof(struct owner, field)
#define TEXT(wire, owner, field, limit)                                                                      \
    { .number = wire, .kind = FIELD_TEXT, AT(owner, field), .max = limit }
#define PROSE(wire, owner, field, limit)                                                                     \
    { .number = wire, .kind = FIELD_PROSE, AT(owner, field), .max = limit }
#define UUID(wire, owner, field)                                                                             \
    { .number = wire, .kind = FIELD_UUID, AT(owner, field), .max = MAX_UUID }
#define SHA256(wire, owner, field)                                                                           \
    { .number = wire, .kind = FIELD_SHA256, AT(owner, field), .max = MAX_SHA256 }
#define NUMBER(wire, owner, field, limit)                                                                    \
    { .number = wire, .kind = FIELD_NUMBER, AT(owner, field), .max = limit }
#define BOOL(wire, owner, field)                                                                             \
    { .number = wire, .kind = FIELD_BOOL, AT(owner, field), .max = 1 }
#define NEED_TEXT(wire, owner, field, limit)                                                                 \
    { .number = wire, .kind = FIELD_TEXT, .required = true, AT(owner, field), .max = limit }
#define NEED_UUID(wire, owner, field)                                                                        \
    { .number = wire, .kind = FIELD_UUID, .required = true, AT(owner, field), .max = MAX_UUID }
#define NEED_NUMBER(wire, owner, field, limit)                                                               \
    { .number = wire, .kind = FIELD_NUMBER, .required = true, AT(owner, field), .max = limit }
#define LIST(wire, owner, field, count, limit, rows)                                                         \
    {                                                                                                        \
        .number = wire, .kind = FIELD_LIST, AT(owner, field), .max = limit,                                  \
        .count_offset = offsetof(struct owner, count), .item_size = sizeof(((struct owner *)0)->field[0]),   \
        .items = rows, .item_rows = sizeof rows / sizeof rows[0]                                             \
    }

static const struct field_row output_fields[] = {
    NEED_TEXT(1, message_output, kind, MAX_NAME),      NEED_TEXT(2, message_output, key, MAX_KEY),
    TEXT(3, message_output, mime, MAX_MIME),           TEXT(4, message_output, url, MAX_URL),
    NUMBER(5, message_output, size_bytes, MAX_NUMBER), SHA256(6, message_output, sha256),
    TEXT(7, message_output, metadata, MAX_JSON),       TEXT(8, message_output, source, MAX_URL),
    SHA256(9, message_output, data_key),               SHA256(10, message_output, source_key),
    TEXT(11, message_output, seal, MAX_SEAL),          NUMBER(12, message_output, stored_bytes, MAX_NUMBER),
    SHA256(13, message_output, stored_sha256),
};

static const struct field_row url_fields[] = {
    NEED_TEXT(1, message_url, key, MAX_KEY),
    TEXT(2, message_url, url, MAX_URL),
};

static const struct field_row part_fields[] = {
    NEED_TEXT(1, message_part, url, MAX_URL),
    NUMBER(2, message_part, size_bytes, MAX_NUMBER),
    SHA256(3, message_part, sha256),
    SHA256(4, message_part, key),
};

static const struct field_row hello_fields[] = {
    NEED_NUMBER(1, message_hello, version, MAX_NUMBER),
    NEED_TEXT(2, message_hello, role, MAX_NAME),
    NEED_TEXT(3, message_hello, node, MAX_NAME),
    NEED_TEXT(4, message_hello, name, MAX_NAME),
    NEED_UUID(5, message_hello, generation),
    NUMBER(6, message_hello, pid, MAX_NUMBER),
    NUMBER(7, message_hello, slots, MAX_NUMBER),
    NUMBER(8, message_hello, memory_bytes, MAX_NUMBER),
    TEXT(9, message_hello, sandbox, 255),
    TEXT(10, message_hello, engines, MESSAGE_ENGINES_SIZE - 1),
};

static const struct field_row welcome_fields[] = {
    NEED_NUMBER(1, message_welcome, version, MAX_NUMBER),
    NEED_UUID(2, message_welcome, scheduler),
};

static const struct field_row credit_fields[] = {
    NUMBER(1, message_credit, tasks, 100000),
    NUMBER(2, message_credit, memory_bytes, MAX_NUMBER),
    NUMBER(3, message_credit, light, 100000),
    NUMBER(4, message_credit, network, 100000),
};

static const struct field_row task_fields[] = {
    NEED_UUID(1, message_task, job),
    NEED_NUMBER(2, message_task, epoch, MAX_NUMBER),
    NEED_TEXT(3, message_task, type, MAX_NAME),
    UUID(4, message_task, file),
    UUID(5, message_task, tenant),
    TEXT(6, message_task, trace, MAX_NAME),
    NUMBER(7, message_task, attempt, MAX_NUMBER),
    TEXT(8, message_task, input_url, MAX_URL),
    NUMBER(9, message_task, input_bytes, MAX_NUMBER),
    TEXT(10, message_task, input_mime, MAX_MIME),
    TEXT(11, message_task, input_etag, 256),
    SHA256(12, message_task, input_sha256),
    TEXT(13, message_task, parameters, MAX_PARAMETERS),
    NUMBER(14, message_task, wall_ms, MAX_NUMBER),
    NUMBER(15, message_task, no_progress_ms, MAX_NUMBER),
    NUMBER(16, message_task, cpu_seconds, MAX_NUMBER),
    NUMBER(17, message_task, memory_bytes, MAX_NUMBER),
    NUMBER(18, message_task, output_bytes, MAX_NUMBER),
    NUMBER(19, message_task, pages, MAX_NUMBER),
    NUMBER(20, message_task, pixels, MAX_NUMBER),
    LIST(21, message_task, outputs, output_count, MESSAGE_MAX_OUTPUTS, output_fields),
    NUMBER(22, message_task, range_pages, MAX_NUMBER),
    NUMBER(23, message_task, ranges, MESSAGE_MAX_PARTS),
    BOOL(24, message_task, joins),
    LIST(25, message_task, parts, part_count, MESSAGE_MAX_PARTS, part_fields),
    SHA256(26, message_task, input_key), /* a key has the shape of a hash */
    BOOL(27, message_task, input_unmeasured),
};

static const struct field_row progress_fields[] = {
    NEED_UUID(1, message_progress, job),
    NEED_NUMBER(2, message_progress, epoch, MAX_NUMBER),
    NUMBER(3, message_progress, done, MAX_NUMBER),
    NUMBER(4, message_progress, total, MAX_NUMBER),
};

static const struct field_row result_fields[] = {
    NEED_UUID(1, message_result, job),
    NEED_NUMBER(2, message_result, epoch, MAX_NUMBER),
    NEED_NUMBER(3, message_result, outcome, OUTCOME_FAILED),
    TEXT(4, message_result, error, MAX_NAME),
    PROSE(5, message_result, detail, MAX_DETAIL),
    TEXT(6, message_result, stage, MAX_NAME),
    BOOL(7, message_result, retryable),
    BOOL(8, message_result, crash),
    SHA256(9, message_result, input_sha256),
    NUMBER(10, message_result, input_bytes, MAX_NUMBER),
    NUMBER(11, message_result, cpu_ms, MAX_NUMBER),
    NUMBER(12, message_result, peak_rss_bytes, MAX_NUMBER),
    NUMBER(13, message_result, fetch_ms, MAX_NUMBER),
    NUMBER(14, message_result, parse_ms, MAX_NUMBER),
    NUMBER(15, message_result, store_ms, MAX_NUMBER),
    NUMBER(16, message_result, pages, MAX_NUMBER),
    TEXT(17, message_result, metrics, MAX_JSON),
    LIST(18, message_result, outputs, output_count, MESSAGE_MAX_OUTPUTS, output_fields),
    TEXT(19, message_result, split, MESSAGE_SPLIT_SIZE - 1),
    TEXT(20, message_result, calls, MESSAGE_CALLS_SIZE - 1),
};

static const struct field_row release_fields[] = {
    NEED_UUID(1, message_release, job),
    NEED_NUMBER(2, message_release, epoch, MAX_NUMBER),
    TEXT(3, message_release, reason, MAX_NAME),
};

static const struct field_row cancel_fields[] = {
    NEED_UUID(1, message_cancel, job),
    NUMBER(2, message_cancel, epoch, MAX_NUMBER),
};

static const struct field_row drain_fields[] = {
    NUMBER(1, message_drain, deadline_ms, MAX_NUMBER),
};

static const struct field_row poke_fields[] = {
    NUMBER(1, message_poke, jobs, MAX_NUMBER),
};

static const struct field_row event_fields[] = {
    NEED_UUID(1, message_event, file),
    UUID(2, message_event, tenant),
    NUMBER(3, message_event, event, MAX_NUMBER),
};

static const struct field_row delete_fields[] = {
    NUMBER(1, message_delete, batch, MAX_NUMBER),
    LIST(2, message_delete, objects, object_count, MESSAGE_MAX_URLS, url_fields),
};

static const struct field_row deleted_fields[] = {
    NUMBER(1, message_deleted, batch, MAX_NUMBER),
    LIST(2, message_deleted, objects, object_count, MESSAGE_MAX_URLS, url_fields),
};

static const struct field_row ping_fields[] = {
    NUMBER(1, message_ping, nonce, UINT64_MAX),
};

static const struct field_row pause_fields[] = {
    NEED_TEXT(1, message_pause, type, MAX_NAME),
    BOOL(2, message_pause, resume),
};

static const struct field_row delivery_fields[] = {
    NEED_UUID(1, message_delivery, id),
    NEED_NUMBER(2, message_delivery, epoch, MAX_NUMBER),
    TEXT(3, message_delivery, url, 2048),
    TEXT(4, message_delivery, message, MAX_NAME),
    NUMBER(5, message_delivery, timestamp, MAX_NUMBER),
    TEXT(6, message_delivery, signature, 255),
    TEXT(7, message_delivery, body, MESSAGE_MAX_WEBHOOK),
    NUMBER(8, message_delivery, timeout_ms, MAX_NUMBER),
    NUMBER(9, message_delivery, status, 999),
    TEXT(10, message_delivery, error, MAX_NAME),
    NUMBER(11, message_delivery, latency_ms, MAX_NUMBER),
    NUMBER(12, message_delivery, retry_after_s, MAX_NUMBER),
    PROSE(13, message_delivery, excerpt, 1024),
    TEXT(14, message_delivery, trace, MAX_NAME),
};

static const struct field_row deliveries_fields[] = {
    LIST(1, message_deliveries, items, count, MESSAGE_MAX_DELIVERIES, delivery_fields),
};

#define MESSAGE(text, rows)                                                                                  \
    { .name = text, .fields = rows, .field_count = sizeof rows / sizeof rows[0] }

const struct message_row message_rows[MESSAGE_TYPE_COUNT] = {
    [MESSAGE_HELLO] = MESSAGE("hello", hello_fields),
    [MESSAGE_WELCOME] = MESSAGE("welcome", welcome_fields),
    [MESSAGE_CREDIT] = MESSAGE("credit", credit_fields),
    [MESSAGE_TASK] = MESSAGE("task", task_fields),
    [MESSAGE_PROGRESS] = MESSAGE("progress", progress_fields),
    [MESSAGE_RESULT] = MESSAGE("result", result_fields),
    [MESSAGE_RELEASE] = MESSAGE("release", release_fields),
    [MESSAGE_CANCEL] = MESSAGE("cancel", cancel_fields),
    [MESSAGE_DRAIN] = MESSAGE("drain", drain_fields),
    [MESSAGE_POKE] = MESSAGE("poke", poke_fields),
    [MESSAGE_EVENT] = MESSAGE("event", event_fields),
    [MESSAGE_DELETE] = MESSAGE("delete", delete_fields),
    [MESSAGE_DELETED] = MESSAGE("deleted", deleted_fields),
    [MESSAGE_PING] = MESSAGE("ping", ping_fields),
    [MESSAGE_PONG] = MESSAGE("pong", ping_fields),
    [MESSAGE_PAUSE] = MESSAGE("pause", pause_fields),
    [MESSAGE_DELIVER] = MESSAGE("deliver", deliveries_fields),
    [MESSAGE_DELIVERED] = MESSAGE("delivered", deliveries_fields),
};
