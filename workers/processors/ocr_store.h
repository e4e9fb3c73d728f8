/* SPDX-License-Identifier: MIT
 * Pages as they were read, kept for the run that joins them: records one after the other, so that the parts of a
 * document are read as one. Written by another runner, and so read without trust. */
#ifndef WORKERS_PROCESSORS_OCR_STORE_H
#define WORKERS_PROCESSORS_OCR_STORE_H

#include "workers/processors/ocr.h"

/* Appends the page to an output. 0, or -1 after processor_fail. */
int ocr_store_write(struct processor_context *context, int output, const struct ocr_page *page);

struct ocr_store;

/* The pages in the context's parts, of a document with `count` pages. NULL after processor_fail. Not freed: the
 * process ends with the document. */
struct ocr_store *ocr_store_open(struct processor_context *context, int count);
/* Fills the page with this index. 1: done, 0: it is not there; -1 after processor_fail. */
int ocr_store_read(struct processor_context *context, const struct ocr_store *store, int index, struct ocr_page *page);

#endif
