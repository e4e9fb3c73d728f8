/* SPDX-License-Identifier: MIT
 * Asks filemill-identify, a child of this process, what libmagic makes of some bytes. It may die, hang or
 * lie: an errand ends with an answer of plain text or, within two seconds, without one, and the child is
 * started again. */
#ifndef GATEWAY_IDENTIFY_H
#define GATEWAY_IDENTIFY_H

#include "lib/loop.h"
#include <stdbool.h>
#include <stddef.h>

struct identify;

/* Starts the child. Where it can't be, errands end without an answer. Before any thread. */
struct identify *identify_new(struct loop *loop, bool sandbox_required);
void identify_free(struct identify *identify); /* no callbacks after this */

/* Media types, or "" where unknown; `magic` is NULL when there was no answer. */
typedef void identify_fn(void *context, const char *magic, const char *zip);

/* The first bytes and, for a longer zip, its last ones (NULL, 0: none). `done` is called once, from the loop.
 */
struct identify_bytes {
    const unsigned char *head, *tail;
    size_t head_size, tail_size;
};
void identify_start(struct identify *identify, const struct identify_bytes *bytes, identify_fn *done,
                    void *context);

#endif
