/* SPDX-License-Identifier: MIT
 * Whisper's verbose JSON, as OpenAI's API, whisper.cpp and their likes answer it. Read without trust. */
#ifndef WORKERS_VERBOSE_JSON_H
#define WORKERS_VERBOSE_JSON_H

#include <stddef.h>

#include "workers/processors/speech_file.h"
#include "workers/processors/transcript.h"

/* Adds segments and words to an initialised transcript, at their times in the sound. Segments that whisper
 * itself takes for silence are left out. 0, or -1 with a short static text in `error`. */
int verbose_json_read(struct transcript *transcript, const struct speech_file *file, const char *text,
                      size_t size, const char **error);

#endif
