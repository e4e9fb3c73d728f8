/* SPDX-License-Identifier: MIT
 * The lines of `filemill top`: never wider than the terminal, never more than it has. Pure. */
#ifndef SUPERVISOR_TOP_SCREEN_H
#define SUPERVISOR_TOP_SCREEN_H

#include "lib/buffer.h"
#include "supervisor/top/model.h"

struct top_size {
    unsigned columns, rows;
    bool color;
};

/* Appends the lines, each ended by a newline but the last; anything unprintable in names and notes becomes
 * '?'. */
void top_screen_draw(struct buffer *text, const struct top_model *model, const struct top_size *size);

#endif
