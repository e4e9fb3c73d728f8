/* SPDX-License-Identifier: MIT
 * The runner's part of a transcription by a service: the sound's speech as a 16 kHz mono WAV file, and where
 * it was (speech_file.h). No parameters. */
#include "workers/processors/speech.h"

#include <string.h>
#include <unistd.h>

#include "workers/processors/audio_reader.h"
#include "workers/processors/speech_file.h"

#define WAV_HEADER_BYTES 44u
#define SAMPLE_BYTES 2u

struct speech_writer {
    struct processor_context *context;
    uint64_t samples;
    size_t pieces;
    struct speech_piece piece[SPEECH_FILE_MAX_PIECES];
};

static int take(void *context, const int16_t *samples, size_t count, uint64_t start) {
    struct speech_writer *writer = context;

    if (writer->pieces == SPEECH_FILE_MAX_PIECES)
        return processor_fail(writer->context, "output_limit", "too many pieces of speech");
    writer->piece[writer->pieces++] = (struct speech_piece){.start_ms = start * 1000 / SPEECH_RATE,
                                                            .length_ms = count * 1000 / SPEECH_RATE};
    writer->samples += count;
    return processor_write(writer->context, 0, samples, count * SAMPLE_BYTES);
}

static void put_number(unsigned char *target, uint64_t number, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        target[i] = (unsigned char)(number >> 8 * i);
}

/* RIFF, PCM, one channel, 16 bits (Microsoft and IBM, 1991). */
static void make_header(unsigned char header[WAV_HEADER_BYTES], uint64_t data_bytes) {
    memcpy(header, "RIFF....WAVEfmt ....................data", 40);
    put_number(header + 4, WAV_HEADER_BYTES - 8 + data_bytes, 4);
    put_number(header + 16, 16, 4);
    put_number(header + 20, 1, 2);
    put_number(header + 22, 1, 2);
    put_number(header + 24, SPEECH_RATE, 4);
    put_number(header + 28, SPEECH_RATE * SAMPLE_BYTES, 4);
    put_number(header + 32, SAMPLE_BYTES, 2);
    put_number(header + 34, 8 * SAMPLE_BYTES, 2);
    put_number(header + 40, data_bytes, 4);
}

static int finish(struct speech_writer *writer, const struct speech_sound *sound) {
    struct processor_context *context = writer->context;
    struct speech_footer footer = {.magic = {'F', 'M', 'S', 'P', 'E', 'E', 'C', 'H'},
                                   .wav_bytes = WAV_HEADER_BYTES + writer->samples * SAMPLE_BYTES,
                                   .pieces = writer->pieces,
                                   .duration_ms = sound->duration_ms,
                                   .speech_ms = sound->speech_ms};
    unsigned char header[WAV_HEADER_BYTES];

    if (footer.wav_bytes > UINT32_MAX)
        return processor_fail(context, "output_limit", "more speech than a WAV file can hold");
    make_header(header, writer->samples * SAMPLE_BYTES);
    if (pwrite(context->outputs[0], header, sizeof header, 0) != (ssize_t)sizeof header)
        return processor_fail(context, "engine_failed", "header not written");
    if (processor_write(context, 0, writer->piece, writer->pieces * sizeof writer->piece[0]) != 0)
        return -1;
    return processor_write(context, 0, &footer, sizeof footer);
}

static int run(struct processor_context *context) {
    static struct speech_writer writer;
    static const unsigned char room[WAV_HEADER_BYTES];
    struct speech_sound sound;

    writer.context = context;
    if (processor_write(context, 0, room, sizeof room) != 0 ||
        speech_read(context, take, &writer, &sound) != 0)
        return -1;
    return finish(&writer, &sound);
}

const struct processor processor_speech = {.name = "speech", .warm = audio_reader_warm, .run = run};
