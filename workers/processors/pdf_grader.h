/* SPDX-License-Identifier: MIT
 * A document's pages graded one by one (pdf_grade.h), for extract_pdf and for ocr that reads what is needed. The
 * content is looked at only where the text leaves a question: a document of plain text pays for neither. */
#ifndef WORKERS_PROCESSORS_PDF_GRADER_H
#define WORKERS_PROCESSORS_PDF_GRADER_H

#include "workers/processors/pdf_grade.h"

struct pdf_grader {
    const unsigned char *bytes; /* of the document; must stay */
    size_t size;
    struct pdf_content *content; /* NULL: not opened yet, or not to be had */
    bool is_tried;
};

/* `text` is what the page says by itself; NULL: it can't be read. */
struct pdf_grade pdf_grader_page(struct pdf_grader *grader, int page, const char *text, size_t size);

#endif
