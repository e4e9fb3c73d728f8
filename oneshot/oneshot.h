/* SPDX-License-Identifier: MIT
 * One document through a nursery of one's own, without worker, scheduler or database: the same nursery,
 * sandbox and limits, waited for. Start it before anything that starts threads. */
#ifndef ONESHOT_ONESHOT_H
#define ONESHOT_ONESHOT_H

#include "config/settings.h"
#include "lib/loop.h"
#include "workers/document.h"
#include "workers/nursery_client.h"

struct oneshot;

struct oneshot_job {
    struct document document; /* of the caller, input sealed */
    struct nursery_limits limits;
    const char *mime;
    const char *parameters; /* JSON object or "" */
};

struct oneshot_end {
    const struct reason_row *reason; /* NULL: done */
    char detail[PROCESSOR_DETAIL_SIZE];
    struct runner_result result;
    uint64_t cpu_us, wall_ms, peak_rss_bytes;
    uint64_t steps_done; /* of what the processor counts: pages, stages */
};

/* From here on SIGINT and SIGTERM are noted: they kill the document that runs, stop what waits on the loop,
 * and every later run is "cancelled". NULL with a log line when no nursery could be started. */
struct oneshot *oneshot_new(const struct settings *settings);
void oneshot_free(struct oneshot *oneshot);
struct loop *oneshot_loop(struct oneshot *oneshot);
/* 0, or the signal that came. */
int oneshot_signal(const struct oneshot *oneshot);

/* The limits of a row under the settings' limit rows. */
void oneshot_limits(const struct settings *settings, const struct processor_row *row,
                    struct nursery_limits *limits);

/* Runs the document to its end. `end` is always filled; on success the outputs are measured and sealed. */
void oneshot_run(struct oneshot *oneshot, struct oneshot_job *job, struct oneshot_end *end);

/* Copies a descriptor's bytes into the document's input and seals it. 0, -1 with errno (EFBIG: more than
 * `most`). */
int oneshot_read_input(struct document *document, int fd, uint64_t most);
/* What the input's first bytes show; "application/octet-stream" when nothing is known. Static text. */
const char *oneshot_sniff(const struct document *document);

#endif
