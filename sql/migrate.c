/* SPDX-License-Identifier: MIT
 * Applying, listing and verifying migrations, over one blocking connection. */
#include "sql/migrate.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/text.h"

static const char lock_text[] = "select pg_advisory_xact_lock(7308325551001)";
static const char table_text[] =
    "create table if not exists schema_migrations ("
    " version int primary key, name text not null, checksum text not null,"
    " applied_at timestamptz not null default now());"
    "alter table schema_migrations enable row level security;"
    "alter table schema_migrations force row level security;"
    "do $$ begin"
    "  if not exists (select from pg_policies where schemaname = current_schema()"
    "                  and tablename = 'schema_migrations' and policyname = 'operator') then"
    "    execute format('create policy operator on schema_migrations to %I using (true) with check (true)',"
    "                   current_user);"
    "  end if;"
    "end $$";
static const char exists_text[] = "select to_regclass('schema_migrations') is not null";
static const char list_text[] =
    "select version, name, checksum, to_char(applied_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    " from schema_migrations order by version";

static void log_server_error(const char *what, const PGconn *connection) {
    char line[512];
    const char *message = PQerrorMessage(connection);
    size_t size = strcspn(message, "\n");

    text_format(line, sizeof line, "%.*s", (int)(size < 500 ? size : 500), message);
    log_error("state=migrate_failed at=\"%s\" error=\"%s\"", what, line);
}

static int run(PGconn *connection, const char *text, const char *what) {
    PGresult *result = PQexec(connection, text);
    ExecStatusType status = PQresultStatus(result);

    PQclear(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return 0;
    log_server_error(what, connection);
    return -1;
}

static PGresult *ask(PGconn *connection, const char *text, const char *what) {
    PGresult *result = PQexec(connection, text);

    if (PQresultStatus(result) == PGRES_TUPLES_OK)
        return result;
    log_server_error(what, connection);
    PQclear(result);
    return NULL;
}

static const struct migration *migration_find(int64_t version) {
    for (size_t i = 0; i < migration_count; i++)
        if (migrations[i].version == version)
            return &migrations[i];
    return NULL;
}

/* Compares what the database says with what this build has. */
static int check_applied(const PGresult *applied) {
    for (int row = 0; row < PQntuples(applied); row++) {
        int64_t version = 0;
        const struct migration *known;
        (void)text_parse_i64(PQgetvalue(applied, row, 0), 0, INT32_MAX, &version);
        known = migration_find(version);
        if (known == NULL) {
            log_error(
                "state=migrate_refused error=\"the database has migration %04d %s, which this build does "
                "not know: run the newer build\"",
                (int)version, PQgetvalue(applied, row, 1));
            return -1;
        }
        if (strcmp(known->checksum, PQgetvalue(applied, row, 2)) != 0) {
            log_error("state=migrate_refused error=\"migration %04d %s was changed after it was applied\"",
                      known->version, known->name);
            return -1;
        }
    }
    return 0;
}

static bool is_applied(const PGresult *applied, const struct migration *migration) {
    for (int row = 0; row < PQntuples(applied); row++) {
        int64_t version = 0;
        (void)text_parse_i64(PQgetvalue(applied, row, 0), 0, INT32_MAX, &version);
        if (version == migration->version)
            return true;
    }
    return false;
}

/* Runs the first migration that is missing. *more: there may be others. */
static int apply_next(PGconn *connection, const PGresult *applied, bool *more) {
    char note[256];

    *more = false;
    for (size_t i = 0; i < migration_count; i++) {
        const struct migration *migration = &migrations[i];
        if (is_applied(applied, migration))
            continue;
        text_format(note, sizeof note,
                    "insert into schema_migrations (version, name, checksum) values (%d, '%s', '%s')",
                    migration->version, migration->name, migration->checksum);
        if (run(connection, migration->text, migration->name) != 0 ||
            run(connection, note, migration->name) != 0)
            return -1;
        log_info("migration=%04d name=%s state=applied", migration->version, migration->name);
        *more = true;
        return 0;
    }
    return 0;
}

/* One transaction: lock, look, apply one. The lock goes with the transaction, so a second node that waited
 * for it sees what the first has done. */
static int apply_one(PGconn *connection, bool *more) {
    PGresult *applied;
    int status = -1;

    if (run(connection, "begin", "begin") != 0)
        return -1;
    if (run(connection, lock_text, "lock") == 0 && run(connection, table_text, "schema_migrations") == 0) {
        applied = ask(connection, list_text, "schema_migrations");
        if (applied != NULL && check_applied(applied) == 0)
            status = apply_next(connection, applied, more);
        PQclear(applied);
    }
    if (status == 0)
        return run(connection, "commit", "commit");
    PQclear(PQexec(connection, "rollback"));
    return -1;
}

int migrate_apply(PGconn *connection) {
    bool more = true;

    while (more)
        if (apply_one(connection, &more) != 0)
            return -1;
    return 0;
}

int migrate_status(PGconn *connection) {
    PGresult *exists = ask(connection, exists_text, "schema_migrations");
    PGresult *applied = NULL;
    int status;

    if (exists == NULL)
        return -1;
    if (PQgetvalue(exists, 0, 0)[0] == 't')
        applied = ask(connection, list_text, "schema_migrations");
    PQclear(exists);
    for (size_t i = 0; i < migration_count; i++) {
        const char *when = "pending";
        for (int row = 0; applied != NULL && row < PQntuples(applied); row++)
            if (strcmp(PQgetvalue(applied, row, 1), migrations[i].name) == 0)
                when = PQgetvalue(applied, row, 3);
        printf("%04d %-20s %s\n", migrations[i].version, migrations[i].name, when);
    }
    status = applied == NULL ? 0 : check_applied(applied);
    PQclear(applied);
    return status;
}

int migrate_verify(PGconn *connection) {
    PGresult *checks = ask(connection, verify_text, "verify");
    int failed = 0;

    if (checks == NULL)
        return -1;
    for (int row = 0; row < PQntuples(checks); row++) {
        bool passed = PQgetvalue(checks, row, 1)[0] == 't';
        failed += !passed;
        printf("%s %s%s%s\n", passed ? "PASS" : "FAIL", PQgetvalue(checks, row, 0), passed ? "" : ": ",
               passed ? "" : PQgetvalue(checks, row, 2));
    }
    if (PQntuples(checks) == 0)
        failed = 1;
    PQclear(checks);
    return failed == 0 ? 0 : -1;
}

int migrate_login(PGconn *connection, const char *role, const char *password) {
    char *verifier = PQencryptPasswordConn(connection, password, role, "scram-sha-256");
    char *literal = verifier == NULL ? NULL : PQescapeLiteral(connection, verifier, strlen(verifier));
    char text[1024];
    int status = -1;

    if (literal == NULL)
        log_server_error("password", connection);
    else if (text_format(text, sizeof text, "alter role %s login password %s", role, literal) == 0)
        status = run(connection, text, role);
    PQfreemem(literal);
    PQfreemem(verifier);
    return status;
}

/* Runs one statement with text parameters; 0, or -1 after one log line. */
static int run_with(PGconn *connection, const char *what, const char *text, const char *const *values, int count) {
    PGresult *result = PQexecParams(connection, text, count, NULL, values, NULL, NULL, 0);
    int status = PQresultStatus(result) == PGRES_TUPLES_OK ? 0 : -1;

    if (status != 0)
        log_server_error(what, connection);
    PQclear(result);
    return status;
}

#define IDS(parameter)                                                                                       \
    "coalesce((select array_agg(btrim(a)::uuid) from unnest(string_to_array(" parameter ", ',')) a"          \
    " where btrim(a) <> ''), '{}')"

int migrate_admins(PGconn *connection, const char *admins) {
    return run_with(connection, "admins", "select service_admins_set(" IDS("$1") ")", &admins, 1);
}

int migrate_credits(PGconn *connection, bool on, const char *admins) {
    const char *const values[] = {on ? "on" : "off", admins};

    return run_with(connection, "credits", "select credits_switch($1::boolean, " IDS("$2") ")", values, 2);
}

int migrate_priority(PGconn *connection, int64_t first) {
    char text[24];
    const char *const values[] = {text};

    (void)text_format(text, sizeof text, "%lld", (long long)first);
    return run_with(connection, "priority", "select priority_bound_set(null, $1::int)", values, 1);
}
