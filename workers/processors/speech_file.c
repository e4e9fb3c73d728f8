/* SPDX-License-Identifier: MIT
 * Reading the speech file. */
#include "workers/processors/speech_file.h"

#include <string.h>

int speech_file_read(struct speech_file *file, const unsigned char *bytes, size_t size) {
    struct speech_footer footer;

    if (size < sizeof footer)
        return -1;
    memcpy(&footer, bytes + size - sizeof footer, sizeof footer);
    if (strncmp(footer.magic, SPEECH_FILE_MAGIC, sizeof footer.magic) != 0 ||
        footer.pieces > SPEECH_FILE_MAX_PIECES ||
        footer.wav_bytes != size - sizeof footer - footer.pieces * sizeof(struct speech_piece) ||
        footer.wav_bytes > size)
        return -1;
    *file = (struct speech_file){.wav = bytes,
                                 .wav_size = (size_t)footer.wav_bytes,
                                 .pieces = bytes + footer.wav_bytes,
                                 .count = (size_t)footer.pieces,
                                 .duration_ms = footer.duration_ms,
                                 .speech_ms = footer.speech_ms};
    return 0;
}

uint64_t speech_file_time(const struct speech_file *file, uint64_t wav_ms) {
    struct speech_piece piece = {0, 0};

    for (size_t i = 0; i < file->count; i++) {
        memcpy(&piece, file->pieces + i * sizeof piece, sizeof piece);
        if (wav_ms < piece.length_ms)
            return piece.start_ms + wav_ms;
        wav_ms -= piece.length_ms;
    }
    return piece.start_ms + piece.length_ms; /* beyond the end: the end of the last */
}
