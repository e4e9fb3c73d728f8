/* SPDX-License-Identifier: MIT
 * Claims by lanes: while limits, paused tenants, several tenants or an overdue band ask for it, the scheduler
 * looks which lanes have work (a survey), decides between them (fair.h), and claims from each what it
 * decided. Limits are kept by the claim's own transaction (jobs_admit, migration 0033), whatever a survey
 * said before. */
#ifndef SCHEDULER_LANES_H
#define SCHEDULER_LANES_H

#include "scheduler/fair.h"
#include "scheduler/scheduler.h"

struct lanes *lanes_new(struct scheduler *scheduler);
void lanes_free(struct lanes *lanes);

/* Claims go by lanes, not by the queue's head. */
bool lanes_lead(const struct lanes *lanes);
/* Rules may have changed, or there is more work than room: worth a survey soon. */
void lanes_suspect(struct lanes *lanes);
void lanes_note_backlog(struct lanes *lanes);
/* Jobs came, or ended. */
void lanes_note_change(struct lanes *lanes);
/* Whether there are any rules, as another look at the database says. */
void lanes_note_rules(struct lanes *lanes, bool rules);
/* The queue's head is no good for what there is room for. */
void lanes_need(struct lanes *lanes, bool needed);
/* Starts a survey if it is time for one. True: one is under way. */
bool lanes_refresh(struct lanes *lanes);

/* Sends a claim for what is decided; the rows are its second result. Returns how many jobs it asks for; 0:
 * nothing was sent. */
uint64_t lanes_claim(struct lanes *lanes, struct fair_wish *wish, database_done_fn *done, void *context);
/* What the claim brought; NULL: it failed. */
void lanes_take(struct lanes *lanes, const struct database_result *result);

#endif
