/* SPDX-License-Identifier: MIT
 * What was read, as text (a form feed after each page), JSON, hOCR 1.2, ALTO 3.1 and tesseract's TSV: all from
 * the same elements. Boxes are pixels of the page as it was given, at the dpi stated. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "workers/processors/ocr.h"

#define PAGE_MAX_BYTES (64u << 20)

struct writing {
    const struct ocr_page *page;
    struct buffer text;
    int counts[OCR_LEVEL_COUNT]; /* within the level above */
    int total[OCR_LEVEL_COUNT];  /* within the page */
};

/* --- text ------------------------------------------------------------------------------------------------ */

static int write_text_page(struct writing *writing) {
    const struct ocr_page *page = writing->page;
    int status = 0;

    for (size_t i = 0; i < page->count && status == 0; i++) {
        const struct ocr_element *element = &page->elements[i];
        bool first = i == 0 || page->elements[i - 1].level != OCR_WORD;
        if (element->level == OCR_PARAGRAPH && writing->text.size > 0)
            status = buffer_append_text(&writing->text, "\n");
        else if (element->level == OCR_WORD)
            status = buffer_append_format(&writing->text, "%s%s", first || element->joined ? "" : " ",
                                          element->text);
        if (status == 0 && element->level == OCR_WORD &&
            (i + 1 == page->count || page->elements[i + 1].level != OCR_WORD))
            status = buffer_append_text(&writing->text, "\n");
    }
    return status == 0 ? buffer_append_text(&writing->text, "\f") : -1;
}

/* --- JSON ------------------------------------------------------------------------------------------------ */

static json_t *json_of_word(const struct ocr_element *element, int line) {
    const struct ocr_box *box = &element->box;

    return json_pack("[s, i, i, i, i, i, i]", element->text, box->left, box->top, box->right, box->bottom,
                     (int)(element->confidence + 0.5f), line);
}

static double rounded(double value) {
    return (double)(int64_t)(value * 100 + (value < 0 ? -0.5 : 0.5)) / 100;
}

static int write_json_page(struct writing *writing) {
    const struct ocr_page *page = writing->page;
    json_t *words = json_array();
    json_t *object;
    char *text;
    int line = 0, status;

    for (size_t i = 0; i < page->count; i++) {
        line += page->elements[i].level == OCR_LINE;
        if (page->elements[i].level == OCR_WORD)
            json_array_append_new(words, json_of_word(&page->elements[i], line));
    }
    object = json_pack("{s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:I, s:s, s:o}", "page", page->number, "width",
                       page->turn.page_width, "height", page->turn.page_height, "dpi", page->dpi, "rotation",
                       (page->turn.rotation + 360 - page->direction) % 360, "skew", rounded(page->turn.skew),
                       "confidence", rounded(page->confidence), "chars", (json_int_t)page->characters,
                       "source", "ocr", "words", words);
    if (page->error != NULL)
        json_object_set_new(object, "error", json_string(page->error));
    text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(6));
    json_decref(object);
    status = text == NULL ? -1 : buffer_append_format(&writing->text, "\n%s", text);
    free(text);
    return status;
}

/* --- XML ------------------------------------------------------------------------------------------------- */

/* Control characters are not allowed in XML 1.0, escaped or not. */
static int add_escaped(struct buffer *text, const char *words) {
    int status = 0;

    for (const char *at = words; *at != '\0' && status == 0; at++) {
        const char *entity = *at == '&' ? "&amp;" : *at == '<' ? "&lt;" : *at == '>' ? "&gt;"
                             : *at == '"' ? "&quot;" : NULL;
        if (entity != NULL)
            status = buffer_append_text(text, entity);
        else if ((unsigned char)*at >= ' ')
            status = buffer_append(text, at, 1);
    }
    return status;
}

static void count(struct writing *writing, enum ocr_level level) {
    writing->counts[level]++;
    writing->total[level]++;
    for (int below = (int)level + 1; below < OCR_LEVEL_COUNT; below++)
        writing->counts[below] = 0;
}

/* Of the elements that are open, ends those that are not above `level`. */
static int close_levels(struct writing *writing, const char *const *ends, int *open, int level) {
    int status = 0;

    for (; *open > level; (*open)--)
        status |= buffer_append_text(&writing->text, ends[*open - 1]);
    return status;
}

struct dialect {
    int (*start)(struct writing *writing, const struct ocr_element *element);
    const char *ends[OCR_LEVEL_COUNT];
};

static int write_levels(struct writing *writing, const struct dialect *dialect) {
    const struct ocr_page *page = writing->page;
    int open = 0, status = 0;

    for (size_t i = 0; i < page->count && status == 0; i++) {
        const struct ocr_element *element = &page->elements[i];
        status = close_levels(writing, dialect->ends, &open, (int)element->level);
        count(writing, element->level);
        status |= dialect->start(writing, element);
        open = (int)element->level + 1;
    }
    return status | close_levels(writing, dialect->ends, &open, 0);
}

static int start_hocr(struct writing *writing, const struct ocr_element *element) {
    static const struct {
        const char *tag, *class, *id;
    } names[OCR_LEVEL_COUNT] = {
        [OCR_BLOCK] = {"div", "ocr_carea", "block"},
        [OCR_PARAGRAPH] = {"p", "ocr_par", "par"},
        [OCR_LINE] = {"span", "ocr_line", "line"},
        [OCR_WORD] = {"span", "ocrx_word", "word"},
    };
    const struct ocr_box *box = &element->box;
    int angle = (writing->page->turn.rotation + 360 - element->direction) % 360;
    int status = buffer_append_format(
        &writing->text, "%s<%s class='%s' id='%s_%d_%d' title='bbox %d %d %d %d",
        element->level == OCR_WORD && writing->counts[OCR_WORD] > 1 && !element->joined ? " " : "",
        names[element->level].tag, names[element->level].class, names[element->level].id,
        writing->page->number, writing->total[element->level], box->left, box->top, box->right, box->bottom);

    if (element->level == OCR_LINE && angle != 0)
        status |= buffer_append_format(&writing->text, "; textangle %d", angle); /* counter-clockwise */
    if (element->level == OCR_WORD)
        status |= buffer_append_format(&writing->text, "; x_wconf %d", (int)(element->confidence + 0.5f));
    status |= buffer_append_text(&writing->text, "'>");
    return element->level == OCR_WORD ? status | add_escaped(&writing->text, element->text) : status;
}

static const struct dialect hocr = {
    .start = start_hocr,
    .ends = {[OCR_BLOCK] = "</div>\n", [OCR_PARAGRAPH] = "</p>\n", [OCR_LINE] = "</span>\n", [OCR_WORD] = "</span>"},
};

static int write_hocr_page(struct writing *writing) {
    const struct ocr_page *page = writing->page;
    int status = buffer_append_format(
        &writing->text,
        "<div class='ocr_page' id='page_%d' title='bbox 0 0 %d %d; ppageno %d; scan_res %d %d'>\n", page->number,
        page->turn.page_width, page->turn.page_height, page->number - 1, page->dpi, page->dpi);

    status |= write_levels(writing, &hocr);
    return status | buffer_append_text(&writing->text, "</div>\n");
}

static int start_alto(struct writing *writing, const struct ocr_element *element) {
    static const struct {
        const char *tag, *id;
    } names[OCR_LEVEL_COUNT] = {
        [OCR_BLOCK] = {"ComposedBlock", "cblock"},
        [OCR_PARAGRAPH] = {"TextBlock", "block"},
        [OCR_LINE] = {"TextLine", "line"},
        [OCR_WORD] = {"String", "string"},
    };
    const struct ocr_box *box = &element->box;
    int status = 0;

    if (element->level == OCR_WORD && writing->counts[OCR_WORD] > 1 && !element->joined)
        status = buffer_append_text(&writing->text, "<SP/>");
    status |= buffer_append_format(
        &writing->text, "<%s ID=\"%s_%d_%d\" HPOS=\"%d\" VPOS=\"%d\" WIDTH=\"%d\" HEIGHT=\"%d\"",
        names[element->level].tag, names[element->level].id, writing->page->number,
        writing->total[element->level], box->left, box->top, box->right - box->left, box->bottom - box->top);
    if (element->level != OCR_WORD)
        return status | buffer_append_text(&writing->text, ">\n");
    status |= buffer_append_format(&writing->text, " WC=\"%.2f\" CONTENT=\"", (double)element->confidence / 100);
    return status | add_escaped(&writing->text, element->text) | buffer_append_text(&writing->text, "\"/>");
}

static const struct dialect alto = {
    .start = start_alto,
    .ends = {[OCR_BLOCK] = "</ComposedBlock>\n",
             [OCR_PARAGRAPH] = "</TextBlock>\n",
             [OCR_LINE] = "\n</TextLine>\n",
             [OCR_WORD] = ""},
};

static int write_alto_page(struct writing *writing) {
    const struct ocr_page *page = writing->page;
    int width = page->turn.page_width, height = page->turn.page_height;
    int status = buffer_append_format(
        &writing->text,
        "<Page WIDTH=\"%d\" HEIGHT=\"%d\" PHYSICAL_IMG_NR=\"%d\" ID=\"page_%d\">\n"
        "<PrintSpace HPOS=\"0\" VPOS=\"0\" WIDTH=\"%d\" HEIGHT=\"%d\">\n",
        width, height, page->number, page->number, width, height);

    status |= write_levels(writing, &alto);
    return status | buffer_append_text(&writing->text, "</PrintSpace>\n</Page>\n");
}

/* --- TSV ------------------------------------------------------------------------------------------------- */

static int write_tsv_page(struct writing *writing) {
    const struct ocr_page *page = writing->page;
    int status = buffer_append_format(&writing->text, "1\t%d\t0\t0\t0\t0\t0\t0\t%d\t%d\t-1\t\n", page->number,
                                      page->turn.page_width, page->turn.page_height);

    for (size_t i = 0; i < page->count && status == 0; i++) {
        const struct ocr_element *element = &page->elements[i];
        const struct ocr_box *box = &element->box;
        count(writing, element->level);
        status = buffer_append_format(
            &writing->text, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.2f\t%s\n", (int)element->level + 2,
            page->number, writing->counts[OCR_BLOCK], writing->counts[OCR_PARAGRAPH], writing->counts[OCR_LINE],
            writing->counts[OCR_WORD], box->left, box->top, box->right - box->left, box->bottom - box->top,
            element->level == OCR_WORD ? (double)element->confidence : -1,
            element->level == OCR_WORD ? element->text : "");
    }
    return status;
}

/* --- all of them ----------------------------------------------------------------------------------------- */

static const struct format {
    const char *before, *after;
    int (*page)(struct writing *writing);
} formats[OCR_OUTPUT_COUNT] = {
    [OCR_TEXT] = {.before = "", .after = "", .page = write_text_page},
    [OCR_JSON] = {.before = "{\"version\":1,\"pages\":[", .after = "", .page = write_json_page},
    [OCR_HOCR] = {.before = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                            "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\" "
                            "\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n"
                            "<html xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<title></title>\n"
                            "<meta http-equiv=\"Content-Type\" content=\"text/html;charset=utf-8\"/>\n"
                            "<meta name='ocr-system' content='filemill " FILEMILL_VERSION "'/>\n"
                            "<meta name='ocr-capabilities' content='ocr_page ocr_carea ocr_par ocr_line "
                            "ocrx_word ocrp_wconf'/>\n</head>\n<body>\n",
                  .after = "</body>\n</html>\n",
                  .page = write_hocr_page},
    [OCR_ALTO] = {.before = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                            "<alto xmlns=\"http://www.loc.gov/standards/alto/ns-v3#\">\n<Description>\n"
                            "<MeasurementUnit>pixel</MeasurementUnit>\n<OCRProcessing ID=\"OCR_0\">"
                            "<ocrProcessingStep><processingSoftware><softwareName>filemill " FILEMILL_VERSION
                            "</softwareName></processingSoftware></ocrProcessingStep></OCRProcessing>\n"
                            "</Description>\n<Layout>\n",
                  .after = "</Layout>\n</alto>\n",
                  .page = write_alto_page},
    [OCR_TSV] = {.before = "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\t"
                           "conf\ttext\n",
                 .after = "",
                 .page = write_tsv_page},
};

static int put(struct processor_context *context, int output, const char *text) {
    return processor_write(context, output, text, strlen(text));
}

int ocr_formats_begin(struct processor_context *context, const struct ocr_order *order) {
    for (int i = 0; i < OCR_OUTPUT_COUNT; i++) {
        if (order->wanted[i] && formats[i].page != NULL && put(context, i, formats[i].before) != 0)
            return -1;
    }
    return 0;
}

int ocr_formats_page(struct processor_context *context, const struct ocr_order *order,
                     const struct ocr_page *page, bool first) {
    for (int i = 0; i < OCR_OUTPUT_COUNT; i++) {
        struct writing writing = {.page = page};
        if (!order->wanted[i] || formats[i].page == NULL)
            continue;
        buffer_init(&writing.text, PAGE_MAX_BYTES);
        if (i == OCR_JSON && !first)
            (void)buffer_append_text(&writing.text, ",");
        if (formats[i].page(&writing) != 0)
            (void)processor_fail(context, "output_limit", "page %d has too many words", page->number);
        else
            (void)processor_write(context, i, writing.text.data, writing.text.size);
        buffer_clear(&writing.text);
        if (context->error != NULL)
            return -1;
    }
    return 0;
}

int ocr_formats_end(struct processor_context *context, const struct ocr_order *order,
                    const struct buffer *failed_pages) {
    if (order->wanted[OCR_JSON] &&
        (put(context, OCR_JSON, "\n],\"pages_failed\":[") != 0 ||
         processor_write(context, OCR_JSON, failed_pages->data, failed_pages->size) != 0 ||
         put(context, OCR_JSON, "],\"languages\":\"") != 0 ||
         put(context, OCR_JSON, ocr_engine_languages()) != 0 || put(context, OCR_JSON, "\"}\n") != 0))
        return -1;
    for (int i = 0; i < OCR_OUTPUT_COUNT; i++) {
        if (order->wanted[i] && formats[i].page != NULL && put(context, i, formats[i].after) != 0)
            return -1;
    }
    return 0;
}
