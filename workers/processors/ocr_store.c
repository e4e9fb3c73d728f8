/* SPDX-License-Identifier: MIT
 * A record: its mark, its length, the page's numbers, its elements. Numbers are written in the order of bytes of
 * the machine: the mark differs where that differs. */
#include "workers/processors/ocr_store.h"

#include <stdlib.h>
#include <string.h>

#include "lib/text.h"

#define MARK UINT32_C(0x4647504d)
#define RECORD_MAX (256u << 20)
#define ELEMENT_LEAST 50 /* bytes of one without a text */

struct ocr_store {
    int count;
    struct {
        const unsigned char *bytes;
        size_t size;
    } pages[]; /* by index */
};

/* --- writing --------------------------------------------------------------------------------------------- */

struct writer {
    struct buffer bytes;
    int status;
};

static void put(struct writer *writer, const void *value, size_t size) {
    writer->status |= buffer_append(&writer->bytes, value, size);
}

static void put_int(struct writer *writer, int value) {
    int32_t number = value;

    put(writer, &number, sizeof number);
}

static void put_box(struct writer *writer, const struct ocr_box *box) {
    put_int(writer, box->left);
    put_int(writer, box->top);
    put_int(writer, box->right);
    put_int(writer, box->bottom);
}

static void put_element(struct writer *writer, const struct ocr_element *element) {
    size_t size = element->text == NULL ? 0 : strlen(element->text);
    unsigned char flags[2] = {(unsigned char)element->level, element->joined};

    put(writer, flags, sizeof flags);
    put_box(writer, &element->box);
    put_box(writer, &element->read);
    put_int(writer, element->baseline);
    put_int(writer, element->direction);
    put(writer, &element->confidence, sizeof element->confidence);
    put_int(writer, (int)size);
    put(writer, element->text == NULL ? "" : element->text, size);
}

static void put_page(struct writer *writer, const struct ocr_page *page) {
    const struct ocr_turn *turn = &page->turn;

    put_int(writer, page->number);
    put_int(writer, page->dpi);
    put_int(writer, ocr_status_of(page->error));
    put_int(writer, turn->rotation);
    put(writer, &turn->skew, sizeof turn->skew);
    put_int(writer, turn->page_width);
    put_int(writer, turn->page_height);
    put_int(writer, turn->read_width);
    put_int(writer, turn->read_height);
    put_int(writer, page->direction);
    put(writer, &page->confidence, sizeof page->confidence);
    put(writer, &page->words, sizeof page->words);
    put(writer, &page->characters, sizeof page->characters);
    put_int(writer, (int)page->count);
    for (size_t i = 0; i < page->count; i++)
        put_element(writer, &page->elements[i]);
}

int ocr_store_write(struct processor_context *context, int output, const struct ocr_page *page) {
    struct writer writer = {.status = 0};
    uint32_t head[2] = {MARK, 0};
    int status;

    buffer_init(&writer.bytes, RECORD_MAX);
    put_page(&writer, page);
    head[1] = (uint32_t)writer.bytes.size;
    if (writer.status != 0)
        status = processor_fail(context, "output_limit", "page %d has too many words", page->number);
    else
        status = processor_write(context, output, head, sizeof head) != 0
                     ? -1
                     : processor_write(context, output, writer.bytes.data, writer.bytes.size);
    buffer_clear(&writer.bytes);
    return status;
}

/* --- reading --------------------------------------------------------------------------------------------- */

struct reader {
    const unsigned char *at;
    size_t left;
    bool broken;
};

static void take(struct reader *reader, void *value, size_t size) {
    if (reader->left < size) {
        reader->broken = true;
        memset(value, 0, size);
        return;
    }
    memcpy(value, reader->at, size);
    reader->at += size;
    reader->left -= size;
}

static int take_int(struct reader *reader, int least, int most) {
    int32_t number;

    take(reader, &number, sizeof number);
    if (number < least || number > most) {
        reader->broken = true;
        return least;
    }
    return number;
}

#define ANY (1 << 30)

static void take_box(struct reader *reader, struct ocr_box *box) {
    box->left = take_int(reader, -ANY, ANY);
    box->top = take_int(reader, -ANY, ANY);
    box->right = take_int(reader, -ANY, ANY);
    box->bottom = take_int(reader, -ANY, ANY);
}

static int take_turn(struct reader *reader) {
    int degrees = take_int(reader, 0, 270);

    reader->broken |= degrees % 90 != 0;
    return degrees;
}

static double take_double(struct reader *reader) {
    double number;

    take(reader, &number, sizeof number);
    if (!(number >= -1e9 && number <= 1e9)) {
        reader->broken = true;
        return 0;
    }
    return number;
}

static char *take_text(struct reader *reader) {
    size_t size = (size_t)take_int(reader, 0, 1 << 20);
    char *text;

    if (reader->broken || size == 0 || reader->left < size)
        return NULL;
    text = malloc(size + 1);
    if (text == NULL)
        return NULL;
    take(reader, text, size);
    text[size] = '\0';
    reader->broken |= strlen(text) != size || !text_is_utf8(text, size);
    return text;
}

static void take_element(struct reader *reader, struct ocr_element *element) {
    unsigned char flags[2];

    take(reader, flags, sizeof flags);
    reader->broken |= flags[0] >= OCR_LEVEL_COUNT || flags[1] > 1;
    element->level = flags[0] < OCR_LEVEL_COUNT ? (enum ocr_level)flags[0] : OCR_WORD;
    element->joined = flags[1] == 1;
    take_box(reader, &element->box);
    take_box(reader, &element->read);
    element->baseline = take_int(reader, -ANY, ANY);
    element->direction = take_turn(reader);
    take(reader, &element->confidence, sizeof element->confidence);
    if (!(element->confidence >= 0 && element->confidence <= 100)) {
        element->confidence = 0;
        reader->broken = true;
    }
    element->text = take_text(reader);
    reader->broken |= (element->text != NULL) != (element->level == OCR_WORD);
}

static void take_page(struct reader *reader, struct ocr_page *page) {
    struct ocr_turn *turn = &page->turn;
    size_t count;

    page->number = take_int(reader, 1, OCR_MAX_PAGES);
    page->dpi = take_int(reader, 0, ANY);
    page->error = ocr_status_word((enum ocr_status)take_int(reader, 0, OCR_STATUS_COUNT - 1));
    turn->rotation = take_turn(reader);
    turn->skew = take_double(reader);
    turn->page_width = take_int(reader, 0, ANY);
    turn->page_height = take_int(reader, 0, ANY);
    turn->read_width = take_int(reader, 0, ANY);
    turn->read_height = take_int(reader, 0, ANY);
    page->direction = take_turn(reader);
    page->confidence = take_double(reader);
    take(reader, &page->words, sizeof page->words);
    take(reader, &page->characters, sizeof page->characters);
    count = (size_t)take_int(reader, 0, ANY);
    if (reader->broken || count > reader->left / ELEMENT_LEAST) {
        reader->broken = true;
        return;
    }
    page->elements = count == 0 ? NULL : calloc(count, sizeof *page->elements);
    page->capacity = page->elements == NULL ? 0 : count;
    while (page->count < page->capacity && !reader->broken)
        take_element(reader, &page->elements[page->count++]);
    reader->broken |= page->count != count || reader->left != 0;
}

static int broken(struct processor_context *context) {
    return processor_fail(context, "engine_failed", "a range left what is no page");
}

struct ocr_store *ocr_store_open(struct processor_context *context, int count) {
    struct ocr_store *store = calloc(1, sizeof *store + (size_t)count * sizeof store->pages[0]);
    struct reader all = {.at = context->parts, .left = context->parts_size};

    if (store == NULL) {
        (void)processor_fail(context, "memory_limit", "no memory left");
        return NULL;
    }
    store->count = count;
    while (all.left > 0 && !all.broken) {
        uint32_t head[2];
        take(&all, head, sizeof head);
        if (all.broken || head[0] != MARK || head[1] > all.left)
            break;
        struct reader record = {.at = all.at, .left = head[1]};
        int number = take_int(&record, 1, count);
        if (record.broken)
            break;
        store->pages[number - 1].bytes = all.at;
        store->pages[number - 1].size = head[1];
        all.at += head[1];
        all.left -= head[1];
    }
    if (all.left == 0 && !all.broken)
        return store;
    free(store);
    (void)broken(context);
    return NULL;
}

int ocr_store_read(struct processor_context *context, const struct ocr_store *store, int index,
                   struct ocr_page *page) {
    struct reader reader;

    if (index >= store->count || store->pages[index].bytes == NULL)
        return 0;
    reader = (struct reader){.at = store->pages[index].bytes, .left = store->pages[index].size};
    take_page(&reader, page);
    return reader.broken ? broken(context) : 1;
}
