/* SPDX-License-Identifier: MIT
 * What the demo shows: a bar per file on a terminal, one line per change elsewhere. */
#ifndef DEMO_VIEW_H
#define DEMO_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct view_row {
    const char *name;
    char step[40];    /* "uploading", "extract_pdf running", "ready" */
    unsigned percent; /* 0 … 100 */
    bool failed;
};

struct view;

/* `rows` stay the caller's and outlive the view. */
struct view *view_new(struct view_row *rows, size_t count, bool terminal);
void view_step(struct view *view, struct view_row *row, unsigned percent, const char *step);
void view_free(struct view *view);

#endif
