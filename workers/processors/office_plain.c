/* SPDX-License-Identifier: MIT
 * Plain text and CSV in any encoding, to UTF-8 with '\n' at the line ends. A byte order mark decides; then
 * valid UTF-8; then zero bytes on one side of each pair (UTF-16 without a mark); then ICU's detector, whose
 * answer is kept with its confidence. ICU's tables are in its library: nothing is opened to convert. */
#include "workers/processors/office.h"

#include <string.h>
#include <unicode/ucnv.h>
#include <unicode/ucsdet.h>
#include <unicode/ustring.h>

#include "lib/text.h"

#define DETECT_BYTES 65536
#define PIVOT_UNITS 4096
#define LEAST_CONFIDENCE 10
#define FALLBACK "windows-1252" /* every byte has a meaning in it */
#define TABLE_LINES 20

struct encoding {
    const char *name;
    int32_t confidence; /* percent */
    size_t skip;        /* bytes of the mark */
};

static const struct {
    const char *bytes;
    size_t size;
    const char *name;
} marks[] = {
    {"\xef\xbb\xbf", 3, "UTF-8"}, {"\xff\xfe\0\0", 4, "UTF-32LE"}, {"\0\0\xfe\xff", 4, "UTF-32BE"},
    {"\xff\xfe", 2, "UTF-16LE"},  {"\xfe\xff", 2, "UTF-16BE"},
};

/* ISO 8859 is declared where the bytes of Windows' supersets are meant (https://encoding.spec.whatwg.org). */
static const struct {
    const char *detected, *meant;
} supersets[] = {
    {"ISO-8859-1", "windows-1252"},
    {"ISO-8859-9", "windows-1254"},
};

/* --- detection ------------------------------------------------------------------------------------------ */

static const char *pairs_of_utf16(const unsigned char *bytes, size_t size) {
    size_t zeros[2] = {0, 0};

    for (size_t i = 0; i < size; i++)
        zeros[i % 2] += bytes[i] == 0;
    if (size < 4 || zeros[0] + zeros[1] == 0)
        return NULL;
    if (zeros[0] * 20 < zeros[1] && zeros[1] * 4 > size / 2)
        return "UTF-16LE";
    return zeros[1] * 20 < zeros[0] && zeros[0] * 4 > size / 2 ? "UTF-16BE" : NULL;
}

static void ask_detector(const unsigned char *bytes, size_t size, struct encoding *encoding) {
    UErrorCode error = U_ZERO_ERROR;
    UCharsetDetector *detector = ucsdet_open(&error);
    const UCharsetMatch *match = NULL;

    ucsdet_setText(detector, (const char *)bytes, (int32_t)size, &error);
    match = ucsdet_detect(detector, &error);
    encoding->name = FALLBACK;
    encoding->confidence = 0;
    if (U_SUCCESS(error) && match != NULL && ucsdet_getConfidence(match, &error) >= LEAST_CONFIDENCE) {
        encoding->confidence = ucsdet_getConfidence(match, &error);
        encoding->name = ucsdet_getName(match, &error); /* a constant of ICU */
    }
    for (size_t i = 0; i < sizeof supersets / sizeof supersets[0]; i++) {
        if (strcmp(supersets[i].detected, encoding->name) == 0)
            encoding->name = supersets[i].meant;
    }
    ucsdet_close(detector);
}

static int detect(struct processor_context *context, struct encoding *encoding) {
    const unsigned char *bytes = context->input;
    size_t size = context->input_size;
    size_t sample = size < DETECT_BYTES ? size : DETECT_BYTES;

    *encoding = (struct encoding){.confidence = 100};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0] && encoding->name == NULL; i++) {
        if (size >= marks[i].size && memcmp(bytes, marks[i].bytes, marks[i].size) == 0) {
            encoding->name = marks[i].name;
            encoding->skip = marks[i].size;
        }
    }
    if (encoding->name != NULL)
        return 0;
    encoding->name = pairs_of_utf16(bytes, sample);
    if (encoding->name != NULL)
        return 0;
    if (memchr(bytes, 0, size) != NULL)
        return processor_fail(context, "bad_input", "zero bytes: not a text");
    if (text_is_utf8((const char *)bytes, size))
        encoding->name = "UTF-8";
    else
        ask_detector(bytes, sample, encoding);
    return 0;
}

/* --- lines ---------------------------------------------------------------------------------------------- */

/* Which delimiter stands equally often on each of the first lines, outside quotes; 0: none. */
struct table {
    char delimiters[3];
    size_t counts[3];  /* on this line */
    size_t columns[3]; /* on all before, 0 where they differ */
    size_t lines;
    bool quoted;
};

static void table_end_line(struct table *table) {
    for (size_t i = 0; i < sizeof table->delimiters; i++) {
        if (table->lines == 0)
            table->columns[i] = table->counts[i];
        else if (table->columns[i] != table->counts[i])
            table->columns[i] = 0;
        table->counts[i] = 0;
    }
    table->lines++;
}

static void table_look(struct table *table, const char *text, size_t size) {
    for (size_t i = 0; i < size && table->lines < TABLE_LINES; i++) {
        table->quoted ^= text[i] == '"';
        for (size_t j = 0; j < sizeof table->delimiters && !table->quoted; j++)
            table->counts[j] += text[i] == table->delimiters[j];
        if (text[i] == '\n' && !table->quoted)
            table_end_line(table);
    }
}

static void table_note(struct table *table, struct office *office) {
    size_t best = 0;

    for (size_t i = 1; i < sizeof table->delimiters; i++)
        best = table->columns[i] > table->columns[best] ? i : best;
    if (table->lines < 2 || table->columns[best] == 0)
        return;
    json_object_set_new(office->meta, "format", json_string("csv"));
    json_object_set_new(office->meta, "delimiter", json_stringn(&table->delimiters[best], 1));
    json_object_set_new(office->meta, "columns", json_integer((json_int_t)table->columns[best] + 1));
}

struct lines {
    struct office *office;
    struct table table;
    bool carriage; /* the last piece ended in one */
    char last;
};

static int put_piece(struct lines *lines, const char *text, size_t size) {
    if (size == 0)
        return 0;
    table_look(&lines->table, text, size);
    lines->last = text[size - 1];
    return office_put(lines->office, text, size);
}

/* "\r\n" and "\r" become "\n". */
static int put_lines(struct lines *lines, const char *text, size_t size) {
    size_t from = 0;

    for (size_t i = 0; i < size; i++) {
        bool feed_of_pair = text[i] == '\n' && lines->carriage;
        lines->carriage = text[i] == '\r';
        lines->office->paragraphs += text[i] == '\r' || (text[i] == '\n' && !feed_of_pair);
        if (text[i] != '\r' && !feed_of_pair)
            continue;
        if (put_piece(lines, text + from, i - from) != 0 || (!feed_of_pair && put_piece(lines, "\n", 1) != 0))
            return -1;
        from = i + 1;
    }
    return put_piece(lines, text + from, size - from);
}

/* --- conversion ----------------------------------------------------------------------------------------- */

static int convert(struct lines *lines, UConverter *from, UConverter *to, const char *source,
                   const char *end) {
    static UChar pivot[PIVOT_UNITS];
    static char text[OFFICE_CHUNK_BYTES];
    UChar *pivot_source = pivot, *pivot_target = pivot;
    UErrorCode error = U_BUFFER_OVERFLOW_ERROR;
    UBool reset = true;

    while (error == U_BUFFER_OVERFLOW_ERROR) {
        char *target = text;
        error = U_ZERO_ERROR;
        ucnv_convertEx(to, from, &target, text + sizeof text, &source, end, pivot, &pivot_source,
                       &pivot_target, pivot + PIVOT_UNITS, reset, true, &error);
        reset = false;
        if (put_lines(lines, text, (size_t)(target - text)) != 0)
            return -1;
        processor_progress(lines->office->context, lines->office->characters, 0);
    }
    /* What can't be read becomes U+FFFD, so nothing else should be left. */
    return U_SUCCESS(error) ? 0
                            : processor_fail(lines->office->context, "bad_input", "text not convertible: %s",
                                             u_errorName(error));
}

static int put_converted(struct lines *lines, const struct encoding *encoding) {
    struct processor_context *context = lines->office->context;
    const char *source = (const char *)context->input;
    UErrorCode error = U_ZERO_ERROR;
    UConverter *from = ucnv_open(encoding->name, &error);
    UConverter *to = ucnv_open("UTF-8", &error);
    int status;

    if (U_FAILURE(error))
        status = processor_fail(context, "unsupported_input", "no converter from %s", encoding->name);
    else
        status = convert(lines, from, to, source + encoding->skip, source + context->input_size);
    ucnv_close(from);
    ucnv_close(to);
    return status;
}

int office_plain_read(struct office *office) {
    static struct lines lines = {.table = {.delimiters = {',', ';', '\t'}}, .last = '\n'};
    struct processor_context *context = office->context;
    const char *text = (const char *)context->input;
    struct encoding encoding;
    int status = detect(context, &encoding);

    if (status != 0)
        return -1;
    lines.office = office;
    if (strcmp(encoding.name, "UTF-8") == 0 &&
        text_is_utf8(text + encoding.skip, context->input_size - encoding.skip))
        status = put_lines(&lines, text + encoding.skip, context->input_size - encoding.skip);
    else
        status = put_converted(&lines, &encoding);
    office->paragraphs += lines.last != '\n';
    table_note(&lines.table, office);
    json_object_set_new(office->meta, "encoding", json_string(encoding.name));
    json_object_set_new(office->meta, "encoding_confidence", json_integer(encoding.confidence));
    return status;
}

/* --- code pages ----------------------------------------------------------------------------------------- */

static void name_code_page(int page, char *name, size_t size) {
    static const struct {
        int page;
        const char *name;
    } names[] = {{932, "windows-31j"}, {950, "Big5"},        {874, "windows-874"}, {936, "GBK"},
                 {949, "windows-949"}, {10000, "macintosh"}, {65001, "UTF-8"}};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].page == page) {
            (void)text_copy(name, size, names[i].name);
            return;
        }
    }
    (void)text_format(name, size, page >= 1250 && page <= 1258 ? "windows-%d" : "ibm-%d", page);
}

/* The converter that is kept is the one of the last code page. */
static UConverter *open_code_page(int page) {
    static UConverter *converter;
    static int opened;
    UErrorCode error = U_ZERO_ERROR;
    char name[32];

    if (converter != NULL && opened == page)
        return converter;
    ucnv_close(converter);
    name_code_page(page, name, sizeof name);
    converter = ucnv_open(name, &error);
    if (U_FAILURE(error)) {
        error = U_ZERO_ERROR;
        converter = ucnv_open(FALLBACK, &error);
    }
    opened = page;
    return converter;
}

int office_decode(struct office_decoder *decoder, const char *bytes, size_t size, bool last) {
    static UChar units[PIVOT_UNITS];
    static char text[PIVOT_UNITS * 3];
    UConverter *converter = open_code_page(decoder->code_page);
    const char *end = bytes + size;
    UErrorCode error = U_BUFFER_OVERFLOW_ERROR;

    if (converter == NULL)
        return processor_fail(decoder->office->context, "memory_limit", "no memory left");
    while (error == U_BUFFER_OVERFLOW_ERROR) {
        UChar *target = units;
        UErrorCode encoding = U_ZERO_ERROR;
        int32_t length = 0;
        error = U_ZERO_ERROR;
        ucnv_toUnicode(converter, &target, units + PIVOT_UNITS, &bytes, end, NULL, last, &error);
        u_strToUTF8WithSub(text, sizeof text, &length, units, (int32_t)(target - units), 0xfffd, NULL, &encoding);
        if (U_FAILURE(encoding) || decoder->put(decoder->context, text, (size_t)length) != 0)
            return processor_fail(decoder->office->context, "bad_input", "text not convertible");
    }
    return 0;
}

/* Converters load their tables when first opened. */
int office_plain_warm(void) {
    struct encoding encoding;
    UErrorCode error = U_ZERO_ERROR;

    ask_detector((const unsigned char *)"caf\xe9 cr\xe8me", 10, &encoding);
    ucnv_close(ucnv_open("UTF-8", &error));
    ucnv_close(ucnv_open("Shift_JIS", &error));
    return U_SUCCESS(error) ? 0 : -1;
}
