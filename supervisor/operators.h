/* SPDX-License-Identifier: MIT
 * What the commands of the operators' socket do. What needs the database is asked of the scheduler. */
#ifndef SUPERVISOR_OPERATORS_H
#define SUPERVISOR_OPERATORS_H

#include "supervisor/supervisor.h"

struct operators;

/* Opens the socket of the node's layout; NULL with one line in `error`. */
struct operators *operators_new(struct supervisor *supervisor, char *error, size_t error_size);
void operators_free(struct operators *operators);

#endif
