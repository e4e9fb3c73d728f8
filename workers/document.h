/* SPDX-License-Identifier: MIT
 * The files of one document, all of them memory: input, outputs, result and progress page. The worker makes
 * them, a runner fills them, and the worker judges what is in them when the runner is gone. */
#ifndef WORKERS_DOCUMENT_H
#define WORKERS_DOCUMENT_H

#include "workers/result.h"
#include <stdint.h>

struct document {
    const struct processor_row *row;
    int input; /* -1: none */
    uint64_t input_bytes;
    int parts; /* -1: none */
    uint64_t parts_bytes;
    int result;
    int progress_fd;
    struct progress_page *progress;
    int outputs[MESSAGE_MAX_OUTPUTS]; /* by index in the row's outputs; -1: not wanted */
    uint64_t output_bytes[MESSAGE_MAX_OUTPUTS];
};

/* `wanted`: bit set of output indices. 0, or -1 with errno (the document is then empty). */
int document_init(struct document *document, const struct processor_row *row, uint64_t wanted, int with_input);
void document_clear(struct document *document);

/* No byte of the input changes any more. 0 or -1 with errno. */
int document_seal_input(struct document *document, uint64_t bytes);

/* A file for what other jobs have made: the worker writes `bytes` bytes and seals it. 0 or -1 with errno. */
int document_open_parts(struct document *document, uint64_t bytes);
int document_seal_parts(struct document *document);

/* After the runner ended by itself: reads its result, measures and seals the outputs. Returns the reason why
 * the document failed, or NULL when it is done; `result` is filled either way. `limit` is for all outputs
 * together, 0: none. */
const struct reason_row *document_judge(struct document *document, uint64_t limit, struct runner_result *result);

#endif
