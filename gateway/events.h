/* SPDX-License-Identifier: MIT
 * Server-sent events of files (WHATWG HTML §9.2) out of the table file_events. A listener is told of
 * everything after its Last-Event-ID, in order, exactly once per stream; the table is looked at when the
 * scheduler or a handler here says that a file has news, and once a second while anybody listens. */
#ifndef GATEWAY_EVENTS_H
#define GATEWAY_EVENTS_H

#include "gateway/gateway.h"

struct events *events_new(struct gateway *gateway);
void events_free(struct events *events);
/* A file may have new events. */
void events_notify(struct events *events, const char *file);
/* The listener's call is over. */
void events_forget(struct events *events, struct call *call);
/* Ends every stream, asking the clients to come back. */
void events_drain(struct events *events);

#endif
