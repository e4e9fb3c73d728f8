/* SPDX-License-Identifier: MIT
 * Secrets and settings of an instance that runs on embedded defaults. */
#include "supervisor/embedded.h"

#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRET_BYTES 24

/* Hex only: needs no quoting in SQL, in a URL or in a shell. */
static const char *const secret_names[] = {"POSTGRES_PASSWORD",  "OWNER_PASSWORD",   "GATEWAY_PASSWORD",
                                           "SCHEDULER_PASSWORD", "STORE_ACCESS_KEY", "STORE_SECRET_KEY",
                                           "JWT_SECRET",         "ADMIN_USER"};

static void make_secret(struct variables *secrets, const char *name) {
    unsigned char bytes[SECRET_BYTES];
    char text[2 * SECRET_BYTES + 1];

    text_random(bytes, sizeof bytes);
    text_hex_encode(text, bytes, sizeof bytes);
    variables_set(secrets, name, text);
    explicit_bzero(bytes, sizeof bytes);
    explicit_bzero(text, sizeof text);
}

static bool is_secret(const char *text) {
    return text != NULL && strlen(text) >= 32 && strspn(text, "0123456789abcdefABCDEF") == strlen(text);
}

int embedded_secrets(struct variables *secrets, const struct layout *layout, char *error, size_t error_size) {
    bool changed = false;

    if (access(layout->secrets, F_OK) == 0 &&
        variables_read(secrets, layout->secrets, error, error_size) != 0)
        return -1;
    for (size_t i = 0; i < sizeof secret_names / sizeof secret_names[0]; i++) {
        const char *value = variables_get(secrets, secret_names[i]);
        if (value != NULL && !is_secret(value)) {
            (void)text_format(error, error_size, "%s: %s is not at least 32 hex digits", layout->secrets,
                              secret_names[i]);
            return -1;
        }
        if (value == NULL) {
            make_secret(secrets, secret_names[i]);
            changed = true;
        }
    }
    if (changed && variables_write(secrets->list, layout->secrets) != 0) {
        (void)text_format(error, error_size, "%s: %s", layout->secrets, strerror(errno));
        return -1;
    }
    return 0;
}

/* Takes `value`. These names and values are ours, so a refusal is our bug. */
static void set(struct configuration *configuration, const char *name, char *value) {
    char error[256];

    if (options_set(&settings_table, &configuration->settings, name, value, error,
                    sizeof error) != 0)
        fatal("event=embedded_setting_refused error=\"%s\"", error);
    free(value);
}

static char *database_url(const struct layout *layout, const char *user, const char *password) {
    char host[3 * 128];

    if (text_percent_encode(host, sizeof host, layout->sockets, false) != 0)
        fatal("event=socket_directory_too_long path=%s", layout->sockets);
    return memory_format("postgresql://%s:%s@/filemill?host=%s", user, password, host);
}

/* Where our own programs reach what listens on `address`. */
static const char *reachable(const char *address) {
    if (strcmp(address, "0.0.0.0") == 0)
        return "127.0.0.1";
    return strcmp(address, "::") == 0 ? "[::1]" : address;
}

static void fill_storage(struct configuration *configuration, const struct variables *secrets) {
    struct settings *settings = &configuration->settings;

    set(configuration, "storage-provider", memory_copy_text("filemill"));
    if (settings->storage_endpoint == NULL)
        set(configuration, "storage-endpoint",
            memory_format("http://%s:%lld", reachable(settings->store_address),
                          (long long)settings->store_port));
    if (settings->storage_access_key == NULL) {
        set(configuration, "storage-access-key",
            memory_copy_text(variables_get(secrets, "STORE_ACCESS_KEY")));
        set(configuration, "storage-secret-key",
            memory_copy_text(variables_get(secrets, "STORE_SECRET_KEY")));
    }
    if (settings->storage_bucket == NULL)
        set(configuration, "storage-bucket", memory_copy_text("filemill"));
    if (settings->storage_region == NULL)
        set(configuration, "storage-region", memory_copy_text("us-east-1"));
}

/* A version 4 UUID of the secret's first digits: nobody else's tokens name it. */
static char *admin_user(const char *digits) {
    return memory_format("%.8s-%.4s-4%.3s-8%.3s-%.12s", digits, digits + 8, digits + 13, digits + 17, digits + 20);
}

void embedded_fill(struct configuration *configuration, const struct layout *layout,
                   const struct variables *secrets) {
    struct settings *settings = &configuration->settings;

    set(configuration, "state-directory", memory_copy_text(layout->state));
    if ((configuration->roles & ROLE_SCHEDULER) != 0)
        set(configuration, "channel", memory_copy_text(layout->channel_endpoint));
    if (configuration->embedded_postgres) {
        set(configuration, "database-url",
            database_url(layout, "filemill", variables_get(secrets, "OWNER_PASSWORD")));
        set(configuration, "gateway-database-url",
            database_url(layout, "filemill_gateway_login", variables_get(secrets, "GATEWAY_PASSWORD")));
        set(configuration, "scheduler-database-url",
            database_url(layout, "filemill_scheduler_login", variables_get(secrets, "SCHEDULER_PASSWORD")));
        set(configuration, "database-prepare", memory_copy_text("on"));
    }
    if (configuration->embedded_store)
        fill_storage(configuration, secrets);
    if (settings->jwks_url == NULL && settings->jwks_file == NULL && settings->supabase_url == NULL &&
        settings->jwt_secret == NULL)
        set(configuration, "jwt-secret", memory_copy_text(variables_get(secrets, "JWT_SECRET")));
    if (settings->admins == NULL && settings->jwt_secret != NULL)
        set(configuration, "admins", admin_user(variables_get(secrets, "ADMIN_USER")));
}

char *embedded_bootstrap(const struct variables *secrets) {
    return memory_format(
        "alter role postgres password '%s';\n"
        "create role filemill login createrole password '%s';\n"
        "create role filemill_gateway nologin;\n"
        "create role filemill_scheduler nologin;\n"
        "create role filemill_definer nologin;\n"
        "create role filemill_publisher nologin;\n"
        "grant filemill_gateway, filemill_scheduler, filemill_definer to filemill with admin option;\n"
        "create role filemill_gateway_login login in role filemill_gateway password '%s';\n"
        "create role filemill_scheduler_login login in role filemill_scheduler password '%s';\n"
        "create database filemill owner filemill;\n"
        "revoke all on database filemill from public;\n"
        "grant connect on database filemill to filemill_gateway, filemill_scheduler;\n",
        variables_get(secrets, "POSTGRES_PASSWORD"), variables_get(secrets, "OWNER_PASSWORD"),
        variables_get(secrets, "GATEWAY_PASSWORD"), variables_get(secrets, "SCHEDULER_PASSWORD"));
}
