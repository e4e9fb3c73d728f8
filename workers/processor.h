/* SPDX-License-Identifier: MIT
 * What a processor is: one file in workers/processors/ ending in `const struct processor processor_<name>`,
 * and one row in proto/processors.def. `warm` runs once in the nursery, before anything is sandboxed, and
 * must start no thread. `run` runs in a fresh sandboxed process that ends with its document; it may be killed
 * at any instruction, and whatever it says is checked by the worker. */
#ifndef WORKERS_PROCESSOR_H
#define WORKERS_PROCESSOR_H

#include "proto/processors.h"
#include "workers/progress.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROCESSOR_MAX_FACTS 40
#define PROCESSOR_FACT_NAME_SIZE 24
#define PROCESSOR_DETAIL_SIZE 200
#define PROCESSOR_MAX_WARNINGS 12
#define PROCESSOR_WARNING_SIZE 100
#define PROCESSOR_SPLIT_SIZE 2048
#define PROCESSOR_LIST_SIZE 256
#define PROCESSOR_MAX_ENGINES 3

struct processor_fact {
    int output; /* index in the row's outputs, or -1: of the whole document */
    char name[PROCESSOR_FACT_NAME_SIZE];
    uint64_t number;
};

/* What a document may hold, whatever its task says: the node's settings. */
struct processor_guards {
    uint64_t dpi, archive_entries, archive_ratio, archive_bytes, depth, characters;
    uint64_t audio_seconds; /* 0: no limit */
};

struct processor_context {
    const struct processor_row *row;
    const unsigned char *input; /* mapped, read-only; never NULL */
    size_t input_size;
    const unsigned char *parts; /* the same: what ranges of this document made, one after the other */
    size_t parts_size;
    const char *mime;       /* of the input, as sniffed */
    const char *parameters; /* JSON object text, "" when there are none */
    uint64_t pages, pixels; /* limits; 0: none */
    uint64_t memory_bytes, output_bytes;
    struct processor_guards guards;
    uint64_t range_pages, ranges; /* a document with more pages than that may be cut, into so many; 0: never */
    bool joins;                   /* parts are all that there will be: pages that are in none have failed */
    int outputs[MESSAGE_MAX_OUTPUTS]; /* by index in the row's outputs; -1: not wanted */
    int result;                       /* where the runner writes the result: for hostile tests only */
    struct progress_page *progress;

    /* filled by the calls below */
    const char *error; /* NULL: done */
    char detail[PROCESSOR_DETAIL_SIZE];
    struct processor_fact facts[PROCESSOR_MAX_FACTS];
    size_t fact_count;
    char warnings[PROCESSOR_MAX_WARNINGS][PROCESSOR_WARNING_SIZE];
    size_t warning_count;
    uint64_t page_count;
    char split[PROCESSOR_SPLIT_SIZE];        /* see processor_split */
    char failed_pages[PROCESSOR_LIST_SIZE]; /* "3,7-9": said of the document and of each output */
    uint64_t written[MESSAGE_MAX_OUTPUTS];
};

struct processor {
    const char *name;
    int (*warm)(void);                               /* NULL: nothing to warm; -1 refuses the start */
    int (*warm_first)(void);                         /* the same before its first document: for engines that cost
                                                        memory which a node without such documents need not pay */
    int (*run)(struct processor_context *context);   /* 0, or -1 after processor_fail */
    const char *(*engines[PROCESSOR_MAX_ENGINES])(void); /* workers/processors/engines.h */
};

/* In the order of proto/processors.def; NULL if unknown, or in another nursery. */
const struct processor *processor_of(const struct processor_row *row);
/* All of this nursery, once; -1 when one can't. */
int processors_warm(void);
/* "extract_pdf=poppler/22.12.0;…" of all processors here that name engines. 0, or -1 when it does not fit. */
int processors_describe_engines(char *target, size_t size);
/* In the nursery, before a document of this row is given to a runner: warm_first, once. -1: this document can't. */
int processor_prepare(const struct processor_row *row);

/* Notes why it failed, with a code of workers/deaths.c; returns -1. The first failure stands. */
int processor_fail(struct processor_context *context, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A number about the document (output -1) or one of its outputs: becomes metrics or metadata. */
void processor_fact(struct processor_context *context, int output, const char *name, uint64_t number);
/* A sentence for whoever asked for the job: what was done is worth a second look. Becomes metrics.warnings. */
void processor_warn(struct processor_context *context, const char *text);
void processor_progress(struct processor_context *context, uint64_t done, uint64_t total);
/* Not done but to be cut: "1-8:8,9-16:5", first and last page of each range and how many are to be read. */
void processor_split(struct processor_context *context, const char *ranges);
/* Appends to an output. 0, or -1 after processor_fail. */
int processor_write(struct processor_context *context, int output, const void *bytes, size_t size);

#endif
