/* SPDX-License-Identifier: MIT
 * The services of a node, one row each. A new service is a new row. */
#ifndef SUPERVISOR_SERVICES_H
#define SUPERVISOR_SERVICES_H

#include "supervisor/configuration.h"
#include "supervisor/layout.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Started in this order, each when the one before is ready; stopped in reverse. */
enum stage { STAGE_DATABASE, STAGE_STORE, STAGE_SCHEMA, STAGE_WORK, STAGE_FRONT, STAGE_COUNT };

enum needs {
    NEEDS_COUNTERS = 1u << 0,  /* FILEMILL_COUNTERS_FD */
    NEEDS_LISTENER = 1u << 1,  /* FILEMILL_LISTEN_FD: a TCP socket that outlives the process */
    NEEDS_CONTROL = 1u << 2,   /* FILEMILL_CONTROL_FD: questions of operators */
    NEEDS_HEALTH = 1u << 3,    /* FILEMILL_HEALTH_FD: the supervisor's counters, to read */
    NEEDS_BOOTSTRAP = 1u << 4, /* standard input: the statements that fill a fresh cluster */
    NEEDS_INDEX = 1u << 5, /* its index as its argument: its successor there is told apart from its peers */
};

enum ending {
    ENDING_RESTARTS, /* whatever the status, it starts again */
    ENDING_IS_GOAL   /* exit 0 ends it for good, anything else is tried again for ever */
};

enum renewal {
    RENEW_NEVER,   /* keeps running when the configuration is reread */
    RENEW_REPLACE, /* stops, then starts */
    RENEW_OVERLAP  /* the new one serves before the old one is asked to go (SIGUSR2) */
};

struct service {
    const char *name;
    const char *program; /* file name beside our own */
    const char *verb;    /* first argument, or NULL */
    enum stage stage;
    unsigned roles;    /* runs where the node has one of these */
    unsigned audience; /* of its environment */
    unsigned needs;
    enum ending ending;
    enum renewal renewal;
    int stop_signal;
    int force_signal; /* sent before SIGKILL; 0: none */
    int64_t ready_within_ms;
    int64_t stop_within_ms; /* 0: as long as the drain may take */
    size_t count_offset;    /* of an int64_t in struct settings; SIZE_MAX: one */
    size_t address_offset;  /* of the char * and … */
    size_t port_offset;     /* … the int64_t in struct settings that a listener binds */
    bool (*is_wanted)(const struct configuration *configuration); /* NULL: roles decide alone */
    bool (*is_ready)(const struct layout *layout, pid_t pid);     /* NULL: says so on FILEMILL_READY_FD */
};

enum {
    SERVICE_POSTGRES,
    SERVICE_STORE,
    SERVICE_MIGRATE,
    SERVICE_SCHEDULER,
    SERVICE_WORKER,
    SERVICE_GATEWAY,
    SERVICE_COUNT
};

extern const struct service services[SERVICE_COUNT];

/* How many processes of it this node runs. */
unsigned service_count(const struct service *service, const struct configuration *configuration);

#endif
