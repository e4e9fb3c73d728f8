/* SPDX-License-Identifier: MIT
 * Sound out of bytes in memory: the only user of libavformat and libavcodec. Demuxers and decoders are those
 * of two short lists; no protocol, file or second stream is ever opened. Memory is constant: one packet and
 * one frame at a time. Samples come as 16-bit integers, converted as the tools do that waveforms are compared
 * with (see the table in audio_samples.c), at the stream's own rate and channels. */
#ifndef WORKERS_PROCESSORS_AUDIO_READER_H
#define WORKERS_PROCESSORS_AUDIO_READER_H

#include <stddef.h>
#include <stdint.h>

#include "workers/processor.h"

#define AUDIO_MAX_CHANNELS 24

struct audio_reader;

struct audio_samples {
    const int16_t *values; /* interleaved; valid until the next call */
    size_t count;          /* of all channels together, a multiple of channels */
    int channels;
    int sample_rate;
};

/* In the nursery: no log, decoders' tables filled. 0 or -1. */
int audio_reader_warm(void);

/* NULL after processor_fail. Reads nothing but the context's input. */
struct audio_reader *audio_reader_new(struct processor_context *context);
void audio_reader_free(struct audio_reader *reader);

/* 1: samples; 0: the end (count is 0, the rest tells of the stream); -1 after processor_fail. Damaged packets
 * are skipped and counted, as players do; rate and channels stay those of the first samples. */
int audio_reader_next(struct audio_reader *reader, struct audio_samples *samples);

/* As the container says; 0: unknown. */
uint64_t audio_reader_duration_ms(const struct audio_reader *reader);
uint64_t audio_reader_damaged_packets(const struct audio_reader *reader);

#endif
