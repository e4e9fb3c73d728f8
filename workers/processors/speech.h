/* SPDX-License-Identifier: MIT
 * Where somebody speaks: 16 kHz mono out of any sound that audio_reader reads, and voice activity by energy.
 * Memory is constant: one block of 30 s. */
#ifndef WORKERS_PROCESSORS_SPEECH_H
#define WORKERS_PROCESSORS_SPEECH_H

#include <stddef.h>
#include <stdint.h>

#include "workers/processor.h"

#define SPEECH_RATE 16000
#define SPEECH_FRAME 160u /* samples: 10 ms */
#define SPEECH_BLOCK_FRAMES 3000u
#define SPEECH_MAX_REGIONS 64u /* of one block: with pauses of a second there is no room for more */

/* In frames. */
struct speech_region {
    size_t start, end;
};

/* Regions of speech in `frames` frames of samples, in order, padded by a quarter second, with pauses of more
 * than half a second between two. Returns how many. Pure. */
size_t speech_find(const int16_t *samples, size_t frames, struct speech_region regions[SPEECH_MAX_REGIONS]);

/* The quietest tenth of a second in [from, to), as a frame in its middle. Pure. */
size_t speech_quietest(const int16_t *samples, size_t from, size_t to);

/* One piece of speech, at most 30 s; `start` counts samples from the beginning of the sound. 0, or -1 after
 * processor_fail. */
typedef int speech_fn(void *context, const int16_t *samples, size_t count, uint64_t start);

struct speech_sound {
    uint64_t duration_ms, speech_ms;
    uint64_t damaged_packets;
};

/* Reads the context's input to its end and gives each piece of speech to `take`. Progress is in seconds of
 * sound. 0, or -1 after processor_fail. */
int speech_read(struct processor_context *context, speech_fn *take, void *taker, struct speech_sound *sound);

#endif
