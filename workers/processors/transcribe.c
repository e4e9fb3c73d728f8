/* SPDX-License-Identifier: MIT
 * Transcription by PocketSphinx, the recogniser that needs no server: US English, and of the accuracy of its
 * time. Each piece of speech is one utterance. Where transcribe-backend names a server this code does not
 * run: workers/remote_transcribe.c does. The only user of pocketsphinx. */
#include <pocketsphinx/pocketsphinx.h>
#include <sphinxbase/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/text.h"
#include "workers/processors/audio_reader.h"
#include "workers/processors/speech.h"
#include "workers/processors/transcribe_options.h"
#include "workers/processors/transcript.h"

#define MODEL "en-us"
#define PATH_SIZE 512
#define FRAME_MS 10u
#define WORD_SIZE 256

static ps_decoder_t *decoder; /* made in the nursery, used in runners */

struct recogniser {
    struct processor_context *context;
    struct transcript transcript;
};

/* --- in the nursery ---------------------------------------------------------------------------------------
 */

/* The model is 100 MB: only a node that transcribes by itself loads it. */
static int warm_first(void) {
    const char *folder = getenv("FILEMILL_TRANSCRIBE_DATA");
    char hmm[PATH_SIZE], lm[PATH_SIZE], dictionary[PATH_SIZE];
    cmd_ln_t *configuration;

    if (folder == NULL || folder[0] == '\0')
        folder = "/usr/share/pocketsphinx/model/en-us";
    if (text_format(hmm, sizeof hmm, "%s/en-us", folder) != 0 ||
        text_format(lm, sizeof lm, "%s/en-us.lm.bin", folder) != 0 ||
        text_format(dictionary, sizeof dictionary, "%s/cmudict-en-us.dict", folder) != 0)
        return -1;
    err_set_logfp(NULL);
    configuration = cmd_ln_init(NULL, ps_args(), TRUE, "-hmm", hmm, "-lm", lm, "-dict", dictionary,
                                "-remove_silence", "no", NULL);
    decoder = configuration == NULL ? NULL : ps_init(configuration);
    if (decoder == NULL)
        log_error("processor=transcribe state=no-model folder=%s", folder);
    return decoder == NULL ? -1 : 0;
}

/* --- one utterance ----------------------------------------------------------------------------------------
 */

/* "read(2)" is a second way to say "read"; silences and noises stand in brackets. */
static int plain_word(const char *word, char target[WORD_SIZE]) {
    if (word == NULL || strchr("<[+", word[0]) != NULL)
        return -1;
    (void)text_copy(target, WORD_SIZE, word);
    target[strcspn(target, "(")] = '\0';
    return target[0] == '\0' ? -1 : 0;
}

static int add_words(struct transcript *transcript, uint64_t start_ms) {
    char word[WORD_SIZE];
    int status = 0;

    for (ps_seg_t *at = ps_seg_iter(decoder); at != NULL; at = ps_seg_next(at)) {
        int first, last, acoustic, language, backoff;
        int32 probability = ps_seg_prob(at, &acoustic, &language, &backoff);
        if (status != 0 || plain_word(ps_seg_word(at), word) != 0)
            continue;
        ps_seg_frames(at, &first, &last);
        const struct transcript_piece piece = {.start_ms = start_ms + (uint64_t)first * FRAME_MS,
                                               .end_ms = start_ms + (uint64_t)(last + 1) * FRAME_MS,
                                               .confidence =
                                                   logmath_exp(ps_get_logmath(decoder), probability),
                                               .text = word,
                                               .size = strlen(word)};
        status = transcript_add_word(transcript, &piece);
    }
    return status;
}

static double mean_confidence(const struct transcript *transcript) {
    const struct transcript_segment *segment = &transcript->segments[transcript->segment_count - 1];
    double sum = 0;

    for (size_t i = 0; i < segment->word_count; i++)
        sum += transcript->words[segment->word + i].confidence;
    return segment->word_count == 0 ? TRANSCRIPT_NO_CONFIDENCE : sum / (double)segment->word_count;
}

static int decode(struct recogniser *recogniser, const int16_t *samples, size_t count) {
    if (ps_start_stream(decoder) < 0 || ps_start_utt(decoder) < 0) /* times count from here */
        return processor_fail(recogniser->context, "engine_failed", "utterance not started");
    /* Whole, so that the mean of all its frames is taken off each; its processor time shows that it lives. */
    if (ps_process_raw(decoder, samples, count, FALSE, TRUE) < 0)
        return processor_fail(recogniser->context, "engine_failed", "sound not taken");
    if (ps_end_utt(decoder) < 0)
        return processor_fail(recogniser->context, "engine_failed", "utterance not ended");
    return 0;
}

static int take(void *context, const int16_t *samples, size_t count, uint64_t start) {
    struct recogniser *recogniser = context;
    struct transcript *transcript = &recogniser->transcript;
    uint64_t start_ms = start * 1000 / SPEECH_RATE;
    struct transcript_piece piece = {.start_ms = start_ms, .end_ms = start_ms + count * 1000 / SPEECH_RATE};
    const char *text;
    int32 score;

    if (decode(recogniser, samples, count) != 0)
        return -1;
    text = ps_get_hyp(decoder, &score);
    if (text == NULL || text[0] == '\0')
        return 0;
    piece.text = text;
    piece.size = strlen(text);
    if (transcript_add_segment(transcript, &piece) != 0 || add_words(transcript, start_ms) != 0)
        return processor_fail(recogniser->context, "output_limit", "too many words");
    transcript->segments[transcript->segment_count - 1].item.confidence = mean_confidence(transcript);
    return 0;
}

/* --- the document -----------------------------------------------------------------------------------------
 */

static int run(struct processor_context *context) {
    static struct recogniser recogniser;
    struct transcribe_options options;
    struct speech_sound sound;

    if (transcribe_options_read(context, &options) != 0)
        return -1;
    if (options.language[0] != '\0' && strcmp(options.language, "en") != 0 &&
        strcmp(options.language, MODEL) != 0)
        return processor_fail(context, "unsupported_language", "language %s: pocketsphinx has en-us only",
                              options.language);
    recogniser.context = context;
    transcript_init(&recogniser.transcript);
    if (speech_read(context, take, &recogniser, &sound) != 0)
        return -1;
    recogniser.transcript.duration_ms = sound.duration_ms;
    recogniser.transcript.speech_ms = sound.speech_ms;
    (void)text_copy(recogniser.transcript.engine, TRANSCRIPT_NAME_SIZE, "pocketsphinx");
    (void)text_copy(recogniser.transcript.model, TRANSCRIPT_NAME_SIZE, MODEL);
    (void)text_copy(recogniser.transcript.language, TRANSCRIPT_NAME_SIZE, MODEL);
    processor_fact(context, -1, "damaged_packets", sound.damaged_packets);
    return transcript_write(context, &recogniser.transcript);
}

const struct processor processor_transcribe = {
    .name = "transcribe", .warm = audio_reader_warm, .warm_first = warm_first, .run = run};
