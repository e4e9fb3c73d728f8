/* SPDX-License-Identifier: MIT
 * Where requests on behalf of a user may go: https (http where allowed), no credentials, and only to
 * addresses that are global unicast or in a list of networks. The URL is judged early, for a clear answer;
 * what counts is the judgement of each address when it is dialled, after all resolving. */
#ifndef HTTP_OUTBOUND_H
#define HTTP_OUTBOUND_H

#include <stdbool.h>
#include <stddef.h>

#define OUTBOUND_URL_MAX 2048

struct outbound;
struct sockaddr;

/* `networks`: CIDRs separated by commas (may be NULL) that are allowed beside what is global. NULL and a line
 * in `error` when one of them is none. */
struct outbound *outbound_new(bool allow_http, bool allow_private, const char *networks, char *error,
                              size_t error_size);
void outbound_free(struct outbound *outbound);

bool outbound_allows_address(const struct outbound *outbound, const struct sockaddr *address);
/* NULL when the URL is fine as far as can be told without resolving its name; else why not (static text). */
const char *outbound_refuses_url(const struct outbound *outbound, const char *url);

#endif
