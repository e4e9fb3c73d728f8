/* SPDX-License-Identifier: MIT
 * Which jobs a media type gets. Images are those that libvips loads with its own or well-kept loaders; the
 * rest (SVG, BMP, PostScript …) are stored and handed back, never parsed. */
#include "proto/plan.h"

#include <string.h>

struct plan_row {
    const char *media_type;
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
};

size_t plan_jobs(const char *media_type, const char *types[PLAN_MAX_JOBS]) {
    size_t count = 0;
    for (size_t i = 0; i < sizeof plan_rows / sizeof plan_rows[0]; i++) {
        if (strcmp(plan_rows[i].media_type, media_type) != 0) {
            continue;
        }
        while (count < PLAN_MAX_JOBS && plan_rows[i].jobs[count] != NULL) {
            types[count] = plan_rows[i].jobs[count];
            count++;
        }
    }
    return count;
}
