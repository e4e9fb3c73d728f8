/* SPDX-License-Identifier: MIT
 * Every SQL statement of the scheduler, one row each, with the plan that a hot one must have. */
#ifndef SCHEDULER_STATEMENTS_H
#define SCHEDULER_STATEMENTS_H

#include "sql/database.h"

#define CLAIM_BANDS 4
#define CLAIM_SIZES 10 /* 1, 2, 4 … 512 */

enum statement_name {
    STATEMENT_LOOK,
    STATEMENT_ADOPT,
    STATEMENT_RESCUE_EXPIRED,
    STATEMENT_RESCUE_NODE,
    STATEMENT_RESCUE_OWN,
    STATEMENT_EXTEND,
    STATEMENT_LOCK_FILES,
    STATEMENT_FINISH_JOBS,
    STATEMENT_SPLIT,
    STATEMENT_DERIVATIVES,
    STATEMENT_USAGE,
    STATEMENT_PARTS,
    STATEMENT_CALLS,
    STATEMENT_FOLLOW,
    STATEMENT_HASHES,
    STATEMENT_REMEMBERED,
    STATEMENT_REMEMBERED_DERIVED,
    STATEMENT_FORGET,
    STATEMENT_CRASHES,
    STATEMENT_GARBAGE,
    STATEMENT_DROP_PARTS,
    STATEMENT_PARENT_PROGRESS,
    STATEMENT_WAKE_PARENTS,
    STATEMENT_WAKE_LEFT,
    STATEMENT_REFRESH_FILES,
    STATEMENT_PROGRESS,
    STATEMENT_SURVEY_RULES,
    STATEMENT_SURVEY,
    STATEMENT_ADMIT,
    STATEMENT_ADMITTED,
    STATEMENT_SHARE_USAGE,
    STATEMENT_NOTIFY,
    STATEMENT_PAUSE,
    STATEMENT_RESUME,
    STATEMENT_COUNT_JOBS,
    STATEMENT_MEASURE_QUEUE,
    STATEMENT_MEASURE_DATABASE,
    STATEMENT_EXPIRED_UPLOADS,
    STATEMENT_RETIRE_FILES,
    STATEMENT_PURGE_FILES,
    STATEMENT_OLD_JOBS,
    STATEMENT_OLD_EVENTS,
    STATEMENT_OLD_METRICS,
    STATEMENT_SCHEDULES,
    STATEMENT_OLD_PARTS,
    STATEMENT_LEASE_GARBAGE,
    STATEMENT_DELETED_GARBAGE,
    STATEMENT_COUNT
};

extern const struct statement statements[STATEMENT_COUNT];

/* Claims at most 2^size jobs; the LIMIT is a literal of its text. */
const struct statement *statement_claim(unsigned size);

/* Settings that every transaction of the scheduler takes on: plans must not depend on statistics that a fast
 * growing table does not have yet. Ends with a NULL name. */
extern const struct database_local statement_locals[];

#endif
