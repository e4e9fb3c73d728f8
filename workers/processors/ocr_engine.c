/* SPDX-License-Identifier: MIT
 * Reading with tesseract, the only user of its headers. The default languages are loaded once in the nursery,
 * others in the runner that needs them. A page that reads badly as it stands may stand on its side: then, and
 * only then, its orientation is looked for, which costs as much as reading it. */
#include <leptonica/allheaders.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tesseract/capi.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/text.h"
#include "workers/processors/engines.h"
#include "workers/deaths.h"
#include "workers/processors/ocr.h"

#define DEFAULT_FOLDER "/usr/share/tesseract-ocr/5/tessdata"
#define DEFAULT_LANGUAGES "eng"
#define PATH_SIZE 512
#define PAGE_LIMIT_MS 60000
#define DOUBTFUL 65.0    /* mean confidence below which the orientation is in question */
#define FEW_CHARACTERS 8 /* as if nothing was read */
#define SURE 1.0f        /* of the detector's own measure */
#define LEAST_DPI 70     /* less is no resolution but a default of some program */
#define MOST_DPI 2400

static struct {
    TessBaseAPI *api; /* NULL: no engine here */
    char folder[PATH_SIZE];
    char warm[OCR_LANGUAGES_SIZE];      /* what the nursery loads */
    char languages[OCR_LANGUAGES_SIZE]; /* what is loaded */
} engine;

/* --- languages ------------------------------------------------------------------------------------------- */

static bool is_installed(const char *name, size_t size) {
    char path[PATH_SIZE];

    return size > 0 &&
           text_format(path, sizeof path, "%s/%.*s.traineddata", engine.folder, (int)size, name) == 0 &&
           access(path, R_OK) == 0;
}

/* The first name that has no data, or NULL. */
static const char *find_missing(const char *languages) {
    while (true) {
        size_t size = strcspn(languages, "+");
        if (!is_installed(languages, size))
            return languages;
        if (languages[size] == '\0')
            return NULL;
        languages += size + 1;
    }
}

static TessBaseAPI *load(const char *languages) {
    TessBaseAPI *api = TessBaseAPICreate();

    if (api != NULL && TessBaseAPIInit2(api, engine.folder, languages, OEM_LSTM_ONLY) != 0) {
        TessBaseAPIDelete(api);
        return NULL;
    }
    return api;
}

static void configure(char *target, size_t size, const char *variable, const char *fallback) {
    const char *value = getenv(variable);

    if (value == NULL || value[0] == '\0' || text_copy(target, size, value) != 0)
        (void)text_copy(target, size, fallback);
}

/* In the nursery's own end: libtesseract complains of what is still loaded. */
static void unload(void) {
    TessBaseAPIDelete(engine.api);
}

/* Without its data the service still starts: jobs that need it are told so. */
int ocr_engine_warm(void) {
    if (engine.folder[0] != '\0') /* by another processor */
        return 0;
    setMsgSeverity(L_SEVERITY_NONE);
    configure(engine.folder, sizeof engine.folder, "FILEMILL_OCR_DATA", DEFAULT_FOLDER);
    configure(engine.warm, sizeof engine.warm, "FILEMILL_OCR_LANGUAGES", DEFAULT_LANGUAGES);
    if (find_missing(engine.warm) == NULL)
        engine.api = load(engine.warm);
    if (engine.api == NULL)
        log_warn("engine=tesseract state=cold languages=%s folder=%s", engine.warm, engine.folder);
    else
        (void)text_copy(engine.languages, sizeof engine.languages, engine.warm);
    return engine.api == NULL || atexit(unload) == 0 ? 0 : -1;
}

int ocr_engine_choose(struct processor_context *context, const char *languages) {
    const char *missing;

    if (languages[0] == '\0')
        languages = engine.warm;
    if (engine.api != NULL && strcmp(languages, engine.languages) == 0)
        return 0;
    missing = find_missing(languages);
    if (missing != NULL)
        return processor_fail(context, "unsupported_language", "no data for language %.*s",
                              (int)strcspn(missing, "+"), missing);
    engine.api = load(languages); /* the old one is left: freeing it only costs time */
    if (engine.api == NULL)
        return processor_fail(context, "engine_failed", "language data of %s not loaded", languages);
    (void)text_copy(engine.languages, sizeof engine.languages, languages);
    return 0;
}

const char *ocr_engine_languages(void) {
    return engine.languages;
}

const char *ocr_engine_folder(void) {
    return engine.folder;
}

/* --- elements -------------------------------------------------------------------------------------------- */

static const TessPageIteratorLevel levels[OCR_LEVEL_COUNT] = {
    [OCR_BLOCK] = RIL_BLOCK, [OCR_PARAGRAPH] = RIL_PARA, [OCR_LINE] = RIL_TEXTLINE, [OCR_WORD] = RIL_WORD};

void ocr_page_clear(struct ocr_page *page) {
    for (size_t i = 0; i < page->count; i++)
        free(page->elements[i].text);
    free(page->elements);
    page->elements = NULL;
    page->count = page->capacity = 0;
}

static void *or_exit(void *memory) {
    if (memory == NULL)
        _exit(RUNNER_EXIT_MEMORY);
    return memory;
}

static struct ocr_element *add_element(struct ocr_page *page, enum ocr_level level) {
    struct ocr_element *element;

    if (page->elements == NULL || page->count == page->capacity) {
        page->capacity = page->capacity == 0 ? 1024 : page->capacity * 2;
        page->elements = or_exit(realloc(page->elements, page->capacity * sizeof *page->elements));
    }
    element = &page->elements[page->count++];
    *element = (struct ocr_element){.level = level};
    return element;
}

/* Scripts that are written without spaces: kana, Han, fullwidth forms (not Hangul). */
static bool is_unspaced(const unsigned char *text) {
    unsigned long code = 0;

    if (text[0] >= 0xf0)
        code = (text[0] & 7ul) << 18 | (text[1] & 63ul) << 12 | (text[2] & 63ul) << 6 | (text[3] & 63ul);
    else if (text[0] >= 0xe0)
        code = (text[0] & 15ul) << 12 | (text[1] & 63ul) << 6 | (text[2] & 63ul);
    return (code >= 0x3000 && code <= 0x30ff) || (code >= 0x3400 && code <= 0x9fff) ||
           (code >= 0xf900 && code <= 0xfaff) || (code >= 0xff00 && code <= 0xffef) ||
           (code >= 0x20000 && code <= 0x3ffff);
}

static const unsigned char *last_letter(const char *text) {
    const char *last = text + strlen(text) - 1;

    while (last > text && ((unsigned char)*last & 0xc0) == 0x80)
        last--;
    return (const unsigned char *)last;
}

static uint64_t count_letters(const char *text) {
    uint64_t count = 0;

    for (; *text != '\0'; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

static void place(const TessPageIterator *at, struct ocr_page *page, struct ocr_element *element) {
    struct ocr_box *read = &element->read;
    int x1, y1, x2, y2;

    (void)TessPageIteratorBoundingBox(at, levels[element->level], &read->left, &read->top, &read->right,
                                      &read->bottom);
    element->box = ocr_turn_box_back(&page->turn, read);
    if (element->level != OCR_LINE)
        return;
    element->baseline = read->bottom;
    if (TessPageIteratorBaseline(at, RIL_TEXTLINE, &x1, &y1, &x2, &y2) && y1 > read->top && y2 > read->top)
        element->baseline = (y1 + y2) / 2 > read->bottom ? read->bottom : (y1 + y2) / 2;
}

static void add_word(const TessResultIterator *words, const TessPageIterator *at, struct ocr_page *page,
                     const char *text) {
    const struct ocr_element *before = page->count == 0 ? NULL : &page->elements[page->count - 1];
    bool joined = before != NULL && before->level == OCR_WORD && is_unspaced(last_letter(before->text)) &&
                  is_unspaced((const unsigned char *)text);
    struct ocr_element *word = add_element(page, OCR_WORD);
    uint64_t letters = count_letters(text);

    word->joined = joined;
    word->confidence = fmaxf(0, fminf(100, TessResultIteratorConfidence(words, RIL_WORD)));
    word->text = or_exit(strdup(text));
    place(at, page, word);
    page->words++;
    page->characters += letters;
    page->confidence += (double)word->confidence * (double)letters;
}

/* tesseract turns blocks that stand by itself and does not say so: the order of their words does. */
static int line_direction(const struct ocr_page *page, size_t line) {
    const struct ocr_box *first, *last;
    size_t i = line + 1;
    int x, y;

    while (i + 1 < page->count && page->elements[i + 1].level == OCR_WORD)
        i++;
    if (i >= page->count || i == line + 1)
        return 0;
    first = &page->elements[line + 1].read;
    last = &page->elements[i].read;
    x = last->left + last->right - first->left - first->right;
    y = last->top + last->bottom - first->top - first->bottom;
    return abs(y) <= abs(x) ? 0 : y > 0 ? 90 : 270;
}

static void find_directions(struct ocr_page *page) {
    int counts[4] = {0};

    for (size_t i = 0; i < page->count; i++) {
        if (page->elements[i].level == OCR_LINE) {
            page->elements[i].direction = line_direction(page, i);
            counts[page->elements[i].direction / 90]++;
        }
    }
    page->direction = counts[1] > counts[0] && counts[1] >= counts[3] ? 90 : counts[3] > counts[0] ? 270 : 0;
    for (size_t i = 0; i + 1 < page->count; i++) { /* a single word says nothing: it follows the page */
        if (page->elements[i].level == OCR_LINE &&
            (i + 2 == page->count || page->elements[i + 2].level != OCR_WORD))
            page->elements[i].direction = page->direction;
    }
}

/* Blocks, paragraphs and lines are added with their first word, so that none is empty. */
static void read_elements(TessResultIterator *words, struct ocr_page *page) {
    const TessPageIterator *at = TessResultIteratorGetPageIteratorConst(words);
    bool pending[OCR_LEVEL_COUNT] = {false};

    do {
        char *text = TessResultIteratorGetUTF8Text(words, RIL_WORD);
        for (int level = OCR_BLOCK; level < OCR_WORD; level++)
            pending[level] |= TessPageIteratorIsAtBeginningOf(at, levels[level]) != 0;
        if (text != NULL && text[strspn(text, " \t\r\n\f\v")] != '\0' && text_is_utf8(text, strlen(text))) {
            for (int level = OCR_BLOCK; level < OCR_WORD; level++) {
                if (pending[level])
                    place(at, page, add_element(page, (enum ocr_level)level));
                pending[level] = false;
            }
            add_word(words, at, page, text);
        }
        TessDeleteText(text);
    } while (TessResultIteratorNext(words, RIL_WORD));
    find_directions(page);
}

/* --- reading --------------------------------------------------------------------------------------------- */

static enum ocr_status recognize(PIX *picture, struct ocr_page *page, int rotation) {
    PIX *level = ocr_level(picture, rotation, &page->turn);
    ETEXT_DESC *monitor = TessMonitorCreate();
    TessResultIterator *words;
    int status;

    if (level == NULL || monitor == NULL)
        return OCR_NO_MEMORY;
    TessMonitorSetDeadlineMSecs(monitor, PAGE_LIMIT_MS);
    TessBaseAPISetPageSegMode(engine.api, PSM_AUTO);
    TessBaseAPISetImage2(engine.api, level);
    if (page->dpi >= LEAST_DPI && page->dpi <= MOST_DPI)
        TessBaseAPISetSourceResolution(engine.api, page->dpi);
    status = TessBaseAPIRecognize(engine.api, monitor);
    TessMonitorDelete(monitor);
    pixDestroy(&level);
    if (status != 0)
        return OCR_TOO_LONG;
    words = TessBaseAPIGetIterator(engine.api);
    if (words != NULL)
        read_elements(words, page);
    TessResultIteratorDelete(words);
    TessBaseAPIClear(engine.api);
    page->confidence = page->characters == 0 ? 0 : page->confidence / (double)page->characters;
    return OCR_READ;
}

/* Clockwise degrees that make the picture upright; 0 also when that is not known. */
static int find_rotation(PIX *picture, int dpi) {
    static TessBaseAPI *detector;
    int degrees = 0;
    float certainty = 0, script_certainty;
    const char *script;

    if (detector == NULL && is_installed("osd", 3)) {
        detector = TessBaseAPICreate();
        if (detector != NULL && TessBaseAPIInit2(detector, engine.folder, "osd", OEM_TESSERACT_ONLY) != 0) {
            TessBaseAPIDelete(detector);
            detector = NULL;
        }
    }
    if (detector == NULL)
        return 0;
    TessBaseAPISetPageSegMode(detector, PSM_OSD_ONLY);
    TessBaseAPISetImage2(detector, picture);
    if (dpi >= LEAST_DPI && dpi <= MOST_DPI)
        TessBaseAPISetSourceResolution(detector, dpi);
    if (!TessBaseAPIDetectOrientationScript(detector, &degrees, &certainty, &script, &script_certainty) ||
        certainty < SURE || degrees % 90 != 0)
        degrees = 0;
    TessBaseAPIClear(detector);
    return (360 - degrees) % 360;
}

static struct ocr_page blank_like(const struct ocr_page *page) {
    return (struct ocr_page){.number = page->number, .dpi = page->dpi};
}

/* How much was read, weighted by how surely. */
static double worth(const struct ocr_page *page) {
    return page->confidence * page->confidence * (double)page->characters;
}

enum ocr_status ocr_engine_read(PIX *picture, struct ocr_page *page) {
    enum ocr_status status = recognize(picture, page, 0);
    struct ocr_page turned = blank_like(page);
    int rotation;

    if (status != OCR_READ || (page->confidence >= DOUBTFUL && page->characters >= FEW_CHARACTERS))
        return status;
    rotation = find_rotation(picture, page->dpi);
    if (rotation == 0 || recognize(picture, &turned, rotation) != OCR_READ || worth(&turned) <= worth(page)) {
        ocr_page_clear(&turned);
        return status;
    }
    ocr_page_clear(page);
    *page = turned;
    return status;
}

const char *engine_tesseract(void) {
    static char name[96 + OCR_LANGUAGES_SIZE];
    char languages[OCR_LANGUAGES_SIZE]; /* nothing may be loaded yet */

    configure(languages, sizeof languages, "FILEMILL_OCR_LANGUAGES", DEFAULT_LANGUAGES);
    (void)text_format(name, sizeof name, "tesseract/%s+%s", TessVersion(), languages);
    return name;
}
