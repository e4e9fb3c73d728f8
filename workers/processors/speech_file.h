/* SPDX-License-Identifier: MIT
 * What the preparing part of a transcription hands to the part that asks a service: a WAV file of the speech
 * alone, then a table that says where each piece was, then a footer. Little-endian throughout; written in a
 * runner, read in the worker without trust. */
#ifndef WORKERS_PROCESSORS_SPEECH_FILE_H
#define WORKERS_PROCESSORS_SPEECH_FILE_H

#include <stddef.h>
#include <stdint.h>

#define SPEECH_FILE_MAGIC "FMSPEECH" /* without its NUL */
#define SPEECH_FILE_MAX_PIECES 100000u

struct speech_piece {
    uint64_t start_ms;  /* in the sound */
    uint64_t length_ms; /* pieces follow one another in the WAV file */
};

struct speech_footer {
    char magic[8];
    uint64_t wav_bytes, pieces, duration_ms, speech_ms;
};

struct speech_file {
    const unsigned char *wav;
    size_t wav_size;
    const unsigned char *pieces; /* packed, not aligned */
    size_t count;
    uint64_t duration_ms, speech_ms;
};

/* Borrows the bytes. 0, or -1 when they are no such file. */
int speech_file_read(struct speech_file *file, const unsigned char *bytes, size_t size);

/* From a time in the WAV file to the time in the sound. */
uint64_t speech_file_time(const struct speech_file *file, uint64_t wav_ms);

#endif
