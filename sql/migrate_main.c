/* SPDX-License-Identifier: MIT
 * filemill-migrate: brings the database to this build's schema, or says how it stands.
 *   filemill-migrate [--wait SECONDS] [--status | --verify | --login-passwords]
 * Without a verb it applies what is missing. Exit 0: done; 1: not; 2: wrong arguments or settings. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "config/settings.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/text.h"
#include "sql/migrate.h"

#define WAIT_DEFAULT_S 30
#define WAIT_STEP_NS 200000000

static int apply(PGconn *connection, const struct settings *settings) {
    if (migrate_apply(connection) != 0)
        return -1;
    if (migrate_admins(connection, settings->admins) != 0)
        return -1;
    if (migrate_priority(connection, settings->client_priority) != 0)
        return -1;
    return migrate_credits(connection, settings->credits, settings->credit_admins);
}

static int show_status(PGconn *connection, const struct settings *settings) {
    return migrate_status(connection);
}

static int verify(PGconn *connection, const struct settings *settings) {
    return migrate_verify(connection);
}

static int apply_and_set_passwords(PGconn *connection, const struct settings *settings) {
    if (settings->gateway_password == NULL || settings->scheduler_password == NULL) {
        log_error("state=refused error=\"--login-passwords needs FILEMILL_GATEWAY_PASSWORD and "
                  "FILEMILL_SCHEDULER_PASSWORD\"");
        return -1;
    }
    if (apply(connection, settings) != 0 ||
        migrate_login(connection, "filemill_gateway", settings->gateway_password) != 0)
        return -1;
    return migrate_login(connection, "filemill_scheduler", settings->scheduler_password);
}

static const struct verb {
    const char *name;
    int (*run)(PGconn *connection, const struct settings *settings);
} verbs[] = {
    {"--status", show_status},
    {"--verify", verify},
    {"--login-passwords", apply_and_set_passwords},
};

static void usage(void) {
    fprintf(stderr, "usage: filemill-migrate [--wait SECONDS] [--status | --verify | --login-passwords]\n");
}

static void ignore_notice(void *context, const char *message) {
}

static PGconn *connect_within(const char *url, uint64_t wait_s) {
    int64_t deadline_ms = clock_monotonic_ms() + (int64_t)wait_s * 1000;
    const char *const names[] = {"connect_timeout", "client_encoding", "fallback_application_name", "dbname",
                                 NULL};
    const char *const values[] = {"5", "UTF8", "filemill-migrate", url, NULL};

    for (;;) {
        PGconn *connection = PQconnectdbParams(names, values, 1);
        if (PQstatus(connection) == CONNECTION_OK) {
            PQsetNoticeProcessor(connection, ignore_notice, NULL);
            return connection;
        }
        if (clock_monotonic_ms() >= deadline_ms) {
            const char *message = PQerrorMessage(connection);
            log_error("state=database_unavailable waited_s=%llu error=\"%.*s\"", (unsigned long long)wait_s,
                      (int)strcspn(message, "\n"), message);
            PQfinish(connection);
            return NULL;
        }
        PQfinish(connection);
        nanosleep(&(struct timespec){.tv_nsec = WAIT_STEP_NS}, NULL);
    }
}

static int parse_arguments(int count, char **arguments, const struct verb **verb, uint64_t *wait_s) {
    for (int i = 1; i < count; i++) {
        const struct verb *found = NULL;
        if (strcmp(arguments[i], "--wait") == 0 && i + 1 < count &&
            text_parse_u64(arguments[i + 1], 0, 86400, wait_s) == 0) {
            i++;
            continue;
        }
        for (size_t v = 0; v < sizeof verbs / sizeof verbs[0]; v++)
            if (strcmp(arguments[i], verbs[v].name) == 0)
                found = &verbs[v];
        if (found == NULL || *verb != NULL)
            return -1;
        *verb = found;
    }
    return 0;
}

static int run(const struct verb *verb, const struct settings *settings, uint64_t wait_s) {
    PGconn *connection;
    int status;

    if (settings->database_url == NULL) {
        log_error("state=refused error=\"database-url (FILEMILL_DATABASE_URL) is not set\"");
        return 2;
    }
    connection = connect_within(settings->database_url, wait_s);
    if (connection == NULL)
        return 1;
    status = (verb == NULL ? apply : verb->run)(connection, settings);
    PQfinish(connection);
    return status == 0 ? 0 : 1;
}

int main(int count, char **arguments) {
    struct settings settings;
    const struct verb *verb = NULL;
    uint64_t wait_s = WAIT_DEFAULT_S;
    int status;

    if (parse_arguments(count, arguments, &verb, &wait_s) != 0) {
        usage();
        return 2;
    }
    settings_load(&settings, "migrate");
    status = run(verb, &settings, wait_s);
    settings_clear(&settings);
    return status;
}
