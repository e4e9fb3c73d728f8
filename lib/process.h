/* SPDX-License-Identifier: MIT
 * Starting and judging child processes. Fork only from a single-threaded process. */
#ifndef LIB_PROCESS_H
#define LIB_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct process_descriptor {
    int from; /* descriptor here */
    int to;   /* number in the child */
};

/* What a child gets: nothing that is not named here. Standard input is /dev/null unless planned; standard
 * output and error are inherited unless planned; every other descriptor is closed. */
struct process_plan {
    const char *path;
    char *const *arguments;
    char *const *environment;
    const struct process_descriptor *descriptors;
    size_t descriptor_count;
    bool set_user; /* drop to user and group, with no supplementary groups */
    uid_t user;
    gid_t group;
    const char *directory; /* NULL: stay */
    bool own_session;      /* setsid: a terminal's Ctrl-C does not reach the child */
};

/* Forks and execs; the child dies with its parent (PR_SET_PDEATHSIG SIGKILL). Returns the pid and a pidfd
 * (close-on-exec, the caller closes it), or -1 with errno, also when the exec itself failed. */
pid_t process_spawn(const struct process_plan *plan, int *pidfd);

/* "exit 3", "signal 11 (SEGV)". */
void process_describe_status(char *target, size_t size, int wait_status);

/* Uid and gid of a user name; -1 if there is no such user. */
int process_find_user(const char *name, uid_t *user, gid_t *group);

/* Tells the parent that this process serves: writes a line to the descriptor named by FILEMILL_READY_FD and
 * closes it. No-op when the variable is absent. */
void process_report_ready(void);

/* As many open files as the hard limit allows, for this process and its children to come: shells and systemd begin
 * with 1024, less than a gateway has clients. */
void process_raise_open_files(void);

/* Directory of this program's file, for finding its siblings; fatal if unknown. Static storage. */
const char *process_own_directory(void);

#endif
