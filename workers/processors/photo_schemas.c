/* SPDX-License-Identifier: MIT
 * What portals ask for, by name. Where sources disagree the row holds what satisfies all of them. Portals
 * change their notices every year: check the numbers against the notice before relying on a name. */
#include <ctype.h>
#include <string.h>

#include "lib/text.h"
#include "workers/processors/photo.h"

#define WHITE {255, 255, 255}

static const struct photo_schema schemas[] = {
    /* 85 and 100 kB from the schema that the first portal integration was built with; the notice allows 10-200 */
    {"NEET 2026", 200, 230, 200, 10, 100, PHOTO_JPEG, 85, 30, WHITE},
    /* 35 x 45 mm at 300 dpi; the notice of 2025 allows 300 kB, that of 2026 200 kB */
    {"JEE Main 2026", 413, 531, 300, 10, 200, PHOTO_JPEG, 95, 30, WHITE},
    /* 35 x 45 mm at 200 dpi */
    {"Aadhaar Update", 276, 354, 200, 20, 50, PHOTO_JPEG, 95, 30, WHITE},
    /* 35 x 45 mm at 457 dpi: exact pixels are checked */
    {"Passport India", 630, 810, 457, 40, 250, PHOTO_JPEG, 95, 30, WHITE},
    {"College Generic", 413, 531, 300, 20, 200, PHOTO_JPEG, 95, 30, WHITE},
    {"IBPS Photo", 200, 230, 200, 20, 50, PHOTO_JPEG, 95, 30, WHITE},
    {"IBPS Signature", 140, 60, 200, 10, 20, PHOTO_JPEG, 95, 30, WHITE},
    {"IBPS Thumb", 240, 240, 200, 20, 50, PHOTO_JPEG, 95, 30, WHITE},
    {"IBPS Declaration", 800, 400, 200, 50, 100, PHOTO_JPEG, 95, 30, WHITE},
    /* 35 x 45 mm and 40 x 20 mm at 200 dpi */
    {"SSC Photo", 276, 354, 200, 20, 50, PHOTO_JPEG, 95, 30, WHITE},
    {"SSC Signature", 315, 157, 200, 10, 20, PHOTO_JPEG, 95, 30, WHITE},
    /* a square of 350 to 1000 px */
    {"UPSC Photo", 550, 550, 200, 20, 300, PHOTO_JPEG, 95, 30, WHITE},
};

/* Letters and digits, in lower case. */
static void squeeze(char *target, size_t size, const char *name) {
    size_t length = 0;

    for (; *name != '\0' && length + 1 < size; name++) {
        if (isalnum((unsigned char)*name))
            target[length++] = (char)tolower((unsigned char)*name);
    }
    target[length] = '\0';
}

bool photo_preset(const char *name, struct photo_schema *schema) {
    char wanted[PHOTO_NAME_SIZE], candidate[PHOTO_NAME_SIZE];

    squeeze(wanted, sizeof wanted, name);
    for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++) {
        squeeze(candidate, sizeof candidate, schemas[i].name);
        if (strcmp(wanted, candidate) == 0) {
            *schema = schemas[i];
            return true;
        }
    }
    return false;
}
