/* SPDX-License-Identifier: MIT
 * TCP sockets that outlive the processes that serve them: bound here, handed to every new process, so that a
 * restart refuses no connection. One per process, shared by SO_REUSEPORT. */
#ifndef SUPERVISOR_LISTENER_H
#define SUPERVISOR_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Binds; who starts the first process calls listen(2), so that nothing waits in vain before. With `is_first`,
 * checks before that nobody else has the port (SO_REUSEPORT alone would silently share it with another
 * instance). Returns the descriptor, or -1 with "address:port: why". */
int listener_open(const char *address, uint16_t port, bool is_first, char *error, size_t error_size);

#endif
