/* SPDX-License-Identifier: MIT
 * Word lists: jobs that make one of a document, the lists that users keep, and their exports. What a list
 * may hold, whom it belongs to and what follows from an order are the database's
 * (sql/migrations/0048_retention.sql). */
#ifndef GATEWAY_WORDLISTS_H
#define GATEWAY_WORDLISTS_H

#include "gateway/call.h"

/* wordlists_jobs.c */
void handle_wordlist_submit(struct call *call);
void handle_wordlist_job(struct call *call);
void handle_wordlist_export(struct call *call);
void handle_wordlist_exported(struct call *call);
void handle_wordlist_metrics(struct call *call);
/* True when both are codes of languages; else the call is answered. */
bool wordlist_languages_check(struct call *call, const char *source, const char *target);

/* wordlists.c */
void handle_wordlists(struct call *call);
void handle_wordlist_add(struct call *call);
void handle_wordlist(struct call *call);
void handle_wordlist_change(struct call *call);
void handle_wordlist_delete(struct call *call);

#endif
