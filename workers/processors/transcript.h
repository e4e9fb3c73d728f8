/* SPDX-License-Identifier: MIT
 * What was said: segments and words with times, and the four outputs of transcribe made of them. Filled in a
 * runner (PocketSphinx) or in the worker (a service's answer); texts come from outside and are cleaned here.
 */
#ifndef WORKERS_PROCESSORS_TRANSCRIPT_H
#define WORKERS_PROCESSORS_TRANSCRIPT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/buffer.h"
#include "workers/processor.h"

#define TRANSCRIPT_MAX_TEXT (16u << 20) /* bytes of all words and segments */
#define TRANSCRIPT_MAX_ITEMS 1000000u
#define TRANSCRIPT_NAME_SIZE 64
#define TRANSCRIPT_NO_CONFIDENCE (-1.0)

enum transcript_output { TRANSCRIPT_TEXT, TRANSCRIPT_JSON, TRANSCRIPT_SRT, TRANSCRIPT_VTT };

struct transcript_item {
    uint64_t start_ms, end_ms;
    double confidence; /* 0 to 1, or TRANSCRIPT_NO_CONFIDENCE */
    size_t text;       /* offset in texts; NUL-terminated */
};

struct transcript_segment {
    struct transcript_item item;
    size_t word, word_count; /* first in words */
};

struct transcript {
    struct transcript_segment *segments;
    struct transcript_item *words;
    size_t segment_count, word_count, segment_room, word_room;
    struct buffer texts;
    char engine[TRANSCRIPT_NAME_SIZE], model[TRANSCRIPT_NAME_SIZE], language[TRANSCRIPT_NAME_SIZE];
    uint64_t duration_ms, speech_ms;
};

void transcript_init(struct transcript *transcript);
void transcript_clear(struct transcript *transcript);

struct transcript_piece {
    uint64_t start_ms, end_ms;
    double confidence;
    const char *text; /* UTF-8; blanks and control characters are put in order */
    size_t size;
};

/* Segments come in the order of their starts; words belong to the last one. A time before the one before it,
 * or an end before its start, is put right; nothing ends after the sound where its duration is known. 0, or
 * -1 when there are too many. */
int transcript_add_segment(struct transcript *transcript, const struct transcript_piece *piece);
int transcript_add_word(struct transcript *transcript, const struct transcript_piece *piece);

/* The formats, appended to a buffer: 0, or -1 when it is full. */
int transcript_text(const struct transcript *transcript, struct buffer *target);
int transcript_json(const struct transcript *transcript, struct buffer *target);
int transcript_srt(const struct transcript *transcript, struct buffer *target);
int transcript_vtt(const struct transcript *transcript, struct buffer *target);

/* Writes the wanted outputs (enum transcript_output is their order) and the facts. 0, or -1 after
 * processor_fail. */
int transcript_write(struct processor_context *context, const struct transcript *transcript);

#endif
