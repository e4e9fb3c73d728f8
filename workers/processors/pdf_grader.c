/* SPDX-License-Identifier: MIT
 * When to look at a page's content. */
#include "workers/processors/pdf_grader.h"

struct pdf_grade pdf_grader_page(struct pdf_grader *grader, int page, const char *text, size_t size) {
    bool plain = text != NULL && pdf_grade_is_plain(text, size);
    struct pdf_marks marks;
    bool known = false;

    if (!grader->is_tried) {
        grader->content = pdf_content_open(grader->bytes, grader->size);
        grader->is_tried = true;
    }
    if (text != NULL && grader->content != NULL && (!plain || pdf_content_has_scan(grader->content, page)))
        known = pdf_content_marks(grader->content, page, &marks) == 0;
    return pdf_grade_page(text, size, known ? &marks : NULL);
}
