/* SPDX-License-Identifier: MIT
 * From the HTTP server to a route's handler: the steps that every request takes, in order. */
#ifndef GATEWAY_REQUEST_H
#define GATEWAY_REQUEST_H

#include "http/server.h"

/* For http_server_new, with the gateway as context. */
extern const struct http_handlers request_handlers;

#endif
