/* SPDX-License-Identifier: MIT
 * How good a PDF page's own text is, and whether the page should be read by ocr. The judgement is pure; what it
 * needs to know of a page's drawing comes from its content stream, by qpdf. */
#ifndef WORKERS_PROCESSORS_PDF_GRADE_H
#define WORKERS_PROCESSORS_PDF_GRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a page's content does. */
struct pdf_marks {
    double image_share; /* of the page that pictures cover, 0 to 1 */
    uint64_t paths, visible_texts, invisible_texts; /* drawing operators */
    bool is_cut; /* the content is too long or broken: the rest counts as nothing */
};

struct pdf_grade {
    const char *source; /* "native" or "none" */
    const char *grade;  /* "good", "doubtful", "none" */
    const char *reason; /* "text", "foreign_ocr", "garbled", "little_text_over_image", "no_text", "blank",
                           "unreadable" */
    bool needs_ocr;
};

/* --- pdf_grade.c ---------------------------------------------------------------------------------------- */

/* Whether the text alone decides. When it does not, the marks are needed. */
bool pdf_grade_is_plain(const char *text, size_t size);
/* `marks` NULL: not known. `text` NULL: the page can't be read. */
struct pdf_grade pdf_grade_page(const char *text, size_t size, const struct pdf_marks *marks);

/* --- pdf_marks.cc --------------------------------------------------------------------------------------- */

struct pdf_content;

/* `bytes` must stay. NULL when qpdf can't read it. Not freed: the process ends with the document. */
struct pdf_content *pdf_content_open(const unsigned char *bytes, size_t size);
/* Whether the page's resources have a picture large enough to be a scan. */
bool pdf_content_has_scan(struct pdf_content *content, int page);
/* 0 or -1. */
int pdf_content_marks(struct pdf_content *content, int page, struct pdf_marks *marks);

#ifdef __cplusplus
}
#endif

#endif
