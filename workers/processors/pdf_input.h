/* SPDX-License-Identifier: MIT
 * What all processors of PDFs do alike with the document: opening it, saying why it can't be read, and
 * drawing a page into a square. */
#ifndef WORKERS_PROCESSORS_PDF_INPUT_H
#define WORKERS_PROCESSORS_PDF_INPUT_H

#include "workers/processor.h"
#include "workers/processors/pdf.h"

/* The input, opened (pdf.h); NULL after processor_fail. */
struct pdf *pdf_input_open(struct processor_context *context);
/* processor_fail with what the status means. */
int pdf_input_fail(struct processor_context *context, enum pdf_status status);
/* pdf_page_draw, so that the longer side has `pixels`. */
enum pdf_status pdf_page_fit(struct pdf *pdf, int page, int pixels, struct pdf_bitmap *bitmap);

#endif
