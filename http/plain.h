/* SPDX-License-Identifier: MIT
 * Answers written to a socket without libmicrohttpd: it cannot answer in the middle of a request's body, nor
 * to a request that it was never shown. Such an answer always ends the connection. Internal to http/. */
#ifndef HTTP_PLAIN_H
#define HTTP_PLAIN_H

#include "http/server.h"

/* Error body as problem details (RFC 9457) with the member "error". The default of error_body. */
void plain_problem(int status, const char *code, char *target, size_t size, const char **content_type);

/* Sends the whole response at once, without waiting; what the socket does not take is lost. */
void plain_send(int fd, const struct http_response *response, const char *server_name);

/* Listening socket as the options say; -1 with a log line. */
int plain_listen(const struct http_server_options *options);
/* "192.0.2.1" or "2001:db8::1"; "" for other families. */
struct sockaddr;
void plain_format_address(char *target, size_t size, const struct sockaddr *address);

#endif
