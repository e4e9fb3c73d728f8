/* SPDX-License-Identifier: MIT
 * From decoded sound to pieces of speech: channels are mixed, the rate is brought to 16 kHz by libswresample,
 * and each full block is searched. What a block's end cuts through is kept for the next block. */
#include <libswresample/swresample.h>
#include <string.h>

#include "workers/processors/audio_reader.h"
#include "workers/processors/speech.h"

#define BLOCK_SAMPLES (SPEECH_BLOCK_FRAMES * SPEECH_FRAME)
#define MIX_SAMPLES 4096u
#define SETTLED_FRAMES 150u /* a region that ends so far before the block's end will not grow */

struct pieces {
    struct processor_context *context;
    speech_fn *take;
    void *taker;
    SwrContext *resampler; /* NULL: the rate is right */
    int rate;
    int16_t block[BLOCK_SAMPLES];
    size_t fill;
    uint64_t start; /* of the block, in samples */
    uint64_t speech, total_ms;
};

static int give(struct pieces *pieces, struct speech_region region) {
    size_t count = (region.end - region.start) * SPEECH_FRAME;

    pieces->speech += count;
    processor_progress(pieces->context, (pieces->start + region.start * SPEECH_FRAME) / SPEECH_RATE,
                       pieces->total_ms / 1000);
    return pieces->take(pieces->taker, pieces->block + region.start * SPEECH_FRAME, count,
                        pieces->start + region.start * SPEECH_FRAME);
}

static void drop_front(struct pieces *pieces, size_t frames) {
    size_t count = frames * SPEECH_FRAME;

    memmove(pieces->block, pieces->block + count, (pieces->fill - count) * sizeof pieces->block[0]);
    pieces->fill -= count;
    pieces->start += count;
    processor_progress(pieces->context, pieces->start / SPEECH_RATE, pieces->total_ms / 1000);
}

/* Gives what is sure in a full block (or all, at the end) and keeps the rest. */
static int search(struct pieces *pieces, int is_end) {
    struct speech_region regions[SPEECH_MAX_REGIONS];
    size_t frames = pieces->fill / SPEECH_FRAME;
    size_t count = speech_find(pieces->block, frames, regions), done = frames;

    for (size_t i = 0; i < count; i++) {
        if (!is_end && regions[i].end + SETTLED_FRAMES > frames) {
            done = regions[i].start;
            if (done > 0)
                break;
            regions[i].end = speech_quietest(pieces->block, frames / 2, frames); /* it fills the block: cut */
            done = regions[i].end;
            return give(pieces, regions[i]) == 0 ? (drop_front(pieces, done), 0) : -1;
        }
        if (give(pieces, regions[i]) != 0)
            return -1;
    }
    if (!is_end && done == frames)
        done -= SETTLED_FRAMES; /* somebody may just begin */
    drop_front(pieces, done);
    return 0;
}

static int put(struct pieces *pieces, const int16_t *samples, size_t count) {
    while (count > 0) {
        size_t space = BLOCK_SAMPLES - pieces->fill;
        size_t part = count < space ? count : space;
        memcpy(pieces->block + pieces->fill, samples, part * sizeof *samples);
        pieces->fill += part;
        samples += part;
        count -= part;
        if (pieces->fill == BLOCK_SAMPLES && search(pieces, 0) != 0)
            return -1;
    }
    return 0;
}

/* --- rate and channels ---------------------------------------------------------------------------------- */

static int open_resampler(struct pieces *pieces, int rate) {
    AVChannelLayout mono = AV_CHANNEL_LAYOUT_MONO;

    pieces->rate = rate;
    if (rate == SPEECH_RATE)
        return 0;
    if (swr_alloc_set_opts2(&pieces->resampler, &mono, AV_SAMPLE_FMT_S16, SPEECH_RATE, &mono,
                            AV_SAMPLE_FMT_S16, rate, 0, NULL) == 0 &&
        swr_init(pieces->resampler) == 0)
        return 0;
    return processor_fail(pieces->context, "unsupported_input", "sound at %d Hz", rate);
}

/* `count` 0 at the end: what the resampler still holds. */
static int resample(struct pieces *pieces, const int16_t *samples, size_t count) {
    int16_t out[MIX_SAMPLES];
    const uint8_t *in[] = {(const uint8_t *)samples};
    uint8_t *to[] = {(uint8_t *)out};
    const uint8_t **from = count == 0 ? NULL : in;
    int got = swr_convert(pieces->resampler, to, (int)MIX_SAMPLES, from, (int)count);

    while (got > 0) {
        if (put(pieces, out, (size_t)got) != 0)
            return -1;
        got = swr_convert(pieces->resampler, to, (int)MIX_SAMPLES, from, 0);
    }
    return got < 0 ? processor_fail(pieces->context, "engine_failed", "resampling failed") : 0;
}

static int add(struct pieces *pieces, const struct audio_samples *samples) {
    int16_t mono[MIX_SAMPLES];
    size_t channels = (size_t)samples->channels, frames = samples->count / channels;

    if (pieces->rate == 0 && open_resampler(pieces, samples->sample_rate) != 0)
        return -1;
    for (size_t at = 0; at < frames;) {
        size_t part = frames - at < MIX_SAMPLES ? frames - at : MIX_SAMPLES;
        for (size_t i = 0; i < part; i++) {
            int sum = 0;
            for (size_t channel = 0; channel < channels; channel++)
                sum += samples->values[(at + i) * channels + channel];
            mono[i] = (int16_t)(sum / samples->channels);
        }
        if ((pieces->resampler == NULL ? put : resample)(pieces, mono, part) != 0)
            return -1;
        at += part;
    }
    return 0;
}

static int read_all(struct pieces *pieces, struct audio_reader *reader) {
    struct audio_samples samples;
    int status;

    while ((status = audio_reader_next(reader, &samples)) > 0) {
        if (add(pieces, &samples) != 0)
            return -1;
    }
    if (status == 0 && pieces->resampler != NULL)
        status = resample(pieces, NULL, 0);
    return status == 0 ? search(pieces, 1) : -1;
}

/* Nothing is freed on the way out: the process ends with the document. */
int speech_read(struct processor_context *context, speech_fn *take, void *taker, struct speech_sound *sound) {
    static struct pieces pieces;
    struct audio_reader *reader = audio_reader_new(context);

    if (reader == NULL)
        return -1;
    pieces.context = context;
    pieces.take = take;
    pieces.taker = taker;
    pieces.total_ms = audio_reader_duration_ms(reader);
    if (read_all(&pieces, reader) != 0)
        return -1;
    sound->duration_ms = (pieces.start + pieces.fill) * 1000 / SPEECH_RATE;
    sound->speech_ms = pieces.speech * 1000 / SPEECH_RATE;
    sound->damaged_packets = audio_reader_damaged_packets(reader);
    processor_progress(context, sound->duration_ms / 1000, sound->duration_ms / 1000);
    return 0;
}
