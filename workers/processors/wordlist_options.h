/* SPDX-License-Identifier: MIT
 * The parameters of a word list's job, and how its pairs are written: for the runner, and for the worker that
 * asks a chat server instead. */
#ifndef WORKERS_PROCESSORS_WORDLIST_OPTIONS_H
#define WORKERS_PROCESSORS_WORDLIST_OPTIONS_H

#include <jansson.h>

#include "workers/processor.h"

#define WORDLIST_MOST 40
#define WORDLIST_LANGUAGE_SIZE 4
#define WORDLIST_SOURCE_LETTERS 100
#define WORDLIST_TARGET_LETTERS 200

struct wordlist_options {
    char source[WORDLIST_LANGUAGE_SIZE], target[WORDLIST_LANGUAGE_SIZE];
    int most;
};

/* 0, or -1 after processor_fail. */
int wordlist_options_read(struct processor_context *context, struct wordlist_options *options);
/* Takes `pairs` (a list of {source, target, …}). 0, or -1 after processor_fail. */
int wordlist_write(struct processor_context *context, const struct wordlist_options *options,
                   const char *backend, json_t *pairs);

#endif
