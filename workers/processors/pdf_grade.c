/* SPDX-License-Identifier: MIT
 * The judgement on a page's text. */
#include "workers/processors/pdf_grade.h"

#define PLENTY 150          /* letters: more is no page number or stamp */
#define GARBLED_PERCENT 10  /* of characters that stand for nothing */
#define COVERED 0.5         /* a scan, not an illustration */
#define ILLUSTRATED 0.02
#define DRAWN_PATHS 100     /* letters drawn as outlines; fewer are rules and boxes */

struct letters {
    uint64_t all, unknown;
};

/* Replacement characters, private use, controls: what comes of fonts without a way back to Unicode. */
static bool is_unknown(uint32_t code) {
    return code == 0xfffd || (code >= 0xe000 && code <= 0xf8ff) || (code >= 0xf0000 && code <= 0x10fffd) ||
           code < ' ' || (code >= 0x7f && code < 0xa0);
}

static struct letters count_letters(const char *text, size_t size) {
    struct letters letters = {0};

    for (size_t i = 0; i < size;) {
        unsigned char first = (unsigned char)text[i++];
        uint32_t code = first < 0x80 ? first : first & (first >= 0xf0 ? 7u : first >= 0xe0 ? 15u : 31u);
        while (i < size && ((unsigned char)text[i] & 0xc0) == 0x80)
            code = code << 6 | ((unsigned char)text[i++] & 0x3fu);
        if (code == ' ' || (code >= '\t' && code <= '\r') || code == 0xa0)
            continue;
        letters.all++;
        letters.unknown += is_unknown(code);
    }
    return letters;
}

static bool is_garbled(const struct letters *letters) {
    return letters->unknown * 100 > letters->all * GARBLED_PERCENT;
}

bool pdf_grade_is_plain(const char *text, size_t size) {
    struct letters letters = count_letters(text, size);

    return letters.all >= PLENTY && !is_garbled(&letters);
}

struct pdf_grade pdf_grade_page(const char *text, size_t size, const struct pdf_marks *marks) {
    static const struct pdf_marks unknown = {.is_cut = true};
    struct letters letters;

    if (text == NULL)
        return (struct pdf_grade){"none", "none", "unreadable", false};
    if (marks == NULL)
        marks = &unknown;
    letters = count_letters(text, size);
    if (letters.all == 0) {
        bool empty = marks->image_share < ILLUSTRATED && marks->paths < DRAWN_PATHS && !marks->is_cut;
        return (struct pdf_grade){"none", "none", empty ? "blank" : "no_text", !empty};
    }
    if (is_garbled(&letters))
        return (struct pdf_grade){"native", "doubtful", "garbled", true};
    if (marks->image_share > COVERED && marks->invisible_texts > 0 && marks->visible_texts == 0)
        return (struct pdf_grade){"native", "doubtful", "foreign_ocr", false};
    if (letters.all < PLENTY && marks->image_share > COVERED)
        return (struct pdf_grade){"native", "doubtful", "little_text_over_image", true};
    return (struct pdf_grade){"native", "good", "text", false};
}
