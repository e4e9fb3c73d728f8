/* SPDX-License-Identifier: MIT
 * The points of a waveform, and its drawing. */
#ifndef WORKERS_PROCESSORS_WAVEFORM_H
#define WORKERS_PROCESSORS_WAVEFORM_H

#include <stddef.h>
#include <stdint.h>

#include "workers/processor.h"

struct waveform_point {
    int16_t low, high;
};

struct waveform_points {
    struct waveform_point *at; /* of all channels in turn for each pixel */
    size_t count;              /* a multiple of channels */
    int channels;
};

struct waveform_size {
    int width, height;
};

/* Appends a PNG to the output: all channels in one curve over a transparent ground. 0, or -1 after
 * processor_fail. */
int waveform_draw(struct processor_context *context, int output, const struct waveform_points *points,
                  struct waveform_size size);

#endif
