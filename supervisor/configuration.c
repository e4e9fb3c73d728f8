/* SPDX-License-Identifier: MIT
 * Sources of settings and what follows from them. */
#include "supervisor/configuration.h"

#include "config/backends.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "supervisor/variables.h"
#include <stdlib.h>
#include <string.h>

/* Flags that take no value; they are words to a verb, not options. */
static const char *const switches[] = {"--markdown", "--demo", "--wait", "--help"};

static bool is_switch(const char *argument) {
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        if (strcmp(switches[i], argument) == 0)
            return true;
    }
    return false;
}

static int add_flag(struct sources *sources, const char *name, const char *value, char *error,
                    size_t error_size) {
    if (strcmp(name, "config") == 0) {
        sources->file = value;
        return 0;
    }
    if (sources->flag_count == SOURCES_FLAGS_MAX) {
        (void)text_format(error, error_size, "--%s: too many options", name);
        return -1;
    }
    sources->names[sources->flag_count] = name;
    sources->values[sources->flag_count++] = value;
    return 0;
}

int sources_from_arguments(struct sources *sources, int argument_count, char **arguments, struct words *words,
                           char *error, size_t error_size) {
    for (int i = 0; i < argument_count; i++) {
        if (!text_starts_with(arguments[i], "--") || is_switch(arguments[i])) {
            words->list[words->count++] = arguments[i];
            continue;
        }
        const char *name = arguments[i] + 2;
        char *value = strchr(arguments[i], '=');
        if (value != NULL) {
            *value++ = '\0';
        } else if (i + 1 < argument_count) {
            value = arguments[++i];
        } else {
            (void)text_format(error, error_size, "--%s: value is missing", name);
            return -1;
        }
        if (add_flag(sources, name, value, error, error_size) != 0)
            return -1;
    }
    return 0;
}

static int parse_roles(const char *text, unsigned *roles, char *error, size_t error_size) {
    static const struct {
        const char *name;
        unsigned bits;
    } rows[] = {{"all", ROLE_ALL},
                {"gateway", ROLE_GATEWAY},
                {"scheduler", ROLE_SCHEDULER},
                {"worker", ROLE_WORKER},
                {"store", ROLE_STORE}};

    *roles = 0;
    for (const char *word = text; *word != '\0';) {
        size_t size = strcspn(word, ", ");
        bool known = size == 0;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            if (strlen(rows[i].name) == size && strncmp(rows[i].name, word, size) == 0) {
                *roles |= rows[i].bits;
                known = true;
            }
        }
        if (!known) {
            (void)text_format(error, error_size,
                              "roles: \"%.*s\" is not one of all, gateway, scheduler, worker, store",
                              size > 40 ? 40 : (int)size, word);
            return -1;
        }
        word += size + (word[size] != '\0' ? 1 : 0);
    }
    if (*roles != 0)
        return 0;
    (void)text_format(error, error_size, "roles: none is named");
    return -1;
}

/* Any of these set means that somebody else keeps the objects. */
static bool names_storage(const struct settings *settings) {
    return settings->storage_endpoint != NULL || settings->r2_account_id != NULL ||
           settings->spaces_region != NULL || settings->b2_region != NULL ||
           settings->storage_access_key != NULL || settings->storage_secret_key != NULL ||
           (settings->storage_provider != NULL && strcmp(settings->storage_provider, "filemill") != 0);
}

/* A node that is nothing but a store is one, with the keys that it is given; the other roles run one for
 * themselves where nobody else's is named. */
static bool runs_store(const struct configuration *configuration) {
    return configuration->roles == ROLE_STORE ||
           ((configuration->roles & ROLE_STORE) != 0 && !names_storage(&configuration->settings));
}

static int decide(struct configuration *configuration, char *error, size_t error_size) {
    const struct settings *settings = &configuration->settings;
    const char *problem = NULL;

    if (parse_roles(settings->roles, &configuration->roles, error, error_size) != 0)
        return -1;
    bool wants_database = (configuration->roles & (ROLE_GATEWAY | ROLE_SCHEDULER)) != 0;
    bool names_database = settings->database_url != NULL || settings->gateway_database_url != NULL ||
                          settings->scheduler_database_url != NULL;
    configuration->embedded_postgres = wants_database && !names_database;
    configuration->embedded_store = runs_store(configuration);

    if ((configuration->roles & ROLE_WORKER) != 0 && (configuration->roles & ROLE_SCHEDULER) == 0)
        problem = "roles: worker needs scheduler on the same node";
    else if (configuration->roles != ROLE_STORE && !configuration->embedded_store && !names_storage(settings))
        problem = "storage-endpoint: needed where store is not among the roles";
    else if ((settings->storage_access_key == NULL) != (settings->storage_secret_key == NULL))
        problem = "storage-access-key: goes together with storage-secret-key; one of them is not set";
    else if (configuration->embedded_store && (configuration->roles & ROLE_GATEWAY) != 0 &&
             settings->store_port == settings->gateway_port)
        problem = "store-port: is the same as gateway-port";
    else if (configuration->embedded_postgres && settings->database_direct_url != NULL)
        problem = "database-direct-url: goes together with database-url";
    if (problem == NULL) /* workers ask the services; other nodes need not know where they are */
        return (configuration->roles & ROLE_WORKER) != 0 ? backends_check(settings, error, error_size) : 0;
    (void)text_format(error, error_size, "%s", problem);
    return -1;
}

int configuration_load(struct configuration *configuration, const struct sources *sources, char *error,
                       size_t error_size) {
    static char *const nothing[] = {NULL};
    struct variables variables = {0};
    int result = -1;

    if (sources->file != NULL && variables_read(&variables, sources->file, error, error_size) != 0)
        goto clear_variables;
    variables_merge(&variables, sources->environment);
    variables_unset(&variables, "FILEMILL_CONFIG");
    if (settings_read(&configuration->settings, variables.list != NULL ? variables.list : nothing, error,
                      error_size) != 0)
        goto clear_variables;
    for (size_t i = 0; i < sources->flag_count; i++) {
        if (options_set(&settings_table, &configuration->settings, sources->names[i],
                        sources->values[i], error, error_size) != 0)
            goto clear_variables;
    }
    result = decide(configuration, error, error_size);

clear_variables:
    variables_clear(&variables);
    return result;
}

void configuration_clear(struct configuration *configuration) {
    settings_clear(&configuration->settings);
    memset(configuration, 0, sizeof *configuration);
}

static bool differ(const char *left, const char *right) {
    return strcmp(left != NULL ? left : "", right != NULL ? right : "") != 0;
}

const char *configuration_obstacle(const struct configuration *running, const struct configuration *fresh) {
    const struct settings *old = &running->settings;
    const struct settings *new = &fresh->settings;

    if (differ(old->state_directory, new->state_directory))
        return "state-directory";
    if (differ(old->user, new->user))
        return "user";
    if (running->roles != fresh->roles)
        return "roles";
    if (running->embedded_postgres != fresh->embedded_postgres)
        return "database-url";
    if (running->embedded_store != fresh->embedded_store)
        return "storage-endpoint";
    if (running->embedded_store &&
        (differ(old->store_address, new->store_address) || old->store_port != new->store_port))
        return "store-port";
    return NULL;
}
