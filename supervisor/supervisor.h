/* SPDX-License-Identifier: MIT
 * The node: all children of all services, and what happens to them together: start in order, drain, renewal,
 * scaling. supervisor.c starts and wires, drain.c stops, renewal.c renews and scales. */
#ifndef SUPERVISOR_SUPERVISOR_H
#define SUPERVISOR_SUPERVISOR_H

#include "lib/loop.h"
#include "supervisor/child.h"
#include "supervisor/configuration.h"
#include "supervisor/layout.h"
#include "supervisor/variables.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CHILDREN_MAX 64 /* of one service */

enum phase { PHASE_STARTING, PHASE_SERVING, PHASE_DRAINING, PHASE_STOPPED, PHASE_COUNT };
extern const char *const phase_names[PHASE_COUNT];

enum drain_step { DRAIN_WORK, DRAIN_FRONT, DRAIN_REST };

struct supervisor {
    struct loop *loop;
    struct sources *sources;
    struct configuration configuration;
    struct layout layout;
    struct variables secrets;
    struct child_host host;
    struct child *children[SERVICE_COUNT][CHILDREN_MAX];
    unsigned counts[SERVICE_COUNT]; /* how many are wanted; places above are being emptied */
    enum phase phase;
    int64_t started_ms;
    /* drain.c */
    struct loop_timer *drain_deadline;
    enum drain_step drain_step;
    enum stage drain_stage;
    unsigned stop_requests;
    /* renewal.c */
    bool renewing;
    /* supervisor.c */
    struct loop_timer *turn; /* children changed: look at the whole on the next turn of the loop */
    bool had_terminal;
    bool runs_demo;
    pid_t demo_pid;
    unsigned last_failed;
    uint64_t strangers; /* orphans reaped */
};

/* Runs a node to its end; the exit status. `runs_demo`: starts `filemill demo` once ready. */
int supervisor_serve(struct sources *sources, bool runs_demo);

/* Children given up. */
unsigned supervisor_failed(const struct supervisor *supervisor);
/* "starting", "ready", "degraded", "draining". */
const char *supervisor_health(const struct supervisor *supervisor);

/* Calls `fn` for every child there is, in the order of the table. */
void supervisor_each(struct supervisor *supervisor,
                     void (*fn)(struct supervisor *supervisor, struct child *child));

/* Makes a place for a service's process, with its socket; NULL with one line in `error`. */
struct child *supervisor_add_child(struct supervisor *supervisor, unsigned service, unsigned index,
                                   char *error, size_t error_size);

/* Writes <run>/instance.env, from which the CLI knows the running instance; -1 with one line. */
int supervisor_publish_settings(const struct supervisor *supervisor, char *error, size_t error_size);

/* First call: drain. Second: its deadline is now. Third: kill. */
void drain_request(struct supervisor *supervisor);
/* Goes on with a drain after something has changed. */
void drain_advance(struct supervisor *supervisor);

/* Rereads the configuration; a bad one is one log line and changes nothing. 0, or -1 with that line. */
int renewal_reload(struct supervisor *supervisor, char *error, size_t error_size);
/* So many workers; slots of each worker. 0, or -1 with one line. */
int renewal_set_workers(struct supervisor *supervisor, unsigned count, char *error, size_t error_size);
int renewal_set_slots(struct supervisor *supervisor, unsigned slots, char *error, size_t error_size);
void renewal_advance(struct supervisor *supervisor);

#endif
