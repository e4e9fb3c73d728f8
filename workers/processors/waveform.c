/* SPDX-License-Identifier: MIT
 * Peaks of a sound for players: `waveform` (JSON, version 2) and `waveform_dat` (binary, version 1 for one
 * channel and 2 for more) as audiowaveform writes them, to the byte, and `waveform_png`, a drawing. The sound
 * is streamed; kept are four bytes per point, which is less than any output made of them.
 *
 * Parameters: samples_per_pixel (256), bits (8 or 16), split_channels (false), width and height of the
 * drawing (1800 x 140). */
#include "workers/processors/engines.h"
#include "workers/processors/waveform.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/processors/audio_reader.h"
#include "workers/processors/parameters.h"

#define OUTPUT_JSON 0
#define OUTPUT_DAT 1
#define OUTPUT_PNG 2

#define FIRST_POINTS 65536u
#define MEMORY_SHARE 4 /* of the memory limit, for the points */
#define CHUNK_BYTES 65536u
#define DAT_HEADER_BYTES 24
#define DAT_FLAG_8_BIT 1u

struct options {
    int samples_per_pixel, bits, width, height;
    bool split_channels;
};

struct waveform {
    struct processor_context *context;
    struct options options;
    struct waveform_points points;
    size_t capacity;
    int sample_rate, input_channels;
    uint64_t frames; /* samples per channel so far */
    int fill;        /* of them in the open point */
    struct waveform_point open[AUDIO_MAX_CHANNELS];
};

/* --- parameters ----------------------------------------------------------------------------------------- */

#define MEMBER(field) .name = #field, .offset = offsetof(struct options, field)

static const struct parameter_field fields[] = {
    {MEMBER(samples_per_pixel), .read = parameter_read_int, .least = 2, .most = 1 << 24},
    {MEMBER(bits), .read = parameter_read_int, .least = 8, .most = 16},
    {MEMBER(width), .read = parameter_read_int, .least = 1, .most = 8192},
    {MEMBER(height), .read = parameter_read_int, .least = 1, .most = 2048},
    {MEMBER(split_channels), .read = parameter_read_flag},
    {.name = NULL},
};

static int read_options(struct processor_context *context, struct options *options) {
    int status;

    *options = (struct options){.samples_per_pixel = 256, .bits = 16, .width = 1800, .height = 140};
    status = parameters_read_all(context, fields, options);
    if (status == 0 && options->bits != 8 && options->bits != 16)
        status = processor_fail(context, "bad_parameters", "bits: 8 or 16");
    return status;
}

/* --- points --------------------------------------------------------------------------------------------- */

static void open_point(struct waveform *waveform) {
    for (int i = 0; i < waveform->points.channels; i++)
        waveform->open[i] = (struct waveform_point){.low = INT16_MAX, .high = INT16_MIN};
    waveform->fill = 0;
}

static int grow(struct waveform *waveform) {
    struct processor_context *context = waveform->context;
    size_t capacity = waveform->capacity == 0 ? FIRST_POINTS : waveform->capacity * 2;
    struct waveform_point *at;

    if (context->memory_bytes != 0 && capacity > context->memory_bytes / MEMORY_SHARE / sizeof *at)
        return processor_fail(context, "output_limit", "too many points: more samples per pixel are needed");
    at = reallocarray(waveform->points.at, capacity, sizeof *at);
    if (at == NULL)
        return processor_fail(context, "memory_limit", "no memory left");
    waveform->points.at = at;
    waveform->capacity = capacity;
    return 0;
}

static int close_point(struct waveform *waveform) {
    size_t channels = (size_t)waveform->points.channels;

    if (waveform->points.count + channels > waveform->capacity && grow(waveform) != 0)
        return -1;
    memcpy(waveform->points.at + waveform->points.count, waveform->open, channels * sizeof waveform->open[0]);
    waveform->points.count += channels;
    open_point(waveform);
    return 0;
}

static void widen(struct waveform_point *point, int sample) {
    if (sample < point->low)
        point->low = (int16_t)sample;
    if (sample > point->high)
        point->high = (int16_t)sample;
}

/* The sum of the channels over their number, as integers: the mean, cut towards zero. */
static int mix(const int16_t *values, int channels) {
    int sum = 0;

    for (int i = 0; i < channels; i++)
        sum += values[i];
    return sum / channels;
}

static int add_samples(struct waveform *waveform, const struct audio_samples *samples) {
    for (size_t at = 0; at < samples->count; at += (size_t)samples->channels) {
        if (waveform->points.channels == 1) {
            widen(&waveform->open[0], mix(samples->values + at, samples->channels));
        } else {
            for (int i = 0; i < samples->channels; i++)
                widen(&waveform->open[i], samples->values[at + (size_t)i]);
        }
        if (++waveform->fill == waveform->options.samples_per_pixel && close_point(waveform) != 0)
            return -1;
    }
    waveform->frames += samples->count / (size_t)samples->channels;
    return 0;
}

static uint64_t milliseconds(const struct waveform *waveform) {
    return waveform->sample_rate == 0 ? 0 : waveform->frames * 1000 / (uint64_t)waveform->sample_rate;
}

static void set_shape(struct waveform *waveform, const struct audio_samples *samples) {
    waveform->sample_rate = samples->sample_rate;
    waveform->input_channels = samples->channels;
    waveform->points.channels =
        waveform->options.split_channels && samples->channels > 0 ? samples->channels : 1;
    open_point(waveform);
}

static int read_sound(struct waveform *waveform, struct audio_reader *reader) {
    struct processor_context *context = waveform->context;
    uint64_t duration_ms = audio_reader_duration_ms(reader);
    uint64_t told_ms = 0;
    struct audio_samples samples;
    int status;

    processor_progress(context, 0, duration_ms);
    while ((status = audio_reader_next(reader, &samples)) > 0) {
        if (waveform->sample_rate == 0)
            set_shape(waveform, &samples);
        if (add_samples(waveform, &samples) != 0)
            return -1;
        if (milliseconds(waveform) >= told_ms + 1000) {
            told_ms = milliseconds(waveform);
            processor_progress(context, told_ms, duration_ms > told_ms ? duration_ms : told_ms);
        }
    }
    if (status < 0)
        return -1;
    if (waveform->sample_rate == 0) {
        if (audio_reader_damaged_packets(reader) > 0 || samples.sample_rate <= 0)
            return processor_fail(context, "bad_input", "no sample could be decoded");
        set_shape(waveform, &samples);
    }
    processor_fact(context, -1, "damaged_packets", audio_reader_damaged_packets(reader));
    return waveform->fill > 0 ? close_point(waveform) : 0;
}

/* --- outputs -------------------------------------------------------------------------------------------- */

struct sink {
    struct processor_context *context;
    int output;
    size_t size;
    char bytes[CHUNK_BYTES];
};

static int sink_flush(struct sink *sink) {
    int status = processor_write(sink->context, sink->output, sink->bytes, sink->size);

    sink->size = 0;
    return status;
}

static int sink_put(struct sink *sink, const void *bytes, size_t size) {
    if (sink->size + size > CHUNK_BYTES && sink_flush(sink) != 0)
        return -1;
    memcpy(sink->bytes + sink->size, bytes, size);
    sink->size += size;
    return 0;
}

/* The divisor of 8 bits cuts towards zero, as audiowaveform's does. */
static int write_json(const struct waveform *waveform, struct sink *sink) {
    const struct waveform_points *points = &waveform->points;
    int divisor = waveform->options.bits == 8 ? 256 : 1;
    char text[200];
    int size = snprintf(text, sizeof text,
                        "{\"version\":2,\"channels\":%d,\"sample_rate\":%d,\"samples_per_pixel\":%d,"
                        "\"bits\":%d,\"length\":%zu,\"data\":[",
                        points->channels, waveform->sample_rate, waveform->options.samples_per_pixel,
                        waveform->options.bits, points->count / (size_t)points->channels);
    int status = sink_put(sink, text, (size_t)size);

    for (size_t i = 0; i < points->count && status == 0; i++) {
        size = snprintf(text, sizeof text, "%s%d,%d", i == 0 ? "" : ",", points->at[i].low / divisor,
                        points->at[i].high / divisor);
        status = sink_put(sink, text, (size_t)size);
    }
    if (status == 0)
        status = sink_put(sink, "]}\n", 3);
    return status == 0 ? sink_flush(sink) : -1;
}

static void put_u32(unsigned char *target, uint32_t value) {
    for (int i = 0; i < 4; i++)
        target[i] = (unsigned char)(value >> (8 * i));
}

static int put_sample(struct sink *sink, int value, int bits) {
    uint16_t raw = (uint16_t)(bits == 8 ? value / 256 : value);
    unsigned char bytes[2] = {(unsigned char)raw, (unsigned char)(raw >> 8)};

    return sink_put(sink, bytes, bits == 8 ? 1 : 2);
}

static int write_dat(const struct waveform *waveform, struct sink *sink) {
    const struct waveform_points *points = &waveform->points;
    bool single = points->channels == 1; /* version 1 has no field for the channels */
    unsigned char header[DAT_HEADER_BYTES];
    int status;

    put_u32(header, single ? 1 : 2);
    put_u32(header + 4, waveform->options.bits == 8 ? DAT_FLAG_8_BIT : 0);
    put_u32(header + 8, (uint32_t)waveform->sample_rate);
    put_u32(header + 12, (uint32_t)waveform->options.samples_per_pixel);
    put_u32(header + 16, (uint32_t)(points->count / (size_t)points->channels));
    put_u32(header + 20, (uint32_t)points->channels);
    status = sink_put(sink, header, single ? DAT_HEADER_BYTES - 4 : DAT_HEADER_BYTES);
    for (size_t i = 0; i < points->count && status == 0; i++) {
        status = put_sample(sink, points->at[i].low, waveform->options.bits);
        if (status == 0)
            status = put_sample(sink, points->at[i].high, waveform->options.bits);
    }
    return status == 0 ? sink_flush(sink) : -1;
}

static int write_outputs(struct waveform *waveform) {
    static struct sink sink;
    struct processor_context *context = waveform->context;
    struct waveform_size size = {waveform->options.width, waveform->options.height};

    sink.context = context;
    sink.output = OUTPUT_JSON;
    if (context->outputs[OUTPUT_JSON] >= 0 && write_json(waveform, &sink) != 0)
        return -1;
    sink.output = OUTPUT_DAT;
    if (context->outputs[OUTPUT_DAT] >= 0 && write_dat(waveform, &sink) != 0)
        return -1;
    if (context->outputs[OUTPUT_PNG] >= 0 && waveform_draw(context, OUTPUT_PNG, &waveform->points, size) != 0)
        return -1;
    return 0;
}

static void note_facts(const struct waveform *waveform) {
    struct processor_context *context = waveform->context;
    uint64_t pixels = waveform->points.count / (size_t)waveform->points.channels;

    processor_fact(context, -1, "duration_ms", milliseconds(waveform));
    processor_fact(context, -1, "sample_rate", (uint64_t)waveform->sample_rate);
    processor_fact(context, -1, "channels", (uint64_t)waveform->input_channels);
    for (int output = OUTPUT_JSON; output <= OUTPUT_DAT; output++) {
        processor_fact(context, output, "length", pixels);
        processor_fact(context, output, "samples_per_pixel", (uint64_t)waveform->options.samples_per_pixel);
        processor_fact(context, output, "bits", (uint64_t)waveform->options.bits);
        processor_fact(context, output, "channels", (uint64_t)waveform->points.channels);
    }
    processor_fact(context, OUTPUT_PNG, "width", (uint64_t)waveform->options.width);
    processor_fact(context, OUTPUT_PNG, "height", (uint64_t)waveform->options.height);
}

/* Nothing is freed: the process ends with the document. */
static int run(struct processor_context *context) {
    static struct waveform waveform;
    struct audio_reader *reader;

    waveform.context = context;
    if (read_options(context, &waveform.options) != 0)
        return -1;
    reader = audio_reader_new(context);
    if (reader == NULL || read_sound(&waveform, reader) != 0 || write_outputs(&waveform) != 0)
        return -1;
    note_facts(&waveform);
    processor_progress(context, milliseconds(&waveform), milliseconds(&waveform));
    return 0;
}

const struct processor processor_waveform = {
    .name = "waveform", .warm = audio_reader_warm, .run = run, .engines = {engine_libav}};
