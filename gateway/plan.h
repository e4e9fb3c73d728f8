/* SPDX-License-Identifier: MIT
 * A tenant's plan: rows of {"media_type", "jobs": [{"type", "parameters", "priority"}]}. Checking one, and
 * the jobs that a file gets by it. Pure but for the ids of the jobs. */
#ifndef GATEWAY_PLAN_H
#define GATEWAY_PLAN_H

#include "config/settings.h"
#include "proto/plan.h"
#include <jansson.h>
#include <stdbool.h>

#define TENANT_PLAN_MAX_ROWS 64

/* NULL when the rows fit; else what is wrong, by path: {"plan[0].jobs[1].parameters.dpi": ["…"]}. */
json_t *plan_check(const json_t *rows);
/* The same rows with every member spelled out and patterns in lower case; a new reference. */
json_t *plan_normal(const json_t *rows);
/* The program's own rows in the same form; without what the settings leave out. */
json_t *plan_own(const struct settings *settings);

struct file_plan {
    size_t count;
    char *jobs;      /* JSON for jsonb_to_recordset: [{"id", "type", "parameters", "priority"}] */
    char *followers; /* JSON: {type: {"parameters", "priority"}}: what follows another job where that one says
                        so */
};

/* The jobs for a kind of bytes. `rows` are the tenant's (checked once, but judged anew: processors come and
 * go); the longest pattern that matches wins, and where none does the program's own rows. */
void file_plan_make(struct file_plan *plan, const json_t *rows, const char *media_type,
                    const struct settings *settings);
void file_plan_clear(struct file_plan *plan);

#endif
