/* SPDX-License-Identifier: MIT
 * The SQL of webhooks' outbox, with the plan that a hot statement must have. */
#ifndef SCHEDULER_OUTBOX_STATEMENTS_H
#define SCHEDULER_OUTBOX_STATEMENTS_H

#include "sql/database.h"

enum outbox_statement {
    OUTBOX_LOOK,
    OUTBOX_CLAIM,
    OUTBOX_SETTLE,
    OUTBOX_RESCUE,
    OUTBOX_DISABLED,
    OUTBOX_OLD,
    OUTBOX_STATEMENT_COUNT
};

extern const struct statement outbox_statements[OUTBOX_STATEMENT_COUNT];

#endif
