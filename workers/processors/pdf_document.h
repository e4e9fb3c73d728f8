/* SPDX-License-Identifier: MIT
 * What a PDF says of itself beside its pages, as members of a JSON object: properties, outline, attachments' names. All
 * of it is the document's word, bounded, and nothing of it is followed or opened. */
#ifndef WORKERS_PROCESSORS_PDF_DOCUMENT_H
#define WORKERS_PROCESSORS_PDF_DOCUMENT_H

#include "lib/buffer.h"
#include "workers/processors/pdf.h"

/* Appends text as a JSON string; bytes that are not UTF-8 make it empty. 0, or -1 when the buffer is full. */
int pdf_json_string(struct buffer *json, const char *text, size_t size);

/* Appends `"properties":{…},"outline":[…],"attachments":[…]`. What can't be read is left out. 0, or -1 when the
 * buffer is full. */
int pdf_document_json(struct buffer *json, struct pdf *pdf);

#endif
