/* SPDX-License-Identifier: MIT
 * The system call policy as data. A call that is in no row of a profile, or whose arguments match none of its
 * rows, ends the process (runner profiles) or gets EPERM (the worker). Arguments are compared in all 64 bits. */
#ifndef WORKERS_SANDBOX_RULES_H
#define WORKERS_SANDBOX_RULES_H

#include <stddef.h>
#include <stdint.h>

enum sandbox_user {
    USER_COMPUTE = 1u << 0, /* PROFILE_COMPUTE */
    USER_DATA = 1u << 1,    /* PROFILE_ENGINE_DATA */
    USER_WORKER = 1u << 2,
};

#define RULE_ALLOW 0
#define RULE_KILL (-1)

struct sandbox_check {
    unsigned argument;
    uint64_t mask; /* UINT64_MAX: equality */
    uint64_t value;
};

struct sandbox_rule {
    const char *call;
    unsigned users;
    int action; /* RULE_ALLOW, RULE_KILL, or an errno to answer */
    unsigned check_count;
    struct sandbox_check checks[2];
};

extern const struct sandbox_rule sandbox_rules[];
extern const size_t sandbox_rule_count;

/* Folders that PROFILE_ENGINE_DATA may read. Missing ones are skipped. */
extern const char *const sandbox_data_folders[];
extern const size_t sandbox_data_folder_count;
/* Settings in the nursery's environment that name further folders. */
extern const char *const sandbox_data_variables[];
extern const size_t sandbox_data_variable_count;

#endif
