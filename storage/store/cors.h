/* SPDX-License-Identifier: MIT
 * Cross-origin requests (https://fetch.spec.whatwg.org/#http-cors-protocol): one list of origins for all
 * buckets. */
#ifndef STORAGE_STORE_CORS_H
#define STORAGE_STORE_CORS_H

#include <stdbool.h>

struct call;
struct reply;

/* Whether `origin` is in the comma-separated list, or the list is "*". */
bool cors_allows(const char *origins, const char *origin);
/* Adds what a browser needs to see the answer; nothing for other origins. */
void cors_decorate(const struct call *call, struct reply *reply);
/* Answers OPTIONS. */
void cors_preflight(struct call *call);

#endif
