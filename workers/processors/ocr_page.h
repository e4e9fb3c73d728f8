/* SPDX-License-Identifier: MIT
 * A page as it was read: all that the formats and the searchable PDF know of it. */
#ifndef WORKERS_PROCESSORS_OCR_PAGE_H
#define WORKERS_PROCESSORS_OCR_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ocr_level { OCR_BLOCK, OCR_PARAGRAPH, OCR_LINE, OCR_WORD, OCR_LEVEL_COUNT };

struct ocr_box {
    int left, top, right, bottom; /* pixels, the last two exclusive */
};

/* All levels in one list: what belongs to an element follows it. */
struct ocr_element {
    enum ocr_level level;
    bool joined;         /* a word that no space comes before */
    struct ocr_box box;  /* of the page as it was given */
    struct ocr_box read; /* of the picture as it was read: upright and level */
    int baseline;        /* of a line that runs to the right: y in the picture as it was read, at its middle */
    int direction;       /* of a line: degrees clockwise from running to the right, in the picture as it was read */
    float confidence;    /* of a word: 0 to 100 */
    char *text;          /* of a word: UTF-8, one line, never empty; else NULL */
};

/* The picture as it was read is the page turned clockwise by `rotation` degrees, then by `skew`. */
struct ocr_turn {
    int rotation; /* 0, 90, 180, 270 */
    double skew;  /* degrees, clockwise */
    int page_width, page_height;
    int read_width, read_height;
};

struct ocr_page {
    int number; /* from 1 */
    int dpi;    /* of the pixels; 0: unknown */
    struct ocr_turn turn;
    const char *error; /* NULL, or why there is nothing */
    int direction;     /* of most lines */
    double confidence; /* of all words, by length */
    uint64_t words, characters;
    struct ocr_element *elements;
    size_t count, capacity;
};

/* From the picture as it was read to the page as it was given. */
void ocr_turn_back(const struct ocr_turn *turn, double x, double y, double *page_x, double *page_y);

/* Where the engine's data is: the folder of its font, too. */
const char *ocr_engine_folder(void);

#ifdef __cplusplus
}
#endif

#endif
