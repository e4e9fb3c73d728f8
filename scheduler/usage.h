/* SPDX-License-Identifier: MIT
 * What tenants use, in CPU time: measured when a job ends, estimated by its type while it runs. While tenants
 * compete for room the nodes tell each other through tenant_usage. */
#ifndef SCHEDULER_USAGE_H
#define SCHEDULER_USAGE_H

#include "scheduler/lease.h"

struct usage *usage_new(struct scheduler *scheduler);
void usage_free(struct usage *usage);

/* A lease begins and ends: until then its tenant is charged what its type takes. */
void usage_hold(struct usage *usage, struct lease *lease);
void usage_release(struct usage *usage, const struct lease *lease);
/* An attempt has ended, and took so long. */
void usage_note(struct usage *usage, const struct lease *lease, uint64_t cpu_ms, uint64_t wall_ms);

/* CPU time that a job of this type takes, as far as it is known. */
double usage_cost_ms(const struct usage *usage, const char *type);
/* Whether jobs of this type hold their place for long: by what was measured, else by the limit of their row.
 */
bool usage_is_long(const struct usage *usage, const char *type);
/* How many leases of such types there are. */
uint64_t usage_long_held(const struct usage *usage);

/* Those who have work waiting, by name; the others are not here any more, and join anew when they come back.
 */
void usage_present(struct usage *usage, const char *const *tenants, size_t count);
/* With what the tenant's leases will take. */
double usage_of(const struct usage *usage, const char *tenant);
/* Writes what was used since the last time, and reads what all nodes have used; at most once a second. */
void usage_share(struct usage *usage);

#endif
