/* SPDX-License-Identifier: MIT
 * A PDF as input; see pdf_input.h. */
#include "workers/processors/pdf_input.h"

#include <stdlib.h>

#define POINTS_PER_INCH 72.0

static const struct {
    const char *code, *detail;
} failures[] = {
    [PDF_BROKEN] = {"bad_input", "not a readable PDF"},
    [PDF_LOCKED] = {"password_required", "the document is encrypted"},
    [PDF_NO_MEMORY] = {"memory_limit", "no memory left"},
};

int pdf_input_fail(struct processor_context *context, enum pdf_status status) {
    return processor_fail(context, failures[status].code, "%s", failures[status].detail);
}

struct pdf *pdf_input_open(struct processor_context *context) {
    enum pdf_status status;
    struct pdf *pdf = pdf_open(context->input, context->input_size, &status);

    if (pdf == NULL)
        (void)pdf_input_fail(context, status);
    return pdf;
}

enum pdf_status pdf_page_fit(struct pdf *pdf, int page, int pixels, struct pdf_bitmap *bitmap) {
    struct pdf_page_info facts = {0};
    enum pdf_status status = pdf_page_facts(pdf, page, &facts);
    double longest = facts.width > facts.height ? facts.width : facts.height;

    free(facts.label);
    if (status != PDF_OK)
        return status;
    return longest > 0 ? pdf_page_draw(pdf, page, pixels * POINTS_PER_INCH / longest, bitmap) : PDF_BROKEN;
}
