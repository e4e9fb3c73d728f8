/* SPDX-License-Identifier: MIT
 * Closes a connection whose client may still be sending: the answer would be lost if the kernel met unread
 * bytes at close and sent a reset (RFC 9112 §9.6). Sends FIN, reads and forgets for a short while, then
 * closes. */
#ifndef HTTP_LINGER_H
#define HTTP_LINGER_H

#include "lib/loop.h"

struct linger_list;

struct linger_list *linger_new(struct loop *loop);
/* Closes the stragglers at once. */
void linger_free(struct linger_list *linger);
/* Takes a duplicate of `fd`; the caller closes its own. Nothing happens when there are too many. */
void linger_add(struct linger_list *linger, int fd);

#endif
