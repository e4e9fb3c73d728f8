/* SPDX-License-Identifier: MIT
 * Results that were made before, of the same bytes by the same means for the same tenant, are copied. Asked for when a
 * job is leased and its bytes are known; when the copy can't be made the job is given out again and runs. */
#ifndef SCHEDULER_REMEMBER_H
#define SCHEDULER_REMEMBER_H

#include "scheduler/lease.h"
#include "scheduler/scheduler.h"

/* The job that made it, and what it made. All owned; kinds are the table's. */
struct remembered {
    char source[37];
    char *metrics; /* JSON; NULL: none */
    size_t count;
    struct remembered_output {
        const struct processor_output *row;
        char *key, *metadata;
        char *seal; /* NULL: the object is plain */
        char sha256[65];
        uint64_t size_bytes;
    } outputs[MESSAGE_MAX_OUTPUTS];
};

/* True if it took the lease: it is pushed to the ready ones, or given back, when the database has answered. */
bool remember_look(struct scheduler *scheduler, struct lease *lease);
void remembered_free(struct remembered *remembered);

/* Does a result hold exactly what was to be copied? */
bool remembered_is(const struct remembered *remembered, const struct message_result *result);
/* The copy failed: what was remembered is not to be found again. */
void remember_forget(struct scheduler *scheduler, const struct remembered *remembered);

#endif
