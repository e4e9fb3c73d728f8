/* SPDX-License-Identifier: MIT
 * Which jobs a media type gets. Images are those that libvips loads with its own or well-kept loaders; the
 * rest (SVG, BMP, PostScript …) are stored and handed back, never parsed. */
#include "proto/plan.h"

#include <string.h>

#define OOXML "application/vnd.openxmlformats-officedocument."
#define OPEN_DOCUMENT "application/vnd.oasis.opendocument."

struct plan_row {
    const char *media_type; /* one that ends in '*' is a prefix */
    const char *jobs[PLAN_MAX_JOBS];
};

static const struct plan_row plan_rows[] = {
    {.media_type = "application/pdf", .jobs = {"extract_pdf", "thumbnail"}},
    {.media_type = "image/jpeg", .jobs = {"thumbnail"}},
    {.media_type = "image/png", .jobs = {"thumbnail"}},
    {.media_type = "image/webp", .jobs = {"thumbnail"}},
    {.media_type = "image/gif", .jobs = {"thumbnail"}},
    {.media_type = "image/tiff", .jobs = {"thumbnail"}},
    {.media_type = "image/heic", .jobs = {"thumbnail"}},
    {.media_type = "image/heif", .jobs = {"thumbnail"}},
    {.media_type = "image/avif", .jobs = {"thumbnail"}},
    {.media_type = "audio/*", .jobs = {"waveform"}},
    {.media_type = OOXML "wordprocessingml.document", .jobs = {"extract_office"}},
    {.media_type = OOXML "spreadsheetml.sheet", .jobs = {"extract_office"}},
    {.media_type = OOXML "presentationml.presentation", .jobs = {"extract_office"}},
    {.media_type = OPEN_DOCUMENT "text", .jobs = {"extract_office"}},
    {.media_type = OPEN_DOCUMENT "spreadsheet", .jobs = {"extract_office"}},
    {.media_type = OPEN_DOCUMENT "presentation", .jobs = {"extract_office"}},
    {.media_type = "application/encrypted", .jobs = {"extract_office"}}, /* says password_required */
    {.media_type = "text/plain", .jobs = {"extract_office"}},
    {.media_type = "text/csv", .jobs = {"extract_office"}},
    {.media_type = "text/tab-separated-values", .jobs = {"extract_office"}},
    {.media_type = "text/markdown", .jobs = {"extract_office"}},
};

static bool matches(const char *pattern, const char *media_type) {
    size_t size = strlen(pattern);
    return pattern[size - 1] == '*' ? strncmp(pattern, media_type, size - 1) == 0
                                    : strcmp(pattern, media_type) == 0;
}

size_t plan_jobs(const char *media_type, const char *types[PLAN_MAX_JOBS]) {
    size_t count = 0;
    for (size_t i = 0; i < sizeof plan_rows / sizeof plan_rows[0]; i++) {
        if (!matches(plan_rows[i].media_type, media_type)) {
            continue;
        }
        while (count < PLAN_MAX_JOBS && plan_rows[i].jobs[count] != NULL) {
            types[count] = plan_rows[i].jobs[count];
            count++;
        }
    }
    return count;
}
