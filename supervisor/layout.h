/* SPDX-License-Identifier: MIT
 * The state directory: where things lie, who owns them, and the lock that keeps a second instance out.
 *
 *   <state>/lock       locked for life; holds the supervisor's pid
 *   <state>/secrets    passwords and keys made at the first start, 0600, the supervisor's own
 *   <state>/postgres   the embedded cluster   (owned by the services' user)
 *   <state>/store      the embedded objects   (owned by the services' user)
 *   <state>/run        stats.sock and instance.env, the supervisor's own, 0600; a symbolic link to a shorter
 *                      place where <state> is too long for socket names
 *   <state>/run/s      sockets between services (owned by the services' user) */
#ifndef SUPERVISOR_LAYOUT_H
#define SUPERVISOR_LAYOUT_H

#include "config/settings.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct layout {
    char *state;
    char *run;
    char *sockets;
    char *stats_socket;
    char *channel_endpoint;
    char *secrets;
    char *instance; /* settings of the running instance, for the CLI */
    char *lock;
    char *postgres;
    char *store;
    const char *user_name; /* whom services run as; static storage */
    bool set_user;         /* started by root */
    uid_t user;
    gid_t group;
};

/* Works out all names; touches nothing. -1 with one line in `error`. Clear it in either case. */
int layout_find(struct layout *layout, const struct settings *settings, char *error, size_t error_size);
void layout_clear(struct layout *layout);

/* Makes what is missing and takes the lock, whose descriptor is returned and held for life; -1 with one line.
 */
int layout_prepare(const struct layout *layout, char *error, size_t error_size);

/* The pid of the instance that holds the lock; 0 when there is none. */
pid_t layout_owner(const struct layout *layout);

#endif
