/* SPDX-License-Identifier: MIT
 * Settings: defaults, the names of the systems that Filemill replaces, refusal of bad values, and that a
 * child is told nothing that the trust table denies it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/settings.h"
#include "lib/text.h"

static int load(struct settings *settings, char **environment, char *error) {
    memset(settings, 0, sizeof *settings);
    return settings_read(settings, environment, error, 512);
}

static const char *find(char **environment, const char *name) {
    size_t size = strlen(name);
    for (size_t i = 0; environment[i] != NULL; i++) {
        if (strncmp(environment[i], name, size) == 0 && environment[i][size] == '=') {
            return environment[i] + size + 1;
        }
    }
    return NULL;
}

static void defaults_are_as_documented(void **state) {
    struct settings settings;
    char error[512] = "";
    char *environment[] = {NULL};
    assert_int_equal(load(&settings, environment, error), 0);
    assert_int_equal(settings.gateway_port, 8080);
    assert_string_equal(settings.gateway_address, "127.0.0.1");
    assert_int_equal(settings.drain_ms, 25000);
    assert_int_equal(settings.upload_url_seconds, 300);
    assert_int_equal(settings.download_url_seconds, 600);
    assert_int_equal(settings.max_attempts, 10);
    assert_int_equal(settings.lease_ms, 30000);
    assert_int_equal(settings.stale_lock_minutes, 15);
    assert_int_equal(settings.backoff_unit_ms, 60000);
    assert_int_equal(settings.backoff_cap, 60);
    assert_int_equal(settings.poll_ms, 1000);
    assert_int_equal(settings.batch, 512);
    assert_int_equal(settings.worker_memory_bytes, 1073741824);
    assert_int_equal(settings.max_upload_bytes, INT64_C(5000000000));
    assert_int_equal(settings.max_body_bytes, 2 * 1024 * 1024);
    assert_string_equal(settings.jwt_audience, "authenticated");
    assert_int_equal(settings.limit_pages, 2000);
    assert_int_equal(settings.limit_pixels, 100000000);
    assert_true(settings.sandbox_required);
    assert_null(settings.database_url);
    assert_null(settings.storage_endpoint);
    settings_clear(&settings);
}

/* The .env of the file API and of its worker, as they stand in its documentation. */
static void an_env_file_of_the_file_api_works(void **state) {
    struct settings settings;
    char error[512] = "";
    char *environment[] = {"PORT=3000",
                           "BASE_URL=http://localhost:3000",
                           "SUPABASE_PROJECT_URL=https://project.supabase.co",
                           "SUPABASE_JWT_AUD=people",
                           "SUPABASE_DB_URL=postgresql://user:password@host:5432/postgres",
                           "R2_ACCOUNT_ID=account",
                           "R2_ACCESS_KEY_ID=key",
                           "R2_SECRET_ACCESS_KEY=secret",
                           "R2_BUCKET=user-files",
                           "R2_PUBLIC_BASE_URL=",
                           "WORKER_POLL_SECONDS=1.5",
                           "JOB_STALE_LOCK_MINUTES=20",
                           "MAX_ATTEMPTS=7",
                           "HOME=/nowhere",
                           NULL};
    assert_int_equal(load(&settings, environment, error), 0);
    assert_int_equal(settings.gateway_port, 3000);
    assert_string_equal(settings.public_url, "http://localhost:3000");
    assert_string_equal(settings.supabase_url, "https://project.supabase.co");
    assert_string_equal(settings.jwt_audience, "people");
    assert_string_equal(settings.database_url, "postgresql://user:password@host:5432/postgres");
    assert_string_equal(settings.r2_account_id, "account");
    assert_string_equal(settings.storage_access_key, "key");
    assert_string_equal(settings.storage_secret_key, "secret");
    assert_string_equal(settings.storage_bucket, "user-files");
    assert_null(settings.public_base_url);
    assert_int_equal(settings.poll_ms, 1500);
    assert_int_equal(settings.stale_lock_minutes, 20);
    assert_int_equal(settings.max_attempts, 7);
    settings_clear(&settings);
}

static void an_env_file_of_the_classifier_works(void **state) {
    struct settings settings;
    char error[512] = "";
    char *environment[] = {"SUPABASE_URL=https://project.supabase.co",
                           "SUPABASE_SERVICE_ROLE_KEY=service-role",
                           "OPENAI_API_KEY=key",
                           "OPENAI_MODEL=gpt-4o",
                           "WORKER_POLL_INTERVAL_SECONDS=5",
                           NULL};
    assert_int_equal(load(&settings, environment, error), 0);
    assert_string_equal(settings.supabase_url, "https://project.supabase.co");
    assert_string_equal(settings.chat_key, "key");
    assert_string_equal(settings.chat_model, "gpt-4o");
    assert_string_equal(settings.classify_backend, "embedded"); /* a key alone sends nobody's documents away */
    assert_int_equal(settings.poll_ms, 5000);
    settings_clear(&settings);
}

static void an_env_file_of_the_other_systems_works(void **state) {
    struct settings settings;
    char error[512] = "";
    char *media[] = {"B2_KEY_ID=key",
                     "B2_APP_KEY=secret",
                     "B2_BUCKET=media",
                     "B2_ENDPOINT=s3.us-west-004.backblazeb2.com",
                     "B2_REGION=us-west-004",
                     "CDN_BASE_URL=https://cdn.example",
                     "WORKER_POLL_INTERVAL=15000",
                     "MAX_RETRIES=4",
                     "RAID_PUBLISHER_SECRET=bearer",
                     "RAID_PUB_ENDPOINT=https://raid.example/pub/download",
                     "LOG_LEVEL=warn",
                     "CONCURRENCY=3",
                     NULL};
    assert_int_equal(load(&settings, media, error), 0);
    assert_string_equal(settings.publish_access_key, "key");
    assert_string_equal(settings.publish_secret_key, "secret");
    assert_string_equal(settings.publish_bucket, "media");
    assert_string_equal(settings.publish_endpoint, "s3.us-west-004.backblazeb2.com");
    assert_string_equal(settings.publish_region, "us-west-004");
    assert_string_equal(settings.cdn_base_url, "https://cdn.example");
    assert_string_equal(settings.source_endpoint, "https://raid.example/pub/download");
    assert_string_equal(settings.source_secret, "bearer");
    assert_null(settings.storage_bucket); /* what is published lies elsewhere than what is kept */
    assert_int_equal(settings.poll_ms, 15000);
    assert_int_equal(settings.publish_attempts, 4);
    assert_int_equal(settings.max_attempts, 10);
    assert_int_equal(settings.worker_slots, 3);
    assert_string_equal(settings.log_level, "warn");
    settings_clear(&settings);

    char *portal[] = {"DO_SPACES_ENDPOINT=https://nyc3.digitaloceanspaces.com",
                      "DO_SPACES_REGION=nyc3",
                      "DO_SPACES_BUCKET=bucket",
                      "DO_SPACES_ACCESS_KEY=key",
                      "DO_SPACES_SECRET_KEY=secret",
                      "SUPABASE_JWT_SECRET=jwt",
                      "SUPABASE_URL=https://project.supabase.co",
                      NULL};
    assert_int_equal(load(&settings, portal, error), 0);
    assert_string_equal(settings.spaces_region, "nyc3");
    assert_string_equal(settings.storage_bucket, "bucket");
    assert_string_equal(settings.jwt_secret, "jwt");
    assert_string_equal(settings.supabase_url, "https://project.supabase.co");
    settings_clear(&settings);
}

static void own_names_win_over_older_ones(void **state) {
    struct settings settings;
    char error[512] = "";
    char *environment[] = {"PORT=3000", "FILEMILL_GATEWAY_PORT=9000", "POLL=1", NULL};
    assert_int_equal(load(&settings, environment, error), 0);
    assert_int_equal(settings.gateway_port, 9000);
    settings_clear(&settings);
}

static void bad_values_are_named_and_secrets_kept(void **state) {
    static const struct {
        const char *variable;
        const char *named;
    } cases[] = {
        {"PORT=eighty", "PORT"},
        {"FILEMILL_GATEWAY_PORT=0", "FILEMILL_GATEWAY_PORT"},
        {"FILEMILL_GATEWAY_PORT=65536", "FILEMILL_GATEWAY_PORT"},
        {"MAX_ATTEMPTS=0", "MAX_ATTEMPTS"},
        {"FILEMILL_MAX_ATTEMPTS=-1", "FILEMILL_MAX_ATTEMPTS"},
        {"WORKER_POLL_SECONDS=soon", "WORKER_POLL_SECONDS"},
        {"WORKER_POLL_SECONDS=0.0001", "WORKER_POLL_SECONDS"},
        {"WORKER_POLL_SECONDS=99999999999999999999", "WORKER_POLL_SECONDS"},
        {"LOG_LEVEL=loud", "LOG_LEVEL"},
        {"FILEMILL_SANDBOX_REQUIRED=perhaps", "FILEMILL_SANDBOX_REQUIRED"},
        {"FILEMILL_STORAGE_PROVIDER=ftp", "FILEMILL_STORAGE_PROVIDER"},
        {"FILEMILL_GATEWAY_PROT=1", "FILEMILL_GATEWAY_PROT"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct settings settings;
        char error[512] = "";
        char variable[128];
        char *environment[] = {variable, NULL};
        (void)text_copy(variable, sizeof variable, cases[i].variable);
        if (load(&settings, environment, error) != -1 || strstr(error, cases[i].named) == NULL ||
            strchr(error, '\n') != NULL) {
            fail_msg("%s: %s", cases[i].variable, error);
        }
        settings_clear(&settings);
    }
}

/* A whole configuration, every secret of it a text that can be looked for. */
static char *everything[] = {"FILEMILL_DATABASE_URL=SECRET-owner",
                             "FILEMILL_GATEWAY_DATABASE_URL=SECRET-gateway",
                             "FILEMILL_SCHEDULER_DATABASE_URL=SECRET-scheduler",
                             "FILEMILL_STORAGE_ACCESS_KEY=SECRET-access",
                             "FILEMILL_STORAGE_SECRET_KEY=SECRET-secret",
                             "FILEMILL_JWT_SECRET=SECRET-jwt",
                             "FILEMILL_STORAGE_ENDPOINT=https://s3.example",
                             "FILEMILL_CHANNEL_ENDPOINT=ipc:///run/socket",
                             NULL};

static void children_are_told_what_they_may_know(void **state) {
    static const struct {
        unsigned audience;
        const char *variable;
        bool told;
    } cases[] = {
        {FOR_GATEWAY, "FILEMILL_GATEWAY_DATABASE_URL", true},
        {FOR_GATEWAY, "FILEMILL_DATABASE_URL", false}, /* it has a login of its own */
        {FOR_GATEWAY, "FILEMILL_SCHEDULER_DATABASE_URL", false},
        {FOR_GATEWAY, "FILEMILL_STORAGE_SECRET_KEY", true},
        {FOR_GATEWAY, "FILEMILL_JWT_SECRET", true},
        {FOR_SCHEDULER, "FILEMILL_SCHEDULER_DATABASE_URL", true},
        {FOR_SCHEDULER, "FILEMILL_DATABASE_URL", false},
        {FOR_SCHEDULER, "FILEMILL_STORAGE_SECRET_KEY", true},
        {FOR_SCHEDULER, "FILEMILL_JWT_SECRET", false},
        {FOR_WORKER, "FILEMILL_CHANNEL_ENDPOINT", true},
        {FOR_WORKER, "FILEMILL_STORAGE_ENDPOINT", true},
        {FOR_STORE, "FILEMILL_STORAGE_SECRET_KEY", true},
        {FOR_MIGRATE, "FILEMILL_DATABASE_URL", true},
        {FOR_MIGRATE, "FILEMILL_STORAGE_SECRET_KEY", false},
        {FOR_TOKEN, "FILEMILL_JWT_SECRET", true},
        {FOR_TOKEN, "FILEMILL_DATABASE_URL", false},
        {FOR_RUN, "FILEMILL_STORAGE_SECRET_KEY", true},
        {FOR_RUN, "FILEMILL_DATABASE_URL", false},
        {FOR_RUN, "FILEMILL_JWT_SECRET", false},
    };
    struct settings settings;
    char error[512] = "";
    assert_int_equal(load(&settings, everything, error), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char **child = settings_environment(&settings, cases[i].audience);
        if ((find(child, cases[i].variable) != NULL) != cases[i].told) {
            fail_msg("%s for audience %u", cases[i].variable, cases[i].audience);
        }
        options_free_environment(child);
    }
    settings_clear(&settings);
}

static void no_secret_reaches_those_that_hold_none(void **state) {
    static const unsigned audiences[] = {FOR_SUPERVISOR, FOR_WORKER, FOR_NURSERY, FOR_DEMO};
    struct settings settings;
    char error[512] = "";
    assert_int_equal(load(&settings, everything, error), 0);
    for (size_t i = 0; i < sizeof audiences / sizeof audiences[0]; i++) {
        char **child = settings_environment(&settings, audiences[i]);
        for (size_t line = 0; child[line] != NULL; line++) {
            assert_null(strstr(child[line], "SECRET"));
        }
        options_free_environment(child);
    }
    settings_clear(&settings);
}

/* A child reads back what its parent had, for every row of its audience. */
static void a_child_reads_what_its_parent_wrote(void **state) {
    char *environment[] = {"FILEMILL_LEASE_MS=12345", "FILEMILL_SANDBOX_REQUIRED=off",
                           "FILEMILL_RATE_PER_MINUTE=0", "FILEMILL_WORKER_MEMORY_BYTES=256M", NULL};
    struct settings parent;
    struct settings child;
    char error[512] = "";
    assert_int_equal(load(&parent, environment, error), 0);
    assert_int_equal(parent.worker_memory_bytes, 256 * 1024 * 1024);
    char **told = options_environment(&settings_table, &parent, FOR_ALL);
    assert_int_equal(load(&child, told, error), 0);
    assert_int_equal(child.lease_ms, 12345);
    assert_int_equal(child.rate_per_minute, 0);
    assert_int_equal(child.worker_memory_bytes, parent.worker_memory_bytes);
    assert_false(child.sandbox_required);
    options_free_environment(told);
    settings_clear(&parent);
    settings_clear(&child);
}

static bool is_in_table(const char *variable) {
    for (size_t i = 0; i < settings_table.count; i++) {
        if (strcmp(settings_table.rows[i].variable, variable) == 0) {
            return true;
        }
    }
    return false;
}

static void the_table_is_sound(void **state) {
    assert_false(is_in_table("FILEMILL_NOTHING"));
    for (size_t i = 0; i < settings_table.count; i++) {
        const struct option_row *row = &settings_table.rows[i];
        assert_true(text_starts_with(row->variable, "FILEMILL_"));
        assert_true(row->audience != 0);
        assert_true(text_ends_with(row->description, "."));
        for (size_t earlier = 0; earlier < i; earlier++) {
            assert_string_not_equal(row->name, settings_table.rows[earlier].name);
            assert_string_not_equal(row->variable, settings_table.rows[earlier].variable);
            assert_int_not_equal(row->offset, settings_table.rows[earlier].offset);
        }
    }
}

static void every_field_has_its_row(void **state) {
    bool covered[sizeof(struct settings)] = {false};
    static const size_t sizes[] = {[OPTION_TEXT] = sizeof(char *),
                                   [OPTION_CHOICE] = sizeof(char *),
                                   [OPTION_NUMBER] = sizeof(int64_t),
                                   [OPTION_BOOL] = sizeof(int64_t)};
    for (size_t i = 0; i < settings_table.count; i++) {
        size_t start = settings_table.rows[i].offset;
        size_t size = sizes[settings_table.rows[i].type];
        for (size_t byte = start; byte < start + size && byte < sizeof covered; byte++) {
            covered[byte] = true;
        }
    }
    for (size_t byte = 0; byte < sizeof covered; byte++) {
        if (!covered[byte]) {
            fail_msg("no row for the field at byte %zu", byte);
        }
    }
}

static void a_child_stops_at_a_bad_value(void **state) {
    pid_t child = fork();
    if (child == 0) {
        struct settings settings;
        (void)setenv("FILEMILL_GATEWAY_PORT", "http", 1);
        settings_load(&settings, "settings_test");
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_as_documented),
        cmocka_unit_test(an_env_file_of_the_file_api_works),
        cmocka_unit_test(an_env_file_of_the_classifier_works),
        cmocka_unit_test(an_env_file_of_the_other_systems_works),
        cmocka_unit_test(own_names_win_over_older_ones),
        cmocka_unit_test(bad_values_are_named_and_secrets_kept),
        cmocka_unit_test(children_are_told_what_they_may_know),
        cmocka_unit_test(no_secret_reaches_those_that_hold_none),
        cmocka_unit_test(a_child_reads_what_its_parent_wrote),
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(every_field_has_its_row),
        cmocka_unit_test(a_child_stops_at_a_bad_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
