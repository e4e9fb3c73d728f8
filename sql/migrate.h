/* SPDX-License-Identifier: MIT
 * Forward-only migrations. Each runs in a transaction of its own under an advisory lock, and is noted in
 * schema_migrations with the SHA-256 of its text; a text that changed after it ran, or a row of a version
 * that this build does not have, stops everything. */
#ifndef SQL_MIGRATE_H
#define SQL_MIGRATE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

struct migration {
    int version;
    const char *name;
    const char *checksum; /* hex */
    const char *text;
};

/* Embedded at build time, in order of version. */
extern const struct migration migrations[];
extern const size_t migration_count;
extern const char verify_text[];

/* All return 0, or -1 after one log line. */
int migrate_apply(PGconn *connection);
int migrate_status(PGconn *connection); /* one line per migration on stdout */
int migrate_verify(PGconn *connection); /* PASS and FAIL lines on stdout; -1 if one failed */
/* Lets a role log in with this password; only its SCRAM verifier travels. */
int migrate_login(PGconn *connection, const char *role, const char *password);

/* Who runs the service: ids, comma separated; NULL: nobody. */
int migrate_admins(PGconn *connection, const char *admins);

/* Credits on or off, and who may grant them: ids, comma separated; NULL: nobody. */
int migrate_credits(PGconn *connection, bool on, const char *admins);

/* The first band of the queue that clients' jobs may be in. */
int migrate_priority(PGconn *connection, int64_t first);

#endif
