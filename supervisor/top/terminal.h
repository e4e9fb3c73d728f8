/* SPDX-License-Identifier: MIT
 * The terminal of `filemill top`: entered, drawn on, left as it was found. One per process. */
#ifndef SUPERVISOR_TOP_TERMINAL_H
#define SUPERVISOR_TOP_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/top/screen.h"

/* Takes the screen, and Ctrl-C as a wish to end; false, and nothing is changed, where there is no terminal. */
bool terminal_enter(void);
void terminal_leave(void);
/* `live`: over the page before, as large as the terminal; else all of it, once. */
void terminal_show(const struct top_model *model, bool live);
/* Until the time is over; false as soon as somebody wants to end (q, Esc, Ctrl-C, nobody to write to). */
bool terminal_wait(int64_t milliseconds);

#endif
