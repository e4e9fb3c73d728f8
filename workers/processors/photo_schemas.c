/* SPDX-License-Identifier: MIT
 * What portals ask for, by name. Where sources disagree the row holds what satisfies all of them. Portals
 * change their notices every year: check the numbers against the notice before relying on a name. */
#include <ctype.h>
#include <string.h>

#include "lib/text.h"
#include "workers/processors/photo.h"

/* clang-format off */
/* All are JPEG on white; quality is the highest that is used but to reach the least size. */
static const struct photo_preset {
    const char *name;
    int width, height, dpi;
    int min_kb, max_kb;
    int quality;
} presets[] = {
    /* 85 and 100 kB are those of the first schema in use; the notice allows 10 to 200 */
    {.name = "NEET 2026", .width = 200, .height = 230, .dpi = 200, .min_kb = 10, .max_kb = 100, .quality = 85},
    /* 35 x 45 mm at 300 dpi; the notice of 2025 allows 300 kB, that of 2026 200 kB */
    {.name = "JEE Main 2026", .width = 413, .height = 531, .dpi = 300, .min_kb = 10, .max_kb = 200, .quality = 95},
    /* 35 x 45 mm at 200 dpi */
    {.name = "Aadhaar Update", .width = 276, .height = 354, .dpi = 200, .min_kb = 20, .max_kb = 50, .quality = 95},
    /* 35 x 45 mm at 457 dpi: exact pixels are checked */
    {.name = "Passport India", .width = 630, .height = 810, .dpi = 457, .min_kb = 40, .max_kb = 250, .quality = 95},
    {.name = "College Generic", .width = 413, .height = 531, .dpi = 300, .min_kb = 20, .max_kb = 200, .quality = 95},
    {.name = "IBPS Photo", .width = 200, .height = 230, .dpi = 200, .min_kb = 20, .max_kb = 50, .quality = 95},
    {.name = "IBPS Signature", .width = 140, .height = 60, .dpi = 200, .min_kb = 10, .max_kb = 20, .quality = 95},
    {.name = "IBPS Thumb", .width = 240, .height = 240, .dpi = 200, .min_kb = 20, .max_kb = 50, .quality = 95},
    {.name = "IBPS Declaration", .width = 800, .height = 400, .dpi = 200, .min_kb = 50, .max_kb = 100, .quality = 95},
    /* 35 x 45 mm at 200 dpi */
    {.name = "SSC Photo", .width = 276, .height = 354, .dpi = 200, .min_kb = 20, .max_kb = 50, .quality = 95},
    /* 40 x 20 mm at 200 dpi */
    {.name = "SSC Signature", .width = 315, .height = 157, .dpi = 200, .min_kb = 10, .max_kb = 20, .quality = 95},
    /* a square of 350 to 1000 px */
    {.name = "UPSC Photo", .width = 550, .height = 550, .dpi = 200, .min_kb = 20, .max_kb = 300, .quality = 95},
};
/* clang-format on */

static bool is_plain(char character) {
    return isalnum((unsigned char)character) != 0;
}

/* Letters and digits, in lower case. */
static void squeeze(char *target, size_t size, const char *name) {
    size_t length = 0;

    for (; *name != '\0' && length + 1 < size; name++) {
        if (is_plain(*name))
            target[length++] = text_lower(*name);
    }
    target[length] = '\0';
}

static void apply(const struct photo_preset *preset, struct photo_schema *schema) {
    (void)text_copy(schema->name, sizeof schema->name, preset->name);
    schema->width = preset->width;
    schema->height = preset->height;
    schema->dpi = preset->dpi;
    schema->min_kb = preset->min_kb;
    schema->max_kb = preset->max_kb;
    schema->quality = preset->quality;
    schema->format = PHOTO_JPEG;
    memset(schema->background, 0xff, sizeof schema->background);
}

bool photo_preset(const char *name, struct photo_schema *schema) {
    char wanted[PHOTO_NAME_SIZE], candidate[PHOTO_NAME_SIZE];

    squeeze(wanted, sizeof wanted, name);
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        squeeze(candidate, sizeof candidate, presets[i].name);
        if (strcmp(wanted, candidate) == 0) {
            apply(&presets[i], schema);
            return true;
        }
    }
    return false;
}
