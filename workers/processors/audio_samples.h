/* SPDX-License-Identifier: MIT
 * From any sample format of a decoder to interleaved 16-bit integers. */
#ifndef WORKERS_PROCESSORS_AUDIO_SAMPLES_H
#define WORKERS_PROCESSORS_AUDIO_SAMPLES_H

#include <libavcodec/avcodec.h>
#include <stddef.h>
#include <stdint.h>

/* Writes (frame->nb_samples - first) * channels values. `codec` decides how real numbers are rounded. 0, or
 * -1 for a sample format that no decoder of ours gives. */
int audio_samples_convert(const AVFrame *frame, enum AVCodecID codec, int channels, int first,
                          int16_t *target);

#endif
