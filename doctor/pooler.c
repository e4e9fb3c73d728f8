/* SPDX-License-Identifier: MIT
 * PgBouncer, Supavisor and their like: is one in between, does it share sessions after each transaction, do
 * prepared statements get through, and can schedulers listen past it? */
#include "sql/database.h"

#include "doctor/doctor.h"

#define STATEMENT_MS 5000

static const struct statement ask = {.name = "doctor_pid", .text = "select pg_backend_pid() as pid"};

struct asking {
    struct doctor *doctor;
    int64_t pid;
    enum database_outcome outcome;
};

static void on_told(void *context, const struct database_answer *answer) {
    struct asking *asking = context;

    asking->outcome = answer->outcome;
    asking->pid = answer->outcome == DATABASE_OK ? result_number(answer->results[0], 0, "pid") : 0;
    loop_stop(asking->doctor->loop, 0);
}

static struct asking ask_pid(struct doctor *doctor, struct database *database) {
    struct asking asking = {.doctor = doctor};
    const struct query query = {.statement = &ask};

    database_run(database, NULL, &query, 1, on_told, &asking);
    (void)loop_run(doctor->loop);
    return asking;
}

static struct database *open_one(struct doctor *doctor, const char *url, bool prepare) {
    return database_new(doctor->loop, &(struct database_options){.url = url,
                                                                 .application_name = "filemill-doctor",
                                                                 .connections = 1,
                                                                 .prepare = prepare,
                                                                 .statement_timeout_ms = STATEMENT_MS,
                                                                 .max_waiting = 4});
}

static void check_direct(struct doctor *doctor, const char *mode) {
    const char *url = doctor->settings.database_direct_url;
    static const char unset[] = "Jobs that other nodes queue are found by looking once a second: set "
                                "FILEMILL_DATABASE_DIRECT_URL to Postgres "
                                "itself, where schedulers can LISTEN.";
    struct database *database;
    struct asking direct;
    int made_up;

    if (url == NULL) {
        doctor_note(doctor, "database.pooler", VERDICT_WARN, unset,
                    "a pooler %s is in between: no notice gets through, and there is no direct URL", mode);
        return;
    }
    database = open_one(doctor, url, false);
    direct = ask_pid(doctor, database);
    made_up = database_backend_pid(database);
    database_free(database);
    if (direct.outcome != DATABASE_OK)
        doctor_note(doctor, "database.pooler", VERDICT_FAIL,
                    "Check FILEMILL_DATABASE_DIRECT_URL: host, port, user, password, TLS.",
                    "a pooler %s is in between, and the direct URL gives no connection", mode);
    else
        doctor_note(doctor, "database.pooler", direct.pid == made_up ? VERDICT_OK : VERDICT_WARN, unset,
                    "a pooler %s is in between; schedulers listen on the direct URL, which %s", mode,
                    direct.pid == made_up ? "has none" : "goes through one too: it must not share sessions");
}

/* The second client finds the first one's statement in the session, or does not find its own. */
static void check_prepared(struct doctor *doctor, const char *url) {
    struct database *one, *two;
    bool through = true;

    if (!doctor->settings.database_prepare)
        return;
    one = open_one(doctor, url, true);
    two = open_one(doctor, url, true);
    for (unsigned i = 0; i < 4 && through; i++)
        through = ask_pid(doctor, i % 2 == 0 ? one : two).outcome == DATABASE_OK;
    database_free(two);
    database_free(one);
    doctor_note(doctor, "database.prepared", through ? VERDICT_OK : VERDICT_FAIL,
                "Set FILEMILL_DATABASE_PREPARE=off: this pooler mixes up prepared statements (PgBouncer "
                "before 1.21 does).",
                "prepared statements %s", through ? "get through" : "fail");
}

/* Two clients at once whose transactions ran in one session: it was shared. */
void doctor_pooler(struct doctor *doctor, const char *url) {
    struct database *one = open_one(doctor, url, false), *two = open_one(doctor, url, false);
    struct asking first = ask_pid(doctor, one), second = ask_pid(doctor, two);
    int made_up = database_backend_pid(one);

    database_free(two);
    database_free(one);
    if (first.outcome != DATABASE_OK)
        doctor_note(doctor, "database.pooler", VERDICT_WARN, "Ask again.", "Postgres did not answer");
    else if (first.pid == made_up)
        doctor_note(doctor, "database.pooler", VERDICT_OK, "", "none in between");
    else
        check_direct(doctor,
                     first.pid == second.pid ? "in transaction mode" : "(its mode could not be told)");
    check_prepared(doctor, url);
}
