/* SPDX-License-Identifier: MIT
 * Lets the server see, and cut, the bytes that libmicrohttpd reads from its sockets, before it parses them.
 * libmicrohttpd offers no hook for this and repairs much of what a strict server must refuse (see DESIGN.md),
 * so wire.c defines recv(2) for the program: between wire_enter and wire_leave on the same thread, what recv
 * brings in goes through the tap; anywhere else it is libc's recv. */
#ifndef HTTP_WIRE_H
#define HTTP_WIRE_H

#include <sys/types.h>

struct wire_tap {
    /* `got` bytes came from `fd` (0: end, -1: error in errno); returns what the reader shall see instead. */
    ssize_t (*filter)(void *context, int fd, char *bytes, ssize_t got);
    void *context;
};

/* Returns the tap that was there before, for wire_leave. */
const struct wire_tap *wire_enter(const struct wire_tap *tap);
void wire_leave(const struct wire_tap *before);

#endif
