/* SPDX-License-Identifier: MIT
 * Transcription by a server: OpenAI's /v1/audio/transcriptions, which many servers have, or whisper.cpp's
 * /inference. The request is a form (RFC 7578) with the speech that a runner cut out; the answer is whisper's
 * verbose JSON. Its times are of the cut sound and are put back where they belong. */
#include <string.h>

#include "lib/text.h"
#include "workers/processors/speech_file.h"
#include "workers/processors/transcribe_options.h"
#include "workers/processors/transcript.h"
#include "workers/remote.h"
#include "workers/verbose_json.h"

#define BOUNDARY_BYTES 16

static const struct backend {
    const char *name; /* of the setting transcribe-backend, and the engine's in the result */
    const char *path;
    const char *const fields[7]; /* name, value, …, NULL */
    int names_model;
} backends[] = {
    {.name = "openai",
     .path = "/v1/audio/transcriptions",
     .fields = {"timestamp_granularities[]", "segment", "timestamp_granularities[]", "word", "temperature",
                "0"},
     .names_model = 1},
    {.name = "whisper.cpp", .path = "/inference", .fields = {"temperature", "0"}},
};

static const struct backend *backend_of(const struct settings *settings) {
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++) {
        if (strcmp(backends[i].name, settings->transcribe_backend) == 0)
            return &backends[i];
    }
    return NULL;
}

/* --- the request ------------------------------------------------------------------------------------------
 */

struct form {
    struct processor_context *context;
    struct remote_request *request;
    char boundary[2 * BOUNDARY_BYTES + 1];
};

static int put_text(struct form *form, const char *text) {
    return remote_write(form->context, form->request, text, strlen(text));
}

static int put_field(struct form *form, const char *name, const char *value) {
    char head[200];

    (void)text_format(head, sizeof head, "--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n",
                      form->boundary, name);
    return put_text(form, head) != 0 || put_text(form, value) != 0 || put_text(form, "\r\n") != 0 ? -1 : 0;
}

static int put_file(struct form *form, const struct speech_file *file) {
    char head[200];

    (void)text_format(head, sizeof head,
                      "--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"speech.wav\"\r\n"
                      "Content-Type: audio/wav\r\n\r\n",
                      form->boundary);
    if (put_text(form, head) != 0 ||
        remote_write(form->context, form->request, file->wav, file->wav_size) != 0)
        return -1;
    (void)text_format(head, sizeof head, "\r\n--%s--\r\n", form->boundary);
    return put_text(form, head);
}

static int put_form(struct form *form, const struct backend *backend, const struct settings *settings,
                    const struct transcribe_options *options) {
    const char *language = options->language[0] != '\0' ? options->language : settings->transcribe_language;
    char code[TRANSCRIBE_LANGUAGE_SIZE];

    for (size_t i = 0; backend->fields[i] != NULL; i += 2) {
        if (put_field(form, backend->fields[i], backend->fields[i + 1]) != 0)
            return -1;
    }
    if (language != NULL && language[0] != '\0') { /* servers know no regions */
        (void)text_copy(code, sizeof code, language);
        code[strcspn(code, "-")] = '\0';
        if (put_field(form, "language", code) != 0)
            return -1;
    }
    if (backend->names_model && put_field(form, "model", settings->transcribe_model) != 0)
        return -1;
    return put_field(form, "response_format", "verbose_json");
}

static void name_transcript(struct transcript *transcript, const struct settings *settings,
                            const struct speech_file *file, const char *language) {
    const struct backend *backend = backend_of(settings);

    transcript_init(transcript);
    transcript->duration_ms = file->duration_ms;
    transcript->speech_ms = file->speech_ms;
    (void)text_copy(transcript->engine, sizeof transcript->engine, backend->name);
    (void)text_copy(transcript->model, sizeof transcript->model,
                    backend->names_model ? settings->transcribe_model : "");
    (void)text_copy(transcript->language, sizeof transcript->language, language);
}

static enum remote_step write_silence(struct processor_context *context, const struct settings *settings,
                                      const struct speech_file *file, const char *language) {
    struct transcript transcript;
    int status;

    name_transcript(&transcript, settings, file, language);
    status = transcript_write(context, &transcript);
    transcript_clear(&transcript);
    return status == 0 ? REMOTE_DONE : REMOTE_FAILED;
}

static enum remote_step request(struct processor_context *context, const struct settings *settings,
                                struct remote_request *request) {
    const struct backend *backend = backend_of(settings);
    struct form form = {.context = context, .request = request};
    struct transcribe_options options;
    struct speech_file file;
    unsigned char random[BOUNDARY_BYTES];

    if (transcribe_options_read(context, &options) != 0)
        return REMOTE_FAILED;
    if (backend == NULL || speech_file_read(&file, context->input, context->input_size) != 0) {
        (void)processor_fail(context, "bad_result", "no speech file came out of the runner");
        return REMOTE_FAILED;
    }
    if (file.speech_ms == 0)
        return write_silence(context, settings, &file, options.language);
    text_random(random, sizeof random);
    text_hex_encode(form.boundary, random, sizeof random);
    request->path = backend->path;
    (void)text_format(request->content_type, sizeof request->content_type, "multipart/form-data; boundary=%s",
                      form.boundary);
    return put_form(&form, backend, settings, &options) == 0 && put_file(&form, &file) == 0 ? REMOTE_ASK
                                                                                            : REMOTE_FAILED;
}

/* --- the answer -------------------------------------------------------------------------------------------
 */

static int answer(struct processor_context *context, const struct settings *settings,
                  const struct remote_answer *answer) {
    struct transcribe_options options;
    struct transcript transcript;
    struct speech_file file;
    const char *error;
    int status;

    if (transcribe_options_read(context, &options) != 0)
        return -1;
    if (speech_file_read(&file, context->input, context->input_size) != 0)
        return processor_fail(context, "bad_result", "no speech file came out of the runner");
    name_transcript(&transcript, settings, &file, options.language);
    status = verbose_json_read(&transcript, &file, answer->text, answer->size, &error);
    status = status == 0 ? transcript_write(context, &transcript)
                         : processor_fail(context, "backend_bad_answer", "%s", error);
    transcript_clear(&transcript);
    return status;
}

const struct remote remote_transcribe = {.name = "transcribe",
                                         .service = SERVICE_TRANSCRIBE,
                                         .prepare = "speech",
                                         .request = request,
                                         .answer = answer};
