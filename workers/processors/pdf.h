/* SPDX-License-Identifier: MIT
 * poppler-cpp behind plain C. poppler is not thread-safe and throws; nothing of either comes through here.
 * poppler-glib has no raw order, which is what reads best (docs of `pdftotext -raw`). */
#ifndef WORKERS_PROCESSORS_PDF_H
#define WORKERS_PROCESSORS_PDF_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pdf;

enum pdf_status { PDF_OK, PDF_BROKEN, PDF_LOCKED, PDF_NO_MEMORY };

/* Raw: as the document draws it, which reads best. Layout: columns and tables where they stand on the page.
 */
enum pdf_order { PDF_ORDER_RAW, PDF_ORDER_LAYOUT };

struct pdf_page_info {
    double width, height; /* points, of the crop box, before rotation */
    int rotation;         /* degrees clockwise: 0, 90, 180, 270 */
    char *label;          /* UTF-8, "" when there is none */
};

struct pdf_word {
    const char *text; /* UTF-8, not NUL-terminated */
    size_t size;
    double left, top, right, bottom; /* points, origin top left */
};

struct pdf_bitmap {
    int width, height;
    size_t stride;
    unsigned char *pixels; /* RGB, 8 bits; malloc */
};

/* Loads encodings and caches by reading a document made here; and by drawing it, fonts. 0, or -1. */
int pdf_warm(void);
int pdf_warm_drawing(void);

/* `bytes` must stay until pdf_close. NULL with the reason in *status. */
struct pdf *pdf_open(const unsigned char *bytes, size_t size, enum pdf_status *status);
void pdf_close(struct pdf *pdf);
int pdf_page_count(const struct pdf *pdf);

/* Pages count from 0. PDF_BROKEN: this page can't be read, the others may. */
enum pdf_status pdf_page_facts(struct pdf *pdf, int page,
                               struct pdf_page_info *facts); /* free facts->label */
/* Text ending in a form feed; malloc. */
enum pdf_status pdf_page_text(struct pdf *pdf, int page, enum pdf_order order, char **text, size_t *size);
/* Calls `word` for each word, in the order of the page; stops when it returns non-zero. */
enum pdf_status pdf_page_words(struct pdf *pdf, int page,
                               int (*word)(void *context, const struct pdf_word *word), void *context);
enum pdf_status pdf_page_draw(struct pdf *pdf, int page, double dpi, struct pdf_bitmap *bitmap);
/* The same in gray: one byte per pixel. */
enum pdf_status pdf_page_draw_gray(struct pdf *pdf, int page, double dpi, struct pdf_bitmap *bitmap);

/* What the document says of itself. All texts are UTF-8, not NUL-terminated, and last as long as the call; a
 * function that returns non-zero ends the list. PDF_BROKEN where it can't be read. */
struct pdf_property {
    const char *name, *value; /* as in the information dictionary: Title, CreationDate (D:2026…), … */
    size_t name_size, value_size;
};
struct pdf_heading {
    int level; /* 1 for the outermost */
    const char *title;
    size_t size;
};
struct pdf_attachment {
    const char *name, *mime;
    size_t name_size, mime_size;
    int bytes; /* as the document claims; below 0: it does not */
};
enum pdf_status pdf_properties(struct pdf *pdf,
                               int (*property)(void *context, const struct pdf_property *property),
                               void *context);
enum pdf_status pdf_outline(struct pdf *pdf, int (*heading)(void *context, const struct pdf_heading *heading),
                            void *context);
enum pdf_status pdf_attachments(struct pdf *pdf,
                                int (*attachment)(void *context, const struct pdf_attachment *attachment),
                                void *context);

#ifdef __cplusplus
}
#endif

#endif
