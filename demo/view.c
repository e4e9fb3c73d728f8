/* SPDX-License-Identifier: MIT
 * Draws the rows again in place on a terminal; prints a line per new step elsewhere. */
#include "demo/view.h"
#include "lib/memory.h"
#include "lib/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BAR_CELLS 24u

struct view {
    struct view_row *rows;
    size_t count;
    bool terminal;
    bool drawn;
};

struct view *view_new(struct view_row *rows, size_t count, bool terminal) {
    struct view *view = memory_new(sizeof *view);
    view->rows = rows;
    view->count = count;
    view->terminal = terminal;
    return view;
}

static void draw_bar(const struct view_row *row) {
    const char *colour = row->failed ? "\033[31m" : row->percent == 100 ? "\033[32m" : "\033[36m";
    printf("  %-14.14s %s", row->name, colour);
    for (unsigned cell = 0; cell < BAR_CELLS; cell++)
        fputs(cell * 100 < row->percent * BAR_CELLS ? "█" : "·", stdout);
    printf("\033[0m %3u%%  %-38.38s\033[K\n", row->percent, row->step);
}

static void draw(struct view *view) {
    if (view->drawn)
        printf("\033[%zuA", view->count);
    for (size_t i = 0; i < view->count; i++)
        draw_bar(&view->rows[i]);
    view->drawn = true;
    fflush(stdout);
}

void view_step(struct view *view, struct view_row *row, unsigned percent, const char *step) {
    if (row->percent == percent && strcmp(row->step, step) == 0)
        return;
    bool new_step = strcmp(row->step, step) != 0;
    row->percent = percent;
    text_copy(row->step, sizeof row->step, step);
    if (view->terminal) {
        draw(view);
    } else if (new_step) {
        printf("  %-14s %3u%%  %s\n", row->name, percent, step);
        fflush(stdout);
    }
}

void view_free(struct view *view) {
    free(view);
}
