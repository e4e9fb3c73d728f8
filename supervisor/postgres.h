/* SPDX-License-Identifier: MIT
 * The embedded Postgres: a private cluster on a Unix socket. Links nothing of Postgres; it makes the cluster
 * with initdb and single-user mode, then becomes the server. */
#ifndef SUPERVISOR_POSTGRES_H
#define SUPERVISOR_POSTGRES_H

#include <stdbool.h>
#include <sys/types.h>

/* The launcher, `filemill embedded-postgres DIRECTORY SOCKETS CONNECTIONS`, which runs as the services' user:
 * makes DIRECTORY/data unless it is there, with the statements on standard input, then execs postgres. Half a
 * cluster never counts: it is made under another name and renamed. Returns an exit status on failure only. */
int postgres_launch(int argument_count, char **arguments);

/* Whether the server with this pid answers queries, by its postmaster.pid. */
bool postgres_is_ready(const char *directory, pid_t pid);

#endif
