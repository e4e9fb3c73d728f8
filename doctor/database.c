/* SPDX-License-Identifier: MIT
 * Postgres: is it there, of what version, with which settings, and is the schema ours? */
#include "sql/database.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "doctor/doctor.h"

#define STATEMENT_MS 5000
#define VERIFY_SIZE (64 * 1024)
#define VERSION_LEAST 150000

static const struct statement look = {
    .name = "doctor_look",
    .text = "select current_setting('server_version_num')::bigint as version, "
            "current_setting('server_version') as name,"
            " current_setting('synchronous_commit') as synchronous_commit, current_setting('fsync') as fsync,"
            " current_setting('full_page_writes') as full_page_writes, current_setting('autovacuum') as "
            "autovacuum,"
            " current_setting('max_connections')::bigint as connections,"
            " current_setting('server_encoding') as encoding, pg_is_in_recovery() as standby,"
            " abs(extract(epoch from clock_timestamp()) * 1000 - $1::bigint)::bigint as skew,"
            " (select coalesce(max(extract(epoch from now() - xact_start))::bigint, 0) from pg_stat_activity"
            "   where state <> 'idle') as oldest",
    .parameters = 1,
};

static void check_settings(struct doctor *doctor, const struct database_result *row) {
    bool durable = strcmp(result_text(row, 0, "fsync"), "on") == 0 &&
                   strcmp(result_text(row, 0, "full_page_writes"), "on") == 0;
    bool synchronous = strcmp(result_text(row, 0, "synchronous_commit"), "off") != 0;
    int64_t needed = doctor->settings.database_pool * doctor->settings.gateway_processes;
    int64_t skew_ms = result_number(row, 0, "skew");

    doctor_note(doctor, "database.version",
                result_number(row, 0, "version") < VERSION_LEAST ? VERDICT_FAIL : VERDICT_OK,
                "Postgres 15 or later is needed.", "%s", result_text(row, 0, "name"));
    doctor_note(
        doctor, "database.durable", durable && synchronous ? VERDICT_OK : VERDICT_FAIL,
        "Turn fsync, full_page_writes and synchronous_commit on: what was acknowledged could be lost.",
        "fsync %s, full_page_writes %s, synchronous_commit %s", result_text(row, 0, "fsync"),
        result_text(row, 0, "full_page_writes"), result_text(row, 0, "synchronous_commit"));
    doctor_note(doctor, "database.autovacuum",
                strcmp(result_text(row, 0, "autovacuum"), "on") == 0 ? VERDICT_OK : VERDICT_FAIL,
                "Turn autovacuum on: a queue's table grows without.", "%s",
                result_text(row, 0, "autovacuum"));
    doctor_note(doctor, "database.encoding",
                strcmp(result_text(row, 0, "encoding"), "UTF8") == 0 ? VERDICT_OK : VERDICT_FAIL,
                "Make a database with encoding UTF8.", "%s", result_text(row, 0, "encoding"));
    doctor_note(doctor, "database.writable", result_bool(row, 0, "standby") ? VERDICT_FAIL : VERDICT_OK,
                "Point it to the primary.", "%s", result_bool(row, 0, "standby") ? "a standby" : "yes");
    doctor_note(doctor, "database.connections",
                result_number(row, 0, "connections") < needed + 8 ? VERDICT_WARN : VERDICT_OK,
                "Raise max_connections, lower FILEMILL_DATABASE_POOL, or put PgBouncer in front.",
                "%lld at most; this node's gateways may open %lld",
                (long long)result_number(row, 0, "connections"), (long long)needed);
    doctor_note(doctor, "database.clock", skew_ms > 5000 ? VERDICT_WARN : VERDICT_OK,
                "Let both machines follow NTP: URLs expire by the one, leases by the other.",
                "%lld ms from ours", (long long)skew_ms);
    doctor_note(doctor, "database.transactions",
                result_number(row, 0, "oldest") > 3600 ? VERDICT_WARN : VERDICT_OK,
                "End it: while it lives, vacuum can't remove what the queue leaves behind.",
                "the oldest is %lld s old", (long long)result_number(row, 0, "oldest"));
}

static void on_looked(void *context, const struct database_answer *answer) {
    struct doctor *doctor = context;

    if (answer->outcome == DATABASE_OK) {
        doctor_note(doctor, "database.reachable", VERDICT_OK, "", "yes");
        check_settings(doctor, answer->results[0]);
    } else {
        doctor_note(
            doctor, "database.reachable", VERDICT_FAIL,
            "Check the database URL: host, port, user, password, TLS; and that Postgres lets this host in.",
            "%s %s", answer->outcome == DATABASE_REFUSED ? "refused" : "no connection", answer->sqlstate);
    }
    loop_stop(doctor->loop, answer->outcome == DATABASE_OK ? 0 : 1);
}

/* As verify.sql says, which only the owner may run. */
static void check_schema(struct doctor *doctor) {
    static const char *const arguments[] = {"--verify", NULL};
    static char said[VERIFY_SIZE];
    const char *wrong;
    int status;

    if (doctor->settings.database_url == NULL) {
        doctor_note(doctor, "database.schema", VERDICT_WARN,
                    "Run doctor where the owner's URL (DATABASE_URL) is set.",
                    "not looked at: only the owner may");
        return;
    }
    status = doctor_program("filemill-migrate", arguments, -1, said, sizeof said);
    wrong = strstr(said, "FAIL ");
    doctor_note(doctor, "database.schema", status == 0 ? VERDICT_OK : VERDICT_FAIL,
                "Run `filemill migrate`, then `filemill migrate --verify`.", "%.*s",
                wrong != NULL ? (int)strcspn(wrong, "\n") : 200,
                status == 0     ? "up to date, with the rights that it should have"
                : wrong != NULL ? wrong
                                : "could not be verified");
}

void doctor_database(struct doctor *doctor) {
    const struct settings *settings = &doctor->settings;
    const struct database_options options = {
        .url = settings->database_url != NULL ? settings->database_url : settings->gateway_database_url,
        .application_name = "filemill-doctor",
        .connections = 1,
        .statement_timeout_ms = STATEMENT_MS,
        .max_waiting = 4,
    };
    char now_ms[24];
    const struct query query = {.statement = &look, .values = {now_ms}};
    struct database *database;
    struct timespec now;
    int status;

    if (options.url == NULL) {
        doctor_note(doctor, "database.reachable", VERDICT_WARN, "Start `filemill serve`, then ask again.",
                    "embedded, and not started yet");
        return;
    }
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)snprintf(now_ms, sizeof now_ms, "%lld", (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    database = database_new(doctor->loop, &options);
    database_run(database, NULL, &query, 1, on_looked, doctor);
    status = loop_run(doctor->loop);
    database_free(database);
    if (status == 0) {
        doctor_pooler(doctor, options.url);
        check_schema(doctor);
    }
}
