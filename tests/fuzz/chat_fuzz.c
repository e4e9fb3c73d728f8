/* SPDX-License-Identifier: MIT
 * What services outside answer: chat servers and whisper's. An answer is taken as a text without NULs, or not
 * at all; what a transcript is made of fits its sound, and can be written in every form. */
#include "tests/fuzz/fuzz.h"
#include "workers/chat.h"
#include "workers/verbose_json.h"

static void read_chat(const char *text, size_t size) {
    struct chat_answer answer;
    const char *error = NULL;

    if (chat_read(&answer, text, size, &error) == 0) {
        require(answer.content != NULL && strlen(answer.content) == answer.size);
        json_decref(chat_content_json(&answer));
    } else {
        require(error != NULL);
    }
    chat_answer_clear(&answer);
}

static void read_whisper(const char *text, size_t size) {
    static int (*const writers[])(const struct transcript *, struct buffer *) = {
        transcript_text, transcript_json, transcript_srt, transcript_vtt};
    struct speech_file file = {.duration_ms = 60000};
    struct transcript transcript;
    struct buffer buffer;
    const char *error = NULL;

    transcript_init(&transcript);
    transcript.duration_ms = 60000;
    if (verbose_json_read(&transcript, &file, text, size, &error) == 0) {
        for (size_t i = 0; i < sizeof writers / sizeof writers[0]; i++) {
            buffer_init(&buffer, 1 << 20);
            require(writers[i](&transcript, &buffer) == 0);
            buffer_clear(&buffer);
        }
        for (size_t i = 0; i < transcript.segment_count; i++)
            require(transcript.segments[i].item.start_ms <= transcript.segments[i].item.end_ms &&
                    transcript.segments[i].item.end_ms <= 60000);
    } else {
        require(error != NULL);
    }
    transcript_clear(&transcript);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct chat_answer said = {.content = exact_text(bytes, size)};
    char *copy = exact_copy(bytes, size);

    said.size = strlen(said.content);
    json_decref(chat_content_json(&said));
    free(said.content);
    read_chat(copy, size);
    read_whisper(copy, size);
    free(copy);
    return 0;
}
