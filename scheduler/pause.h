/* SPDX-License-Identifier: MIT
 * What an operator asks of the queue: pausing and resuming a type, and how many jobs there are; by message,
 * or as questions of the supervisor (lib/control.h): "pause TYPE", "resume TYPE", "jobs". */
#ifndef SCHEDULER_PAUSE_H
#define SCHEDULER_PAUSE_H

#include "scheduler/scheduler.h"

void pause_type(struct scheduler *scheduler, const char *type, bool resume);
/* Answers the supervisor's questions for the process' life; nothing when there is no supervisor. */
void pause_serve(struct scheduler *scheduler);
void pause_stop(void);

#endif
