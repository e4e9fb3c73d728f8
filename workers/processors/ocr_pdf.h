/* SPDX-License-Identifier: MIT
 * The searchable PDF: pages as they were, with what was read on top of them as text that is not drawn (text
 * rendering mode 3, ISO 32000-1 9.3.6). Streams of a scan are handed through as they are. The only user of
 * qpdf, behind plain C: nothing is thrown through here. */
#ifndef WORKERS_PROCESSORS_OCR_PDF_H
#define WORKERS_PROCESSORS_OCR_PDF_H

#include <stdbool.h>
#include <stddef.h>

#include "workers/processors/ocr_page.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ocr_pdf;

/* A picture as PDF stores it (ISO 32000-1 8.9.5). All of it is borrowed. */
struct ocr_scan {
    const char *filter; /* "DCTDecode", "FlateDecode", "CCITTFaxDecode" */
    const unsigned char *bytes;
    size_t size;
    int width, height; /* as stored */
    int bits, components;
    bool predicted;   /* FlateDecode: rows as PNG has them */
    bool black_is_one, inverted;
    const unsigned char *palette; /* RGB; NULL: none */
    size_t palette_size;
    int orientation; /* EXIF: 1 to 8, how it is to be shown */
};

/* In a runner: C++ code that finds no memory ends it with that reason, as engines may not throw through C. */
void ocr_pdf_guard_memory(void);
/* In the nursery. 0 or -1. */
int ocr_pdf_warm(void);

/* A document that is given (`bytes` must stay), or an empty one. NULL when qpdf can't read it. */
struct ocr_pdf *ocr_pdf_open(const unsigned char *bytes, size_t size);
struct ocr_pdf *ocr_pdf_new(void);
int ocr_pdf_page_count(struct ocr_pdf *pdf);
/* Adds a page that shows a picture; sizes in points, as shown. 0 or -1. */
int ocr_pdf_add_scan(struct ocr_pdf *pdf, const struct ocr_scan *scan, double width, double height);
/* Lays what was read over the page with this index. 0 or -1. */
int ocr_pdf_add_text(struct ocr_pdf *pdf, int index, const struct ocr_page *page);
/* Calls `write` with all bytes in order; it returns 0 to go on. 0 or -1. */
int ocr_pdf_write(struct ocr_pdf *pdf, int (*write)(void *context, const void *bytes, size_t size), void *context);

#ifdef __cplusplus
}
#endif

#endif
