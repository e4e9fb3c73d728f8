/* SPDX-License-Identifier: MIT
 * The parameters of transcribe, the same for every backend: language, a code of ISO 639 with an optional
 * region
 * ("en", "en-us", "yue"). Unset: as the backend finds, or is configured. */
#ifndef WORKERS_PROCESSORS_TRANSCRIBE_OPTIONS_H
#define WORKERS_PROCESSORS_TRANSCRIBE_OPTIONS_H

#include "workers/processor.h"

#define TRANSCRIBE_LANGUAGE_SIZE 16

struct transcribe_options {
    char language[TRANSCRIBE_LANGUAGE_SIZE]; /* lower case; "" when not said */
};

/* 0, or -1 after processor_fail. */
int transcribe_options_read(struct processor_context *context, struct transcribe_options *options);

#endif
