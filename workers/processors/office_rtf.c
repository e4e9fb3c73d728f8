/* SPDX-License-Identifier: MIT
 * Rich Text Format 1.9.1: the text of paragraphs, tables, boxes and footnotes, title and author. A tokenizer
 * and a table of the control words that matter; destinations that it does not know are skipped where they say
 * that they may be, pictures and objects always. Bytes are read in the code page of their font, \u in Unicode
 * with its fallback left out. Groups have a limit of depth; nothing is kept but the group's state. */
#include "workers/processors/office.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/text.h"

#define WORD_SIZE 33 /* the standard's longest, and NUL */
#define FONT_COUNT 65536
#define BYTES_SIZE 4096
#define META_SIZE 512
#define PROGRESS_BYTES 65536
#define MAX_TABS 1024
#define ANSI 1252
#define SKIP_MAX 255

enum destination { BODY, SKIPPED, FONTS, META_TITLE, META_AUTHOR, DESTINATION_COUNT };

struct group {
    enum destination destination;
    int code_page;
    int fallback;          /* characters that follow each \u */
    bool deleted, starred; /* starred: \* came, the next word decides */
    bool opened;           /* nothing but \* has come in this group yet */
};

struct rtf {
    struct office *office;
    const unsigned char *bytes;
    size_t size, at;
    struct group groups[OFFICE_MAX_DEPTH + 1];
    size_t depth;
    struct group *now;
    int document_page;      /* \ansicpg */
    int default_font, font; /* font: that is being described in the font table */
    uint16_t fonts[FONT_COUNT];
    int skip; /* of the fallback */
    unsigned surrogate;
    char run[BYTES_SIZE]; /* of bytes in one code page */
    size_t run_size;
    struct office_decoder decoder;
    uint64_t tabs;
    bool in_table, row_open, row_ended, gap, filled, line_filled;
    char meta[DESTINATION_COUNT][META_SIZE];
    size_t meta_size[DESTINATION_COUNT];
};

/* --- text out ---------------------------------------------------------------------------------------------
 */

static int put_meta(struct rtf *rtf, const char *text, size_t size) {
    size_t *used = &rtf->meta_size[rtf->now->destination];
    size_t left = META_SIZE - *used;

    size = size < left ? size : left;
    memcpy(rtf->meta[rtf->now->destination] + *used, text, size);
    *used += size;
    return 0;
}

/* What is owed to the table comes before the cell's first text. */
static int put_body(struct rtf *rtf, const char *text, size_t size) {
    int status = 0;

    for (; rtf->tabs > 0 && status == 0; rtf->tabs--)
        status = office_put(rtf->office, "\t", 1);
    if (status == 0 && rtf->gap && rtf->filled)
        status = office_put(rtf->office, " ", 1);
    rtf->gap = false;
    rtf->filled = rtf->line_filled = true;
    return status == 0 ? office_put(rtf->office, text, size) : -1;
}

static int put_text(void *context, const char *text, size_t size) {
    struct rtf *rtf = context;

    if (size == 0 || rtf->now->deleted)
        return 0;
    switch (rtf->now->destination) {
    case BODY:
        return put_body(rtf, text, size);
    case META_TITLE:
    case META_AUTHOR:
        return put_meta(rtf, text, size);
    default:
        return 0;
    }
}

static int flush_run(struct rtf *rtf, bool last) {
    size_t size = rtf->run_size;

    rtf->run_size = 0;
    if (size == 0)
        return 0;
    rtf->decoder.code_page = rtf->now->code_page;
    return office_decode(&rtf->decoder, rtf->run, size, last);
}

static bool is_read(const struct rtf *rtf) {
    return rtf->now->destination != SKIPPED && rtf->now->destination != FONTS && !rtf->now->deleted;
}

/* One byte of the document's text. */
static int put_byte(struct rtf *rtf, unsigned char byte) {
    rtf->now->opened = false;
    if (rtf->skip > 0) {
        rtf->skip--;
        return 0;
    }
    if (!is_read(rtf))
        return 0;
    rtf->run[rtf->run_size++] = (char)byte;
    return rtf->run_size < BYTES_SIZE ? 0 : flush_run(rtf, false);
}

static int put_code(struct rtf *rtf, unsigned code) {
    char text[4];
    size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

    if (flush_run(rtf, true) != 0)
        return -1;
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return put_text(rtf, "\xef\xbf\xbd", 3);
    for (size_t i = size; i-- > 1; code >>= 6)
        text[i] = (char)(0x80 | (code & 0x3f));
    text[0] = (char)(size == 1 ? code : (0xf00u >> size & 0xff) | code);
    return put_text(rtf, text, size);
}

/* --- control words ----------------------------------------------------------------------------------------
 */

static int do_destination(struct rtf *rtf, int argument, long parameter) {
    if (rtf->now->destination != SKIPPED)
        rtf->now->destination = (enum destination)argument;
    return 0;
}

/* Known destinations with text of the body, starred or not. */
static int do_nothing(struct rtf *rtf, int argument, long parameter) {
    return 0;
}

static int do_code(struct rtf *rtf, int argument, long parameter) {
    return is_read(rtf) ? put_code(rtf, (unsigned)argument) : 0;
}

/* A \u is a signed 16-bit number; beyond the first plane two of them make a character. */
static int do_unicode(struct rtf *rtf, int argument, long parameter) {
    unsigned code = (unsigned)(parameter < 0 ? parameter + 65536 : parameter) & 0xffff, high = rtf->surrogate;

    rtf->skip = rtf->now->fallback;
    rtf->surrogate = 0;
    if (!is_read(rtf))
        return 0;
    if (code >= 0xd800 && code < 0xdc00) {
        rtf->surrogate = code;
        return 0;
    }
    if (code >= 0xdc00 && code < 0xe000 && high != 0)
        code = 0x10000 + ((high - 0xd800) << 10) + (code - 0xdc00);
    return put_code(rtf, code);
}

static int do_fallback(struct rtf *rtf, int argument, long parameter) {
    rtf->now->fallback = parameter < 0 ? 0 : parameter > SKIP_MAX ? SKIP_MAX : (int)parameter;
    return 0;
}

static int end_line(struct rtf *rtf) {
    rtf->tabs = 0;
    rtf->gap = rtf->filled = rtf->line_filled = false;
    rtf->row_ended = false;
    return office_put(rtf->office, "\n", 1);
}

static int do_paragraph(struct rtf *rtf, int argument, long parameter) {
    if (rtf->now->destination != BODY || rtf->now->deleted)
        return 0;
    rtf->office->paragraphs++;
    if (rtf->in_table) { /* text of a cell stays on its line */
        rtf->gap = true;
        return 0;
    }
    return end_line(rtf);
}

static int do_reset_paragraph(struct rtf *rtf, int argument, long parameter) {
    rtf->in_table = false;
    return 0;
}

static int do_in_table(struct rtf *rtf, int argument, long parameter) {
    rtf->in_table = parameter != 0;
    return 0;
}

static int do_row_start(struct rtf *rtf, int argument, long parameter) {
    if (!rtf->row_open && !rtf->row_ended)
        rtf->office->tables++;
    rtf->row_open = true;
    return 0;
}

static int do_cell(struct rtf *rtf, int argument, long parameter) {
    if (rtf->now->destination != BODY)
        return 0;
    rtf->tabs += rtf->tabs < MAX_TABS;
    rtf->office->paragraphs++;
    rtf->gap = rtf->filled = false;
    return 0;
}

static int do_row(struct rtf *rtf, int argument, long parameter) {
    int status;

    if (rtf->now->destination != BODY)
        return 0;
    status = end_line(rtf);
    rtf->row_open = false;
    rtf->row_ended = true;
    return status;
}

static int do_code_page(struct rtf *rtf, int argument, long parameter) {
    rtf->document_page = argument != 0                        ? argument
                         : parameter > 0 && parameter < 65536 ? (int)parameter
                                                              : ANSI;
    rtf->now->code_page = rtf->document_page;
    return 0;
}

static int page_of_font(const struct rtf *rtf, long font) {
    int page = font >= 0 && font < FONT_COUNT ? rtf->fonts[font] : 0;

    return page != 0 ? page : rtf->document_page;
}

static int do_font(struct rtf *rtf, int argument, long parameter) {
    if (rtf->now->destination == FONTS)
        rtf->font = parameter >= 0 && parameter < FONT_COUNT ? (int)parameter : 0;
    else
        rtf->now->code_page = page_of_font(rtf, parameter);
    return 0;
}

static int do_default_font(struct rtf *rtf, int argument, long parameter) {
    rtf->default_font = parameter >= 0 && parameter < FONT_COUNT ? (int)parameter : 0;
    return 0;
}

static int do_charset(struct rtf *rtf, int argument, long parameter) {
    static const struct {
        int charset, page;
    } pages[] = {{0, 1252},   {77, 10000}, {128, 932},  {129, 949},  {130, 949},  {134, 936},
                 {136, 950},  {161, 1253}, {162, 1254}, {163, 1258}, {177, 1255}, {178, 1256},
                 {186, 1257}, {204, 1251}, {222, 874},  {238, 1250}, {254, 437},  {255, 850}};

    for (size_t i = 0; rtf->now->destination == FONTS && i < sizeof pages / sizeof pages[0]; i++) {
        if (pages[i].charset == parameter)
            rtf->fonts[rtf->font] = (uint16_t)pages[i].page;
    }
    return 0;
}

static int do_plain(struct rtf *rtf, int argument, long parameter) {
    rtf->now->code_page = page_of_font(rtf, rtf->default_font);
    rtf->now->deleted = false;
    return 0;
}

static int do_deleted(struct rtf *rtf, int argument, long parameter) {
    rtf->now->deleted = parameter != 0;
    return 0;
}

static int do_hidden(struct rtf *rtf, int argument, long parameter) {
    rtf->office->hidden_runs += parameter != 0 && rtf->now->destination == BODY;
    return 0;
}

static int do_binary(struct rtf *rtf, int argument, long parameter) {
    size_t left = rtf->size - rtf->at;

    if (parameter > 0)
        rtf->at += (unsigned long)parameter < left ? (size_t)parameter : left;
    return 0;
}

static const struct word {
    const char *name;
    int (*act)(struct rtf *rtf, int argument, long parameter);
    int argument;
} words[] = {
    {"u", do_unicode, 0},
    {"f", do_font, 0},
    {"par", do_paragraph, 0},
    {"pard", do_reset_paragraph, 0},
    {"plain", do_plain, 0},
    {"tab", do_code, '\t'},
    {"cell", do_cell, 0},
    {"nestcell", do_cell, 0},
    {"row", do_row, 0},
    {"nestrow", do_row, 0},
    {"trowd", do_row_start, 0},
    {"intbl", do_in_table, 0},
    {"line", do_paragraph, 0},
    {"sect", do_paragraph, 0},
    {"page", do_paragraph, 0},
    {"column", do_paragraph, 0},
    {"uc", do_fallback, 0},
    {"v", do_hidden, 0},
    {"deleted", do_deleted, 0},
    {"bin", do_binary, 0},
    {"emdash", do_code, 0x2014},
    {"endash", do_code, 0x2013},
    {"lquote", do_code, 0x2018},
    {"rquote", do_code, 0x2019},
    {"ldblquote", do_code, 0x201c},
    {"rdblquote", do_code, 0x201d},
    {"bullet", do_code, 0x2022},
    {"emspace", do_code, 0x2003},
    {"enspace", do_code, 0x2002},
    {"qmspace", do_code, 0x2005},
    {"zwj", do_code, 0x200d},
    {"zwnj", do_code, 0x200c},
    {"ltrmark", do_code, 0x200e},
    {"rtlmark", do_code, 0x200f},
    {"ansi", do_code_page, ANSI},
    {"mac", do_code_page, 10000},
    {"pc", do_code_page, 437},
    {"pca", do_code_page, 850},
    {"ansicpg", do_code_page, 0},
    {"deff", do_default_font, 0},
    {"fcharset", do_charset, 0},
    /* destinations: their own text is the body's */
    {"shptxt", do_nothing, 0},
    {"shpinst", do_nothing, 0},
    {"footnote", do_nothing, 0},
    {"fldrslt", do_nothing, 0},
    {"title", do_destination, META_TITLE},
    {"author", do_destination, META_AUTHOR},
    {"fonttbl", do_destination, FONTS},
    /* destinations that are not read */
    {"colortbl", do_destination, SKIPPED},
    {"stylesheet", do_destination, SKIPPED},
    {"pict", do_destination, SKIPPED},
    {"object", do_destination, SKIPPED},
    {"objdata", do_destination, SKIPPED},
    {"nonshppict", do_destination, SKIPPED},
    {"shprslt", do_destination, SKIPPED},
    {"sp", do_destination, SKIPPED},
    {"fldinst", do_destination, SKIPPED},
    {"listtext", do_destination, SKIPPED},
    {"pntext", do_destination, SKIPPED},
    {"annotation", do_destination, SKIPPED},
    {"atnid", do_destination, SKIPPED},
    {"atnauthor", do_destination, SKIPPED},
    {"bkmkstart", do_destination, SKIPPED},
    {"bkmkend", do_destination, SKIPPED},
    {"xe", do_destination, SKIPPED},
    {"tc", do_destination, SKIPPED},
    {"themedata", do_destination, SKIPPED},
    {"colorschememapping", do_destination, SKIPPED},
    {"datastore", do_destination, SKIPPED},
    {"filetbl", do_destination, SKIPPED},
    {"subject", do_destination, SKIPPED},
    {"manager", do_destination, SKIPPED},
    {"company", do_destination, SKIPPED},
    {"operator", do_destination, SKIPPED},
    {"category", do_destination, SKIPPED},
    {"keywords", do_destination, SKIPPED},
    {"comment", do_destination, SKIPPED},
    {"doccomm", do_destination, SKIPPED},
    {"hlinkbase", do_destination, SKIPPED},
    {"creatim", do_destination, SKIPPED},
    {"revtim", do_destination, SKIPPED},
    {"printim", do_destination, SKIPPED},
    {"buptim", do_destination, SKIPPED},
};

static const struct word *find_word(const char *name) {
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i].name, name) == 0)
            return &words[i];
    }
    return NULL;
}

/* --- tokens -----------------------------------------------------------------------------------------------
 */

static int act_on_word(struct rtf *rtf, const char *name, long parameter) {
    const struct word *word = find_word(name);
    bool starred = rtf->now->starred;

    rtf->now->starred = rtf->now->opened = false;
    if (rtf->skip > 0) { /* a word is one character of the fallback */
        rtf->skip--;
        return word != NULL && word->act == do_binary ? word->act(rtf, 0, parameter) : 0;
    }
    if (flush_run(rtf, true) != 0)
        return -1;
    if (word != NULL)
        return word->act(rtf, word->argument, parameter);
    return starred ? do_destination(rtf, SKIPPED, 0) : 0;
}

static bool is_letter(unsigned char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

static bool is_digit(unsigned char byte) {
    return byte >= '0' && byte <= '9';
}

static unsigned char peek(const struct rtf *rtf) {
    return rtf->at < rtf->size ? rtf->bytes[rtf->at] : 0;
}

static int read_word(struct rtf *rtf) {
    char name[WORD_SIZE];
    size_t used = 0;
    bool negative;
    long parameter = 0;

    for (; is_letter(peek(rtf)); rtf->at++) {
        if (used + 1 < WORD_SIZE)
            name[used++] = (char)peek(rtf);
    }
    name[used] = '\0';
    negative = peek(rtf) == '-' && rtf->at + 1 < rtf->size && is_digit(rtf->bytes[rtf->at + 1]);
    rtf->at += negative;
    if (!is_digit(peek(rtf)))
        parameter = 1; /* a switch that is on */
    for (; is_digit(peek(rtf)); rtf->at++)
        parameter = parameter > INT32_MAX / 10 ? INT32_MAX : parameter * 10 + (peek(rtf) - '0');
    if (peek(rtf) == ' ')
        rtf->at++;
    return act_on_word(rtf, name, negative ? -parameter : parameter);
}

static int read_hex(struct rtf *rtf) {
    char digits[3] = {0};
    unsigned char byte;

    for (size_t i = 0; i < 2 && rtf->at < rtf->size; i++)
        digits[i] = (char)rtf->bytes[rtf->at++];
    return text_hex_decode(&byte, 1, digits) == 0 ? put_byte(rtf, byte) : 0;
}

static int read_symbol(struct rtf *rtf, unsigned char symbol) {
    static const struct {
        char symbol;
        unsigned code;
    } codes[] = {{'~', 0xa0}, {'_', 0x2011}};

    if (symbol == '\'')
        return read_hex(rtf);
    if (symbol == '\\' || symbol == '{' || symbol == '}')
        return put_byte(rtf, symbol);
    if (symbol == '*') {
        rtf->now->starred = rtf->now->opened;
        return 0;
    }
    if (symbol == '\r' || symbol == '\n')
        return act_on_word(rtf, "par", 1);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (codes[i].symbol == (char)symbol && is_read(rtf) && rtf->skip == 0)
            return put_code(rtf, codes[i].code);
    }
    return 0;
}

static int open_group(struct rtf *rtf) {
    struct processor_context *context = rtf->office->context;

    if (flush_run(rtf, true) != 0)
        return -1;
    rtf->skip = 0;
    if (rtf->depth == OFFICE_MAX_DEPTH || rtf->depth >= context->guards.depth)
        return processor_fail(context, "bad_input", "groups are nested too deeply");
    rtf->groups[rtf->depth + 1] = *rtf->now;
    rtf->now = &rtf->groups[++rtf->depth];
    rtf->now->starred = false;
    rtf->now->opened = true;
    return 0;
}

static int close_group(struct rtf *rtf) {
    if (flush_run(rtf, true) != 0)
        return -1;
    rtf->skip = 0;
    if (rtf->depth > 0)
        rtf->now = &rtf->groups[--rtf->depth];
    return 0;
}

static int read_token(struct rtf *rtf) {
    unsigned char byte = rtf->bytes[rtf->at++];

    switch (byte) {
    case '{':
        return open_group(rtf);
    case '}':
        return close_group(rtf);
    case '\\':
        if (is_letter(peek(rtf)))
            return read_word(rtf);
        return rtf->at < rtf->size ? read_symbol(rtf, rtf->bytes[rtf->at++]) : 0;
    case '\r':
    case '\n':
    case '\0':
        return 0;
    case '\t':
        return act_on_word(rtf, "tab", 1);
    default:
        return put_byte(rtf, byte);
    }
}

static void note_meta(struct rtf *rtf, enum destination destination, const char *key) {
    size_t size = rtf->meta_size[destination];

    while (size > 0 && !text_is_utf8(rtf->meta[destination], size)) /* cut inside a character */
        size--;
    if (size > 0)
        json_object_set_new(rtf->office->meta, key, json_stringn(rtf->meta[destination], size));
}

int office_rtf_read(struct office *office) {
    static struct rtf rtf; /* zeroed; one document per process */
    struct processor_context *context = office->context;
    size_t told = 0;

    rtf.office = office;
    rtf.bytes = context->input;
    rtf.size = context->input_size;
    rtf.now = rtf.groups;
    rtf.document_page = ANSI;
    rtf.groups[0] = (struct group){.code_page = ANSI, .fallback = 1};
    rtf.decoder = (struct office_decoder){.office = office, .put = put_text, .context = &rtf};
    json_object_set_new(office->meta, "format", json_string("rtf"));
    while (rtf.at < rtf.size) {
        if (read_token(&rtf) != 0)
            return -1;
        if (rtf.depth == 0 && rtf.at > 1 && rtf.bytes[rtf.at - 1] == '}')
            break; /* the document's group has ended: what follows is none of it */
        if (rtf.at >= told) {
            told = rtf.at + PROGRESS_BYTES;
            processor_progress(context, rtf.at, rtf.size);
        }
    }
    if (flush_run(&rtf, true) != 0)
        return -1;
    note_meta(&rtf, META_TITLE, "title");
    note_meta(&rtf, META_AUTHOR, "author");
    office->paragraphs += rtf.line_filled;
    return rtf.line_filled ? office_put(office, "\n", 1) : 0;
}
