/* SPDX-License-Identifier: MIT
 * Voice activity by short-time energy, after Rabiner and Sambur (1975): a threshold between the floor and the
 * loudest of a block, so that neither level nor steady noise matters. Steady sound of any loudness (noise,
 * hum, silence) has no distance between the two and is no speech. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workers/processors/speech.h"

#define PRE_EMPHASIS 0.97 /* takes away hum and rumble */
#define SILENT_DB (-72.0) /* of full scale: nothing below counts */
#define FLOOR_DB (-80.0)
#define LEAST_RANGE_DB 8.0
#define LEAST_ABOVE_FLOOR_DB 6.0
#define SHARE_OF_RANGE 0.25
#define GAP_FRAMES 100u
#define PAD_FRAMES 25u
#define LEAST_LOUD_FRAMES 8u
#define QUIET_FRAMES 10u

static double energy_of(const int16_t *samples, size_t frame) {
    const int16_t *at = samples + frame * SPEECH_FRAME;
    double sum = 0, before = frame == 0 ? at[0] : at[-1];

    for (size_t i = 0; i < SPEECH_FRAME; i++) {
        double value = at[i] - PRE_EMPHASIS * before;
        sum += value * value;
        before = at[i];
    }
    return sum / SPEECH_FRAME;
}

static double decibels(double energy) {
    double level = 10 * log10(energy / (32768.0 * 32768.0) + 1e-12);

    return level < FLOOR_DB ? FLOOR_DB : level;
}

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

/* What a frame must be louder than to be speech; above all that can be when nothing is. */
static double threshold_of(const double *levels, size_t frames) {
    static double sorted[SPEECH_BLOCK_FRAMES];
    double low, high, above;

    memcpy(sorted, levels, frames * sizeof *levels);
    qsort(sorted, frames, sizeof *sorted, compare);
    low = sorted[frames / 10];
    high = sorted[frames - 1 - frames / 100];
    if (high < SILENT_DB || high - low < LEAST_RANGE_DB)
        return INFINITY;
    above = SHARE_OF_RANGE * (high - low);
    return low + (above < LEAST_ABOVE_FLOOR_DB ? LEAST_ABOVE_FLOOR_DB : above);
}

/* A stretch of loud frames that no long pause interrupts, from `from` on. Its loud frames; 0: no more. */
static size_t next_stretch(const double *levels, size_t frames, double threshold, size_t from,
                           struct speech_region *stretch) {
    size_t loud = 0;

    for (size_t i = from; i < frames; i++) {
        if (levels[i] <= threshold)
            continue;
        if (loud > 0 && i - stretch->end >= GAP_FRAMES)
            break;
        if (loud++ == 0)
            stretch->start = i;
        stretch->end = i + 1;
    }
    return loud;
}

size_t speech_find(const int16_t *samples, size_t frames, struct speech_region regions[SPEECH_MAX_REGIONS]) {
    static double levels[SPEECH_BLOCK_FRAMES];
    struct speech_region stretch = {0, 0};
    size_t count = 0, loud;
    double threshold;

    if (frames > SPEECH_BLOCK_FRAMES)
        frames = SPEECH_BLOCK_FRAMES;
    if (frames == 0)
        return 0;
    for (size_t i = 0; i < frames; i++)
        levels[i] = decibels(energy_of(samples, i));
    threshold = threshold_of(levels, frames);
    while ((loud = next_stretch(levels, frames, threshold, stretch.end, &stretch)) > 0) {
        if (loud < LEAST_LOUD_FRAMES || count == SPEECH_MAX_REGIONS)
            continue;
        regions[count].start = stretch.start < PAD_FRAMES ? 0 : stretch.start - PAD_FRAMES;
        regions[count].end = stretch.end + PAD_FRAMES > frames ? frames : stretch.end + PAD_FRAMES;
        count++;
    }
    return count;
}

size_t speech_quietest(const int16_t *samples, size_t from, size_t to) {
    size_t best = (from + to) / 2;
    double least = INFINITY;

    for (size_t i = from; i + QUIET_FRAMES <= to; i++) {
        double sum = 0;
        for (size_t j = i; j < i + QUIET_FRAMES; j++)
            sum += energy_of(samples, j);
        if (sum < least) {
            least = sum;
            best = i + QUIET_FRAMES / 2;
        }
    }
    return best;
}
