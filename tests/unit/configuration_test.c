/* SPDX-License-Identifier: MIT
 * Sources of settings: which wins, what is embedded, and what may change while a node runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "supervisor/configuration.h"
#include "supervisor/services.h"

static int load(struct configuration *configuration, char *const *environment, char *error, size_t size) {
    const struct sources sources = {.environment = environment};

    memset(configuration, 0, sizeof *configuration);
    return configuration_load(configuration, &sources, error, size);
}

static void test_flags_win_over_the_environment(void **state) {
    char *const environment[] = {"FILEMILL_GATEWAY_PORT=1111", "FILEMILL_WORKER_SLOTS=3", NULL};
    char port[] = "--gateway-port=2222";
    char name[] = "--node";
    char value[] = "here";
    char word[] = "word";
    char *arguments[] = {word, port, name, value, "--demo"};
    char *list[5];
    struct words words = {.list = list};
    struct sources sources = {.environment = environment};
    struct configuration configuration = {0};
    char error[256];

    assert_int_equal(sources_from_arguments(&sources, 5, arguments, &words, error, sizeof error), 0);
    assert_int_equal(words.count, 2);
    assert_string_equal(list[0], "word");
    assert_string_equal(list[1], "--demo");
    assert_int_equal(configuration_load(&configuration, &sources, error, sizeof error), 0);
    assert_int_equal(configuration.settings.gateway_port, 2222);
    assert_int_equal(configuration.settings.worker_slots, 3);
    assert_string_equal(configuration.settings.node, "here");
    configuration_clear(&configuration);
}

static void test_what_is_embedded(void **state) {
    static const struct {
        const char *variables[3];
        bool postgres;
        bool store;
        const char *error; /* NULL: loads */
    } cases[] = {
        {{NULL}, true, true, NULL},
        {{"DATABASE_URL=postgresql://x"}, false, true, NULL},
        {{"FILEMILL_GATEWAY_DATABASE_URL=postgresql://x"}, false, true, NULL},
        {{"R2_ACCOUNT_ID=abc"}, true, false, NULL},
        {{"FILEMILL_STORAGE_ENDPOINT=http://s3"}, true, false, NULL},
        {{"FILEMILL_STORAGE_BUCKET=mine"}, true, true, NULL},
        {{"FILEMILL_STORAGE_PROVIDER=filemill"}, true, true, NULL},
        {{"FILEMILL_ROLES=store"}, false, true, NULL},
        {{"FILEMILL_ROLES=store", "FILEMILL_STORAGE_ENDPOINT=http://store:8081"}, false, true, NULL},
        {{"R2_ACCESS_KEY_ID=one"}, false, false, "storage-access-key"},
        {{"FILEMILL_ROLES=gateway, store"}, true, true, NULL},
        {{"FILEMILL_ROLES=gateway"}, false, false, "storage-endpoint"},
        {{"FILEMILL_ROLES=worker,store"}, false, false, "roles"},
        {{"FILEMILL_ROLES=,"}, false, false, "roles"},
        {{"FILEMILL_STORE_PORT=8080"}, false, false, "store-port"},
        {{"FILEMILL_ROLES=store", "FILEMILL_STORE_PORT=8080"}, false, true, NULL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct configuration configuration;
        char error[256] = "";
        int result = load(&configuration, (char *const *)cases[i].variables, error, sizeof error);
        if (cases[i].error != NULL) {
            assert_int_equal(result, -1);
            assert_memory_equal(error, cases[i].error, strlen(cases[i].error));
        } else {
            assert_int_equal(result, 0);
            assert_int_equal(configuration.embedded_postgres, cases[i].postgres);
            assert_int_equal(configuration.embedded_store, cases[i].store);
            assert_int_equal(service_count(&services[SERVICE_POSTGRES], &configuration),
                             cases[i].postgres ? 1 : 0);
            assert_int_equal(service_count(&services[SERVICE_STORE], &configuration), cases[i].store ? 1 : 0);
        }
        configuration_clear(&configuration);
    }
}

/* Nothing waits for a service that cannot be asked: who runs workers is told at once. */
static void test_a_backend_needs_its_url(void **state) {
    static const struct {
        const char *variables[4];
        const char *error; /* NULL: loads */
    } cases[] = {
        {{"FILEMILL_CLASSIFY_BACKEND=chat"}, "chat-url: needed where classify-backend is chat"},
        {{"FILEMILL_WORDLIST_BACKEND=chat"}, "chat-url: needed where wordlist-backend is chat"},
        {{"FILEMILL_TRANSCRIBE_BACKEND=openai", "FILEMILL_CHAT_URL=http://chat"},
         "transcribe-url: needed where transcribe-backend is openai"},
        {{"FILEMILL_TRANSCRIBE_BACKEND=whisper.cpp", "FILEMILL_TRANSCRIBE_URL="},
         "transcribe-url: needed where transcribe-backend is whisper.cpp"},
        {{"FILEMILL_CLASSIFY_BACKEND=chat", "OPENAI_BASE_URL=http://chat"}, NULL},
        {{"FILEMILL_TRANSCRIBE_BACKEND=openai", "FILEMILL_TRANSCRIBE_URL=http://speech"}, NULL},
        {{"FILEMILL_CLASSIFY_BACKEND=embedded", "FILEMILL_TRANSCRIBE_BACKEND=pocketsphinx"}, NULL},
        {{"FILEMILL_CLASSIFY_BACKEND=chat", "FILEMILL_ROLES=gateway,store"}, NULL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct configuration configuration;
        char error[256] = "";
        int result = load(&configuration, (char *const *)cases[i].variables, error, sizeof error);
        assert_int_equal(result, cases[i].error == NULL ? 0 : -1);
        assert_string_equal(error, cases[i].error == NULL ? "" : cases[i].error);
        configuration_clear(&configuration);
    }
}

static void test_every_service_has_a_whole_row(void **state) {
    for (size_t i = 0; i < SERVICE_COUNT; i++) {
        assert_non_null(services[i].name);
        assert_non_null(services[i].program);
        assert_true(services[i].stop_signal > 0 && services[i].ready_within_ms > 0);
        assert_true(i == 0 || services[i].stage >= services[i - 1].stage);
        assert_true((services[i].needs & NEEDS_LISTENER) == 0 || services[i].port_offset > 0);
    }
}

static void test_what_needs_a_restart(void **state) {
    static const struct {
        const char *variables[2];
        const char *obstacle; /* NULL: may change */
    } cases[] = {
        {{"FILEMILL_GATEWAY_PORT=9999"}, NULL},
        {{"FILEMILL_RATE_PER_MINUTE=1"}, NULL},
        {{"FILEMILL_STATE_DIRECTORY=/elsewhere"}, "state-directory"},
        {{"FILEMILL_USER=someone"}, "user"},
        {{"FILEMILL_ROLES=gateway,store"}, "roles"},
        {{"DATABASE_URL=postgresql://x"}, "database-url"},
        {{"R2_ACCOUNT_ID=abc"}, "storage-endpoint"},
        {{"FILEMILL_STORE_PORT=9998"}, "store-port"},
    };
    char *const nothing[] = {NULL};
    struct configuration running;
    char error[256];

    assert_int_equal(load(&running, nothing, error, sizeof error), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct configuration fresh;
        assert_int_equal(load(&fresh, (char *const *)cases[i].variables, error, sizeof error), 0);
        const char *obstacle = configuration_obstacle(&running, &fresh);
        if (cases[i].obstacle == NULL)
            assert_null(obstacle);
        else
            assert_string_equal(obstacle, cases[i].obstacle);
        configuration_clear(&fresh);
    }
    configuration_clear(&running);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags_win_over_the_environment),
        cmocka_unit_test(test_what_is_embedded),
        cmocka_unit_test(test_a_backend_needs_its_url),
        cmocka_unit_test(test_every_service_has_a_whole_row),
        cmocka_unit_test(test_what_needs_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
