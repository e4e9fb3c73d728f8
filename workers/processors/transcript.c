/* SPDX-License-Identifier: MIT
 * Collecting segments and words; text, JSON and the outputs. */
#include "workers/processors/transcript.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/text.h"

#define FIRST_ROOM 64u
#define PARAGRAPH_GAP_MS 2000
#define CONFIDENCE_DIGITS 4
#define MOST_OUTPUT_BYTES (256u << 20)

void transcript_init(struct transcript *transcript) {
    memset(transcript, 0, sizeof *transcript);
    buffer_init(&transcript->texts, TRANSCRIPT_MAX_TEXT);
}

void transcript_clear(struct transcript *transcript) {
    free(transcript->segments);
    free(transcript->words);
    buffer_clear(&transcript->texts);
}

/* --- collecting -------------------------------------------------------------------------------------------
 */

/* One blank between words, none around; control characters are blanks; what is no UTF-8 is left out whole. */
static int add_text(struct transcript *transcript, const struct transcript_piece *piece, size_t *offset) {
    size_t size = text_is_utf8(piece->text, piece->size) ? piece->size : 0;
    int blank = 0;

    *offset = transcript->texts.size;
    for (size_t i = 0; i < size; i++) {
        unsigned char character = (unsigned char)piece->text[i];
        if (character <= ' ' || character == 0x7f) {
            blank = transcript->texts.size > *offset;
            continue;
        }
        if ((blank && buffer_append(&transcript->texts, " ", 1) != 0) ||
            buffer_append(&transcript->texts, &character, 1) != 0)
            return -1;
        blank = 0;
    }
    return buffer_append(&transcript->texts, "", 1);
}

static int add_item(struct transcript *transcript, const struct transcript_piece *piece, uint64_t least_ms,
                    struct transcript_item *item) {
    uint64_t most_ms = transcript->duration_ms == 0 ? UINT64_MAX : transcript->duration_ms;

    item->start_ms = piece->start_ms < least_ms ? least_ms : piece->start_ms;
    item->start_ms = item->start_ms > most_ms ? most_ms : item->start_ms;
    item->end_ms = piece->end_ms < item->start_ms ? item->start_ms : piece->end_ms;
    item->end_ms = item->end_ms > most_ms ? most_ms : item->end_ms;
    item->confidence =
        piece->confidence >= 0 && piece->confidence <= 1 ? piece->confidence : TRANSCRIPT_NO_CONFIDENCE;
    return add_text(transcript, piece, &item->text);
}

/* Room for one more in an array that doubles. */
static int make_room(void **array, size_t *room, size_t count, size_t size) {
    size_t wanted = *room == 0 ? FIRST_ROOM : *room * 2;
    void *longer;

    if (count < *room)
        return 0;
    if (wanted > TRANSCRIPT_MAX_ITEMS)
        return -1;
    longer = reallocarray(*array, wanted, size);
    if (longer == NULL)
        return -1;
    *array = longer;
    *room = wanted;
    return 0;
}

int transcript_add_segment(struct transcript *transcript, const struct transcript_piece *piece) {
    struct transcript_segment segment = {.word = transcript->word_count};
    size_t count = transcript->segment_count;
    uint64_t least_ms = count == 0 ? 0 : transcript->segments[count - 1].item.start_ms;

    if (make_room((void **)&transcript->segments, &transcript->segment_room, count, sizeof segment) != 0 ||
        add_item(transcript, piece, least_ms, &segment.item) != 0)
        return -1;
    transcript->segments[transcript->segment_count++] = segment;
    return 0;
}

int transcript_add_word(struct transcript *transcript, const struct transcript_piece *piece) {
    struct transcript_segment *segment = &transcript->segments[transcript->segment_count - 1];
    struct transcript_item word = {0};
    size_t count = transcript->word_count;
    uint64_t least_ms = segment->word_count == 0 ? 0 : transcript->words[count - 1].start_ms;

    if (make_room((void **)&transcript->words, &transcript->word_room, count, sizeof word) != 0 ||
        add_item(transcript, piece, least_ms, &word) != 0)
        return -1;
    if (transcript->texts.data[word.text] == '\0')
        return 0; /* nothing but blanks */
    transcript->words[transcript->word_count++] = word;
    segment->word_count++;
    return 0;
}

/* --- text and JSON ----------------------------------------------------------------------------------------
 */

static const char *text_of(const struct transcript *transcript, const struct transcript_item *item) {
    return transcript->texts.data + item->text;
}

int transcript_text(const struct transcript *transcript, struct buffer *target) {
    const struct transcript_item *before = NULL;
    int status = 0;

    for (size_t i = 0; i < transcript->segment_count && status == 0; i++) {
        const struct transcript_item *item = &transcript->segments[i].item;
        if (text_of(transcript, item)[0] == '\0')
            continue;
        if (before != NULL)
            status =
                buffer_append(target, item->start_ms >= before->end_ms + PARAGRAPH_GAP_MS ? "\n" : " ", 1);
        if (status == 0)
            status = buffer_append_text(target, text_of(transcript, item));
        before = item;
    }
    return status == 0 && before != NULL ? buffer_append(target, "\n", 1) : status;
}

static json_t *item_json(const struct transcript *transcript, const struct transcript_item *item,
                         const char *name) {
    json_t *object = json_pack("{s:I, s:I, s:s}", "start_ms", (json_int_t)item->start_ms, "end_ms",
                               (json_int_t)item->end_ms, name, text_of(transcript, item));

    if (object != NULL && item->confidence >= 0)
        (void)json_object_set_new(object, "confidence", json_real(item->confidence));
    return object;
}

/* Members of a NULL are not added: json_object_set_new refuses them, and the text below would show it. */
static json_t *segment_json(const struct transcript *transcript, const struct transcript_segment *segment) {
    json_t *object = item_json(transcript, &segment->item, "text");
    json_t *words = json_array();

    for (size_t i = 0; i < segment->word_count; i++)
        (void)json_array_append_new(words,
                                    item_json(transcript, &transcript->words[segment->word + i], "word"));
    if (segment->word_count > 0)
        (void)json_object_set(object, "words", words);
    json_decref(words);
    return object;
}

int transcript_json(const struct transcript *transcript, struct buffer *target) {
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:I, s:I}", "engine", transcript->engine, "model", transcript->model,
                  "language", transcript->language, "duration_ms", (json_int_t)transcript->duration_ms,
                  "speech_ms", (json_int_t)transcript->speech_ms);
    json_t *segments = json_array();
    char *text;
    int status = -1;

    for (size_t i = 0; i < transcript->segment_count; i++)
        (void)json_array_append_new(segments, segment_json(transcript, &transcript->segments[i]));
    (void)json_object_set_new(root, "segments", segments);
    text = root == NULL ? NULL : json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(CONFIDENCE_DIGITS));
    if (text != NULL)
        status = buffer_append_text(target, text);
    free(text);
    json_decref(root);
    return status;
}

/* --- outputs ----------------------------------------------------------------------------------------------
 */

int transcript_write(struct processor_context *context, const struct transcript *transcript) {
    static int (*const formats[])(const struct transcript *transcript, struct buffer *target) = {
        [TRANSCRIPT_TEXT] = transcript_text,
        [TRANSCRIPT_JSON] = transcript_json,
        [TRANSCRIPT_SRT] = transcript_srt,
        [TRANSCRIPT_VTT] = transcript_vtt,
    };
    struct buffer buffer;
    int status = 0;

    buffer_init(&buffer, MOST_OUTPUT_BYTES);
    for (int i = 0; i <= TRANSCRIPT_VTT && status == 0; i++) {
        if (context->outputs[i] < 0)
            continue;
        buffer_reset(&buffer);
        if (formats[i](transcript, &buffer) != 0)
            status = processor_fail(context, "output_limit", "the transcript is too long");
        else
            status = processor_write(context, i, buffer.data, buffer.size);
        processor_fact(context, i, "segments",
                       transcript->segment_count); /* also of an empty one: it was made */
    }
    buffer_clear(&buffer);
    processor_fact(context, -1, "duration_ms", transcript->duration_ms);
    processor_fact(context, -1, "speech_ms", transcript->speech_ms);
    processor_fact(context, -1, "segments", transcript->segment_count);
    processor_fact(context, -1, "words", transcript->word_count);
    return status;
}
