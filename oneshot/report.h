/* SPDX-License-Identifier: MIT
 * What came of a run, for people and programs: outputs into their files, one JSON object, the exit status. */
#ifndef ONESHOT_REPORT_H
#define ONESHOT_REPORT_H

#include "oneshot/arguments.h"
#include "oneshot/oneshot.h"

enum exit_status {
    EXIT_DONE = 0,
    EXIT_HERE = 1,     /* a file of ours could not be read or written */
    EXIT_USAGE = 2,    /* not understood, or the configuration is wrong */
    EXIT_DOCUMENT = 3, /* refused for what it is */
    EXIT_LIMIT = 4,
    EXIT_ENGINE = 5,
    EXIT_SANDBOX = 6,
    EXIT_SIGNAL = 128, /* and the signal's number */
};

/* By the reason's code; NULL is done. */
int report_exit_status(const struct reason_row *reason);

/* Writes the outputs that were made to where the order says; `standard_output` takes the place of "-". 0, or
 * -1 with one line in `error`. */
int report_outputs(const struct order *order, const struct oneshot_job *job, const struct oneshot_end *end,
                   int standard_output, char *error, size_t error_size);

/* The result as one object; the caller decrefs. */
json_t *report_result(const struct order *order, const struct oneshot_job *job,
                      const struct oneshot_end *end);

/* All of the bytes to a descriptor. 0, or -1 with errno. */
int report_write(int fd, const char *bytes, size_t size);

#endif
