/* SPDX-License-Identifier: MIT
 * Integers are shifted. Real numbers are scaled as the readers of audiowaveform do it, so that its files are
 * met to the byte: libmad cuts MPEG audio at 2^15, libsndfile's floats are cut at 32767 towards zero, and its
 * decoders of lossy formats round. */
#include "workers/processors/audio_samples.h"

#include <libavutil/samplefmt.h>
#include <math.h>

typedef int16_t (*convert_real)(double value);
typedef int16_t (*convert_sample)(const uint8_t *at, convert_real real);

static int16_t clip(double value) {
    if (value >= INT16_MAX)
        return INT16_MAX;
    return value <= INT16_MIN ? INT16_MIN : (int16_t)value; /* not a number: 0 on every processor we run on */
}

static int16_t real_mpeg(double value) {
    return isnan(value) ? 0 : clip(floor(value * 32768.0));
}

static int16_t real_pcm(double value) {
    return isnan(value) ? 0 : clip(trunc(value * 32767.0));
}

static int16_t real_lossy(double value) {
    return isnan(value) ? 0 : clip(rint(value * 32767.0));
}

static const struct {
    enum AVCodecID codec;
    convert_real real;
} rounding[] = {
    {AV_CODEC_ID_MP1, real_mpeg},      {AV_CODEC_ID_MP2, real_mpeg},      {AV_CODEC_ID_MP3, real_mpeg},
    {AV_CODEC_ID_PCM_F32LE, real_pcm}, {AV_CODEC_ID_PCM_F32BE, real_pcm}, {AV_CODEC_ID_PCM_F64LE, real_pcm},
    {AV_CODEC_ID_PCM_F64BE, real_pcm},
};

static convert_real rounding_of(enum AVCodecID codec) {
    for (size_t i = 0; i < sizeof rounding / sizeof rounding[0]; i++) {
        if (rounding[i].codec == codec)
            return rounding[i].real;
    }
    return real_lossy;
}

/* Frames of libav are aligned for their samples. */
static int16_t from_u8(const uint8_t *at, convert_real real) {
    return (int16_t)((*at - 128) * 256);
}

static int16_t from_s16(const uint8_t *at, convert_real real) {
    return *(const int16_t *)(const void *)at;
}

static int16_t from_s32(const uint8_t *at, convert_real real) {
    return (int16_t)(*(const int32_t *)(const void *)at >> 16);
}

static int16_t from_s64(const uint8_t *at, convert_real real) {
    return (int16_t)(*(const int64_t *)(const void *)at >> 48);
}

static int16_t from_float(const uint8_t *at, convert_real real) {
    return real(*(const float *)(const void *)at);
}

static int16_t from_double(const uint8_t *at, convert_real real) {
    return real(*(const double *)(const void *)at);
}

static const struct {
    enum AVSampleFormat format; /* packed */
    convert_sample convert;
} converters[] = {
    {AV_SAMPLE_FMT_U8, from_u8},   {AV_SAMPLE_FMT_S16, from_s16},   {AV_SAMPLE_FMT_S32, from_s32},
    {AV_SAMPLE_FMT_S64, from_s64}, {AV_SAMPLE_FMT_FLT, from_float}, {AV_SAMPLE_FMT_DBL, from_double},
};

static convert_sample converter_of(enum AVSampleFormat format) {
    for (size_t i = 0; i < sizeof converters / sizeof converters[0]; i++) {
        if (converters[i].format == av_get_packed_sample_fmt(format))
            return converters[i].convert;
    }
    return NULL;
}

int audio_samples_convert(const AVFrame *frame, enum AVCodecID codec, int channels, int first,
                          int16_t *target) {
    enum AVSampleFormat format = (enum AVSampleFormat)frame->format;
    convert_sample convert = converter_of(format);
    convert_real real = rounding_of(codec);
    size_t width = (size_t)av_get_bytes_per_sample(format);
    int planar = av_sample_fmt_is_planar(format);

    if (convert == NULL)
        return -1;
    for (int channel = 0; channel < channels; channel++) {
        const uint8_t *at =
            planar ? frame->extended_data[channel] : frame->extended_data[0] + width * (size_t)channel;
        size_t step = planar ? width : width * (size_t)channels;
        int16_t *to = target + channel;
        at += step * (size_t)first;
        for (int i = first; i < frame->nb_samples; i++) {
            *to = convert(at, real);
            at += step;
            to += channels;
        }
    }
    return 0;
}
