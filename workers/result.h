/* SPDX-License-Identifier: MIT
 * What a runner says about its document, and the only reader of it. The writer runs inside the sandbox and
 * may be in an attacker's hands: the reader takes a bounded map of known names, a code that runners may use,
 * printable text, and numbers under plain names; all else is a bad result. */
#ifndef WORKERS_RESULT_H
#define WORKERS_RESULT_H

#include "workers/deaths.h"
#include "workers/processor.h"

#define RESULT_MAX_BYTES (64u * 1024u)
#define RESULT_JSON_SIZE 1024
#define RESULT_METRICS_SIZE (RESULT_JSON_SIZE + PROCESSOR_MAX_WARNINGS * (PROCESSOR_WARNING_SIZE + 3) + 16)

struct runner_result {
    const struct reason_row *reason; /* NULL: done */
    char detail[PROCESSOR_DETAIL_SIZE];
    uint64_t pages;
    char metrics[RESULT_METRICS_SIZE];                    /* JSON object of numbers, and "warnings" */
    char split[PROCESSOR_SPLIT_SIZE];                     /* "": done */
    char failed_pages[PROCESSOR_LIST_SIZE];
    char metadata[MESSAGE_MAX_OUTPUTS][RESULT_JSON_SIZE]; /* one per output; "" when nothing was said */
};

/* In the runner. */
int result_write(int fd, const struct processor_context *context);

/* In the worker, after the runner is gone. -1 with a short static text in `error`. */
int result_read(int fd, const struct processor_row *row, struct runner_result *result, const char **error);

#endif
