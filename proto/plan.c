/* SPDX-License-Identifier: MIT
 * Which jobs a media type gets where its tenant says nothing else. Images are those that libvips loads with
 * its own or well-kept loaders; the rest (SVG, BMP, PostScript …) are stored and handed back, never parsed.
 * What is wanted at once is in band 1; what costs seconds of a core comes behind, in band 2. */
#include "proto/plan.h"

#include "proto/catalog.h"

#include <string.h>

#define OOXML "application/vnd.openxmlformats-officedocument."
#define OPEN_DOCUMENT "application/vnd.oasis.opendocument."

/* clang-format off */
#define SOON(name) {.type = name, .parameters = "{}", .priority = 1}
#define LATER(name, json) {.type = name, .parameters = json, .priority = 2, .extra = true}

#define SPEECH(name) {.type = name, .parameters = "{}", .priority = 2, .extra = true, .speech = true}

#define PICTURE(name)                                                                                        \
    {.media_type = name, .jobs = {SOON("thumbnail"), LATER("image_variants", "{}"), LATER("ocr", "{}")}}
#define TEXT(name) {.media_type = name, .jobs = {SOON("extract_office")}}

const struct plan_row plan_rows[] = {
    {.media_type = "application/pdf",
     .jobs = {SOON("extract_pdf"), SOON("thumbnail"), LATER("ocr", "{\"pages\":\"needed\"}")}},
    PICTURE("image/jpeg"),
    PICTURE("image/png"),
    PICTURE("image/webp"),
    PICTURE("image/gif"),
    PICTURE("image/tiff"),
    PICTURE("image/heic"),
    PICTURE("image/heif"),
    PICTURE("image/avif"),
    {.media_type = "audio/*", .jobs = {SOON("waveform"), SPEECH("transcribe")}},
    TEXT(OOXML "wordprocessingml.document"),
    TEXT(OOXML "spreadsheetml.sheet"),
    TEXT(OOXML "presentationml.presentation"),
    TEXT(OPEN_DOCUMENT "text"),
    TEXT(OPEN_DOCUMENT "spreadsheet"),
    TEXT(OPEN_DOCUMENT "presentation"),
    TEXT("application/encrypted"), /* says password_required */
    TEXT("application/rtf"),
    TEXT("text/plain"),
    TEXT("text/csv"),
    TEXT("text/tab-separated-values"),
    TEXT("text/markdown"),
};
/* clang-format on */
const size_t plan_row_count = sizeof plan_rows / sizeof plan_rows[0];

size_t plan_jobs(const char *media_type, const struct plan_job *jobs[PLAN_MAX_JOBS]) {
    size_t count = 0;
    for (size_t i = 0; i < plan_row_count; i++) {
        const struct plan_row *row = &plan_rows[i];
        if (!media_pattern_matches(row->media_type, media_type)) {
            continue;
        }
        for (size_t job = 0; job < PLAN_MAX_JOBS && row->jobs[job].type != NULL && count < PLAN_MAX_JOBS;
             job++) {
            jobs[count++] = &row->jobs[job];
        }
    }
    return count;
}

static const struct plan_follower followers[] = {
    {.after = "extract_pdf",
     .fact = "pages_need_ocr",
     .type = "ocr",
     .payload = "{\"pages\": \"needed\"}",
     .priority = 2,
     .option = PLAN_OCR_WHEN_NEEDED},
};

const struct plan_follower *plan_follower_of(const char *type) {
    for (size_t i = 0; i < sizeof followers / sizeof followers[0]; i++) {
        if (strcmp(followers[i].after, type) == 0) {
            return &followers[i];
        }
    }
    return NULL;
}
