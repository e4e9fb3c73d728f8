/* SPDX-License-Identifier: MIT
 * Subtitles: SRT as SubRip writes it, WebVTT as the W3C's. A cue has at most two lines of 42 characters and
 * seven seconds, which is what broadcasters' guides ask for; it takes its times from its words, or by length
 * where a segment has none. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "workers/processors/transcript.h"

#define LINE_CHARACTERS 42u
#define CUE_LINES 2u
#define CUE_MS 7000u
#define LEAST_MS 1u

struct part { /* what stands between two blanks, at most a line of it */
    const char *text;
    size_t size, characters;
    uint64_t start_ms, end_ms;
    int starts_word;
};

struct cue {
    char text[CUE_LINES * (LINE_CHARACTERS * 4 + 1) + 1]; /* lines with a newline between */
    size_t size, column, lines;
    uint64_t start_ms, end_ms;
};

struct writer {
    struct buffer *target;
    char separator; /* of seconds and milliseconds */
    int is_vtt;
    uint64_t number, last_end_ms;
    struct cue cue;
};

/* --- writing ----------------------------------------------------------------------------------------------
 */

static int put_time(struct writer *writer, uint64_t ms, const char *after) {
    return buffer_append_format(writer->target, "%02" PRIu64 ":%02u:%02u%c%03u%s", ms / 3600000,
                                (unsigned)(ms / 60000 % 60), (unsigned)(ms / 1000 % 60), writer->separator,
                                (unsigned)(ms % 1000), after);
}

static int put_text(struct writer *writer) {
    static const struct {
        char character;
        const char *escaped;
    } escapes[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}};

    for (size_t i = 0; i < writer->cue.size; i++) {
        const char *escaped = NULL;
        for (size_t j = 0; writer->is_vtt && j < sizeof escapes / sizeof escapes[0]; j++) {
            if (escapes[j].character == writer->cue.text[i])
                escaped = escapes[j].escaped;
        }
        if ((escaped != NULL ? buffer_append_text(writer->target, escaped)
                             : buffer_append(writer->target, &writer->cue.text[i], 1)) != 0)
            return -1;
    }
    return buffer_append_text(writer->target, "\n\n");
}

static int end_cue(struct writer *writer) {
    struct cue *cue = &writer->cue;

    if (cue->lines == 0)
        return 0;
    /* Cues follow one another without overlap and last a moment at least. */
    if (cue->start_ms < writer->last_end_ms)
        cue->start_ms = writer->last_end_ms;
    if (cue->end_ms < cue->start_ms + LEAST_MS)
        cue->end_ms = cue->start_ms + LEAST_MS;
    writer->last_end_ms = cue->end_ms;
    writer->number++;
    if (!writer->is_vtt && buffer_append_format(writer->target, "%" PRIu64 "\n", writer->number) != 0)
        return -1;
    if (put_time(writer, cue->start_ms, " --> ") != 0 || put_time(writer, cue->end_ms, "\n") != 0 ||
        put_text(writer) != 0)
        return -1;
    *cue = (struct cue){.lines = 0};
    return 0;
}

static void append(struct cue *cue, const char *text, size_t size) {
    memcpy(cue->text + cue->size, text, size);
    cue->size += size;
}

static int put_part(struct writer *writer, const struct part *part) {
    struct cue *cue = &writer->cue;
    size_t blank = cue->column > 0 && part->starts_word ? 1 : 0;
    int fits = cue->column + blank + part->characters <= LINE_CHARACTERS;

    if (cue->lines > 0 && ((!fits && cue->lines == CUE_LINES) || part->end_ms > cue->start_ms + CUE_MS)) {
        if (end_cue(writer) != 0)
            return -1;
        fits = 1;
        blank = 0;
    }
    if (cue->lines == 0) {
        cue->lines = 1;
        cue->start_ms = part->start_ms;
    } else if (!fits) {
        append(cue, "\n", 1);
        cue->lines++;
        cue->column = blank = 0;
    }
    if (blank > 0)
        append(cue, " ", 1);
    append(cue, part->text, part->size);
    cue->column += blank + part->characters;
    cue->end_ms = part->end_ms;
    return 0;
}

/* --- parts ------------------------------------------------------------------------------------------------
 */

/* Cuts at blanks and after 42 characters; times go evenly over the characters. */
static int put_item(struct writer *writer, const char *text, const struct transcript_item *item) {
    size_t total = 0, before = 0;
    int starts_word = 1;

    for (const char *at = text; *at != '\0'; at++)
        total += ((unsigned char)*at & 0xc0) != 0x80;
    if (total == 0)
        return 0;
    while (*text != '\0') {
        struct part part = {.text = text, .starts_word = starts_word};
        while (*text != '\0' && *text != ' ') {
            int is_first = ((unsigned char)*text & 0xc0) != 0x80;
            if (is_first && part.characters == LINE_CHARACTERS)
                break;
            part.characters += (size_t)is_first;
            text++;
        }
        part.size = (size_t)(text - part.text);
        part.start_ms = item->start_ms + (item->end_ms - item->start_ms) * before / total;
        before += part.characters;
        part.end_ms = item->start_ms + (item->end_ms - item->start_ms) * before / total;
        if (put_part(writer, &part) != 0)
            return -1;
        starts_word = *text == ' ';
        text += starts_word;
        before += (size_t)starts_word;
    }
    return 0;
}

static int put_segment(struct writer *writer, const struct transcript *transcript,
                       const struct transcript_segment *segment) {
    const char *texts = transcript->texts.data;

    if (segment->word_count == 0 && put_item(writer, texts + segment->item.text, &segment->item) != 0)
        return -1;
    for (size_t i = 0; i < segment->word_count; i++) {
        const struct transcript_item *word = &transcript->words[segment->word + i];
        if (put_item(writer, texts + word->text, word) != 0)
            return -1;
    }
    return end_cue(writer);
}

static int put_all(struct writer *writer, const struct transcript *transcript) {
    for (size_t i = 0; i < transcript->segment_count; i++) {
        if (put_segment(writer, transcript, &transcript->segments[i]) != 0)
            return -1;
    }
    return 0;
}

int transcript_srt(const struct transcript *transcript, struct buffer *target) {
    struct writer writer = {.target = target, .separator = ','};

    return put_all(&writer, transcript);
}

int transcript_vtt(const struct transcript *transcript, struct buffer *target) {
    struct writer writer = {.target = target, .separator = '.', .is_vtt = 1};

    return buffer_append_text(target, "WEBVTT\n\n") == 0 ? put_all(&writer, transcript) : -1;
}
