/* SPDX-License-Identifier: MIT
 * filemill-rotate-keys: wraps every data key that another master key than the first has wrapped by the first one. In
 * bounded batches, each a transaction; while everything runs; stopped at any point it goes on where it was. No object
 * is touched. Exit 0: all are wrapped by the first key; 1: some are not; 2: wrong settings. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/settings.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "scheduler/json_text.h"
#include "sql/database.h"
#include "storage/keyring.h"
#include "storage/keys.h"

#define BATCH_BYTES (1024u * 1024u) /* of 500 rows, with keys of at most 512 bytes */
#define STATEMENT_TIMEOUT_MS 30000

struct rotation {
    struct settings settings;
    struct loop *loop;
    struct database *database;
    struct keyring *keyring;
    char after[KEY_MAX + 1]; /* the last object that was looked at */
    uint64_t wrapped, unknown, broken;
};

static const struct statement look = {
    "rotate_look",
    "select key, seal from object_keys where key > $1 and split_part(seal, ':', 1) <> $2 order by key limit 500", 2};

/* A seal that somebody else has changed meanwhile stays as it is. */
static const struct statement change = {
    "rotate_change",
    "update object_keys k set seal = d.seal, wrapped_at = now() from (select * from jsonb_to_recordset($1::jsonb) as "
    "d(key text, old text, seal text) order by key) d where k.key = d.key and k.seal = d.old",
    1};

static void look_on(struct rotation *rotation);

static void fail(struct rotation *rotation, const struct database_answer *answer) {
    log_error("state=refused outcome=%d sqlstate=%s error=\"%s\"", (int)answer->outcome, answer->sqlstate,
              answer->message == NULL ? "" : answer->message);
    loop_stop(rotation->loop, 1);
}

static void on_changed(void *context, const struct database_answer *answer) {
    struct rotation *rotation = context;

    if (answer->outcome != DATABASE_OK) {
        fail(rotation, answer);
        return;
    }
    rotation->wrapped += result_affected(answer->results[0]);
    look_on(rotation);
}

static int append_row(struct buffer *rows, const char *key, const char *old, const char *seal) {
    int broken = rows->size == 0 ? json_open(rows, '[') : 0;

    broken |= json_open(rows, '{') | json_member_text(rows, "key", key) | json_member_text(rows, "old", old);
    return broken | json_member_text(rows, "seal", seal) | json_close(rows, '}');
}

/* Adds the row with its new seal, or counts why there is none. */
static void rewrap(struct rotation *rotation, struct buffer *rows, const char *key, const char *old) {
    unsigned char data_key[ENVELOPE_KEY_BYTES];
    char seal[KEYRING_SEAL_MAX];
    enum keyring_result result = keyring_unwrap(rotation->keyring, key, old, data_key);

    if (result == KEYRING_OK && keyring_wrap(rotation->keyring, key, data_key, seal) == 0) {
        if (append_row(rows, key, old, seal) != 0)
            fatal("event=batch_too_large");
    } else {
        rotation->unknown += result == KEYRING_UNKNOWN;
        rotation->broken += result != KEYRING_UNKNOWN;
        log_warn("object=%s state=%s key=%.*s", key, result == KEYRING_UNKNOWN ? "key_unknown" : "seal_broken",
                 (int)strcspn(old, ":"), old);
    }
    explicit_bzero(data_key, sizeof data_key);
}

static void on_looked(void *context, const struct database_answer *answer) {
    struct rotation *rotation = context;
    struct query query = {.statement = &change};
    struct buffer rows;
    size_t count;

    if (answer->outcome != DATABASE_OK) {
        fail(rotation, answer);
        return;
    }
    count = result_rows(answer->results[0]);
    buffer_init(&rows, BATCH_BYTES);
    for (size_t i = 0; i < count; i++)
        rewrap(rotation, &rows, result_text(answer->results[0], i, "key"),
               result_text(answer->results[0], i, "seal"));
    if (count > 0)
        result_copy(rotation->after, sizeof rotation->after, answer->results[0], count - 1, "key");
    if (count == 0) {
        loop_stop(rotation->loop, rotation->unknown + rotation->broken > 0 ? 1 : 0);
    } else if (rows.size == 0) {
        look_on(rotation);
    } else {
        if (buffer_append_text(&rows, "]") != 0)
            fatal("event=batch_too_large");
        query.values[0] = rows.data;
        database_run(rotation->database, NULL, &query, 1, on_changed, rotation);
    }
    buffer_clear(&rows);
}

static void look_on(struct rotation *rotation) {
    const struct query query = {.statement = &look, .values = {rotation->after, keyring_id(rotation->keyring)}};

    database_run(rotation->database, NULL, &query, 1, on_looked, rotation);
}

static const char *refusal(struct rotation *rotation, const char *url) {
    static char error[256];

    rotation->keyring = keyring_new(&rotation->settings, error, sizeof error);
    if (rotation->keyring == NULL)
        return error;
    if (keyring_is_empty(rotation->keyring))
        return "encryption-keys-file, encryption-key: neither is set";
    return url == NULL ? "database-url: not set" : NULL;
}

int main(void) {
    struct rotation rotation = {.after = ""};
    const char *url, *problem;
    int status;

    settings_load(&rotation.settings, "rotate-keys");
    url = rotation.settings.scheduler_database_url != NULL ? rotation.settings.scheduler_database_url
                                                           : rotation.settings.database_url;
    problem = refusal(&rotation, url);
    if (problem != NULL) {
        fprintf(stderr, "filemill-rotate-keys: %s\n", problem);
        keyring_free(rotation.keyring);
        settings_clear(&rotation.settings);
        return 2;
    }
    rotation.loop = loop_new();
    rotation.database = database_new(rotation.loop, &(struct database_options){
                                                        .url = url,
                                                        .role = "filemill_scheduler",
                                                        .application_name = "filemill-rotate-keys",
                                                        .connections = 1,
                                                        .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
                                                        .max_waiting = 4,
                                                    });
    look_on(&rotation);
    status = loop_run(rotation.loop);
    printf("%" PRIu64 " keys wrapped by %s; %" PRIu64 " wrapped by a key that is not here; %" PRIu64 " broken\n",
           rotation.wrapped, keyring_id(rotation.keyring), rotation.unknown, rotation.broken);
    database_free(rotation.database);
    loop_free(rotation.loop);
    keyring_free(rotation.keyring);
    settings_clear(&rotation.settings);
    return status;
}
