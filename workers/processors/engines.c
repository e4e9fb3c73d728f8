/* SPDX-License-Identifier: MIT
 * The libraries of each processor; see engines.h. */
#include "workers/processors/engines.h"

#include <string.h>

#include "lib/text.h"

#define MOST 3

static const struct {
    const char *processor;
    const char *(*engines[MOST])(void);
} rows[] = {
    {"extract_pdf", {engine_poppler}},
    {"thumbnail", {engine_vips, engine_poppler}},
    {"image_variants", {engine_vips}},
    {"publish_image", {engine_vips}},
    {"portal_photo", {engine_vips}},
    {"ocr", {engine_tesseract, engine_poppler, engine_vips}},
    {"waveform", {engine_libav}},
    {"extract_office", {engine_libzip}},
};

int engines_describe(char *target, size_t size) {
    size_t length = 0;
    int broken = 0;

    target[0] = '\0';
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        broken |= text_format(target + length, size - length, "%s%s=", i == 0 ? "" : ";", rows[i].processor);
        length += strlen(target + length);
        for (size_t j = 0; j < MOST && rows[i].engines[j] != NULL; j++) {
            broken |= text_format(target + length, size - length, "%s%s", j == 0 ? "" : " ", rows[i].engines[j]());
            length += strlen(target + length);
        }
    }
    return broken != 0 ? -1 : 0;
}
