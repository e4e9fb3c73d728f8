/* SPDX-License-Identifier: MIT
 * How much a worker takes on: slots for runners, as many tasks again whose inputs are fetched meanwhile, and a
 * budget of memory over both. Pure. */
#ifndef WORKERS_ADMISSION_H
#define WORKERS_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

struct admission {
    uint64_t slots;        /* documents that run at a time */
    uint64_t prefetch;     /* tasks held beyond them */
    uint64_t budget_bytes; /* 0: none */
    uint64_t held;         /* tasks that were charged and not returned */
    uint64_t charged_bytes;
};

/* What a task is expected to take while it is held: its input, and an engine's usual appetite for it, at most
 * the memory that its runner may have. */
uint64_t admission_cost(uint64_t input_bytes, uint64_t memory_limit);

/* May a task of this cost begin now? One alone always may, however large: otherwise it never could. */
bool admission_fits(const struct admission *admission, uint64_t cost);
void admission_charge(struct admission *admission, uint64_t cost);
void admission_return(struct admission *admission, uint64_t cost);
/* The same for a task that takes memory but no place: others count how many of those there are. */
bool admission_fits_beside(const struct admission *admission, uint64_t cost);
void admission_charge_beside(struct admission *admission, uint64_t cost);
void admission_return_beside(struct admission *admission, uint64_t cost);

/* How many more tasks to ask for; `waiting`: tasks here that are not charged yet. */
uint64_t admission_credit(const struct admission *admission, uint64_t waiting);
uint64_t admission_free_bytes(const struct admission *admission);

#endif
