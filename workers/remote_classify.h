/* SPDX-License-Identifier: MIT
 * What a chat server's classifications come from: part of their provenance, and of what must be equal before
 * an old one is taken for a new one. */
#ifndef WORKERS_REMOTE_CLASSIFY_H
#define WORKERS_REMOTE_CLASSIFY_H

#include "config/settings.h"
#include <stddef.h>

/* "classify=prompt/1 model …", as engines are told in hello. 0, or -1 where no chat server is asked, or it
 * doesn't fit. */
int remote_classify_maker(const struct settings *settings, char *target, size_t size);

#endif
