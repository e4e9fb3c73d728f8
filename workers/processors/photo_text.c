/* SPDX-License-Identifier: MIT
 * The OCR stage of portal_photo: how surely the text of a picture can be read. What it says is not kept. */
#include <stdlib.h>

#include "workers/processors/ocr.h"
#include "workers/processors/photo.h"

int photo_text_warm(void) {
    return ocr_engine_warm();
}

static int fail_by_status(struct processor_context *context, enum ocr_status status) {
    static const struct {
        const char *code, *detail;
    } rows[] = {
        [OCR_READ] = {"OCR_FAILED", ""},
        [OCR_FAILED] = {"OCR_FAILED", "the picture could not be read"},
        [OCR_TOO_LONG] = {"OCR_TIMEOUT", "reading the picture took too long"},
        [OCR_NO_MEMORY] = {"memory_limit", "no memory to read the picture"},
    };

    return processor_fail(context, rows[status].code, "%s", rows[status].detail);
}

int photo_text_read(struct processor_context *context, const struct pixels *pixels, struct photo_text *text) {
    unsigned char *luma = malloc((size_t)pixels->width * (size_t)pixels->height);
    struct ocr_page page = {.number = 1,
                            .turn = {.page_width = pixels->width, .page_height = pixels->height}};
    struct Pix *picture;
    enum ocr_status status;

    if (luma == NULL)
        return fail_by_status(context, OCR_NO_MEMORY);
    photo_luma(pixels, luma);
    picture = ocr_picture(luma, pixels->width, pixels->height, (size_t)pixels->width);
    free(luma);
    if (picture == NULL)
        return fail_by_status(context, OCR_NO_MEMORY);
    if (ocr_engine_choose(context, "") != 0)
        return -1;
    status = ocr_engine_read(picture, &page); /* the picture is left: the process ends with the document */
    if (status != OCR_READ)
        return fail_by_status(context, status);
    *text = (struct photo_text){.read = true,
                                .confidence = page.characters == 0 ? 0 : page.confidence / 100,
                                .words = page.words,
                                .characters = page.characters};
    ocr_page_clear(&page);
    return 0;
}
