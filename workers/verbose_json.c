/* SPDX-License-Identifier: MIT
 * Segments, with their words inside (whisper.cpp) or beside them in one list (OpenAI). */
#include "workers/verbose_json.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "lib/text.h"

#define MOST_SECONDS 1e7
#define SILENCE_PROBABILITY 0.6 /* whisper's own pair of thresholds for a segment that is none */
#define SILENCE_LOGPROB (-1.0)

struct reading {
    struct transcript *transcript;
    const struct speech_file *file;
    const json_t *words; /* of the whole answer; NULL: none */
    size_t next_word;
    const char *error;
};

static double number_of(const json_t *object, const char *name, double otherwise) {
    const json_t *value = json_object_get(object, name);

    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static uint64_t wav_time(const json_t *object, const char *name) {
    double seconds = number_of(object, name, 0);

    if (!(seconds > 0))
        return 0;
    return (uint64_t)llround(1000 * (seconds < MOST_SECONDS ? seconds : MOST_SECONDS));
}

static struct transcript_piece piece_of(const struct reading *reading, const json_t *object,
                                        const char *name) {
    const json_t *text = json_object_get(object, name);
    uint64_t start = wav_time(object, "start"), end = wav_time(object, "end");

    return (struct transcript_piece){
        .start_ms = speech_file_time(reading->file, start),
        .end_ms = speech_file_time(reading->file, end > start ? end - 1 : start) + (end > start),
        .confidence = number_of(object, "probability", TRANSCRIPT_NO_CONFIDENCE),
        .text = json_is_string(text) ? json_string_value(text) : "",
        .size = json_is_string(text) ? json_string_length(text) : 0};
}

static int add_word(struct reading *reading, const json_t *word) {
    const struct transcript_piece piece = piece_of(reading, word, "word");

    return transcript_add_word(reading->transcript, &piece);
}

/* The words up to the segment's end: the middle of each decides. Before a segment that is left out they go
 * too. */
static int add_words(struct reading *reading, const json_t *segment, int is_kept) {
    const json_t *own = json_object_get(segment, "words");
    uint64_t end = wav_time(segment, "end");

    for (size_t i = 0; is_kept && i < json_array_size(own); i++) {
        if (add_word(reading, json_array_get(own, i)) != 0)
            return -1;
    }
    for (; reading->next_word < json_array_size(reading->words); reading->next_word++) {
        const json_t *word = json_array_get(reading->words, reading->next_word);
        if ((wav_time(word, "start") + wav_time(word, "end")) / 2 > end)
            break;
        if (is_kept && json_array_size(own) == 0 && add_word(reading, word) != 0)
            return -1;
    }
    return 0;
}

static int add_segment(struct reading *reading, const json_t *segment) {
    struct transcript_piece piece = piece_of(reading, segment, "text");
    double logprob = number_of(segment, "avg_logprob", NAN);
    int is_silence =
        number_of(segment, "no_speech_prob", 0) > SILENCE_PROBABILITY && logprob < SILENCE_LOGPROB;

    reading->error = "a segment that is none";
    if (!json_is_object(segment) || !json_is_string(json_object_get(segment, "text")))
        return -1;
    reading->error = "a transcript that is too long";
    if (is_silence)
        return add_words(reading, segment, 0);
    piece.confidence = logprob <= 0 ? exp(logprob) : TRANSCRIPT_NO_CONFIDENCE;
    return transcript_add_segment(reading->transcript, &piece) == 0 ? add_words(reading, segment, 1) : -1;
}

/* A server that knows no segments: one over all. */
static int add_whole(struct reading *reading, const json_t *root) {
    const json_t *text = json_object_get(root, "text");
    struct transcript_piece piece = {.confidence = TRANSCRIPT_NO_CONFIDENCE};

    reading->error = "neither segments nor text in the answer";
    if (!json_is_string(text))
        return -1;
    reading->error = "a transcript that is too long";
    piece.text = json_string_value(text);
    piece.size = json_string_length(text);
    piece.start_ms = speech_file_time(reading->file, 0);
    piece.end_ms = speech_file_time(reading->file, UINT64_MAX / 2);
    return piece.size == 0 ? 0 : transcript_add_segment(reading->transcript, &piece);
}

static int read_root(struct reading *reading, const json_t *root) {
    const json_t *segments = json_object_get(root, "segments"), *language = json_object_get(root, "language");
    struct transcript *transcript = reading->transcript;

    if (transcript->language[0] == '\0' && json_is_string(language))
        (void)text_copy(transcript->language, sizeof transcript->language, json_string_value(language));
    reading->words = json_object_get(root, "words");
    if (json_array_size(segments) == 0)
        return add_whole(reading, root);
    for (size_t i = 0; i < json_array_size(segments); i++) {
        if (add_segment(reading, json_array_get(segments, i)) != 0)
            return -1;
    }
    return 0;
}

int verbose_json_read(struct transcript *transcript, const struct speech_file *file, const char *text,
                      size_t size, const char **error) {
    struct reading reading = {.transcript = transcript, .file = file, .error = "the answer is not JSON"};
    json_t *root = json_loadb(text, size, 0, NULL);
    int status = json_is_object(root) ? read_root(&reading, root) : -1;

    json_decref(root);
    *error = reading.error;
    return status;
}
