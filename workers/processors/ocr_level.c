/* SPDX-License-Identifier: MIT
 * Upright and level, with leptonica: quarter turns, and small ones where the skew of the text lines is found
 * with certainty (sums of pixels along lines vary most when the lines are level: Postl 1986). */
#include <leptonica/allheaders.h>
#include <math.h>
#include <string.h>

#include "workers/processors/ocr.h"

#define DEGREE (M_PI / 180)
#define LEAST_SKEW 0.3    /* degrees: less costs more than it gives */
#define LEAST_CERTAINTY 3 /* as leptonica's own pixDeskew asks for */
#define SWEEP_RANGE 15.0f
#define SWEEP_STEP 1.0f
#define SEARCH_STEP 0.02f
#define FINE_PIXELS 2000000 /* fewer are not worth reducing much */

PIX *ocr_picture(const unsigned char *gray, int width, int height, size_t stride) {
    PIX *picture = pixCreateNoInit(width, height, 8);

    if (picture == NULL)
        return NULL;
    for (int y = 0; y < height; y++)
        memcpy((char *)(pixGetData(picture) + (size_t)y * (size_t)pixGetWpl(picture)), gray + (size_t)y * stride,
               (size_t)width);
    pixEndianByteSwap(picture);
    return picture;
}

/* Black on white, whichever way round it was; NULL when there is nothing to see. */
static PIX *black_on_white(PIX *picture) {
    PIX *binary = NULL;
    l_float32 share = 0;

    if (pixOtsuAdaptiveThreshold(picture, pixGetWidth(picture), pixGetHeight(picture), 0, 0, 0.1f, NULL,
                                 &binary) != 0)
        return NULL;
    if (pixForegroundFraction(binary, &share) == 0 && share > 0.5f)
        pixInvert(binary, binary);
    return binary;
}

static double find_skew(PIX *picture) {
    int reduction = pixGetWidth(picture) * pixGetHeight(picture) > FINE_PIXELS ? 4 : 2;
    l_float32 angle = 0, certainty = 0, score = 0;
    PIX *binary = black_on_white(picture);
    bool found = binary != NULL &&
                 pixFindSkewSweepAndSearchScore(binary, &angle, &certainty, &score, reduction, 2, 0, SWEEP_RANGE,
                                                SWEEP_STEP, SEARCH_STEP) == 0;

    pixDestroy(&binary);
    return found && certainty >= LEAST_CERTAINTY && fabs((double)angle) > LEAST_SKEW ? (double)angle : 0;
}

PIX *ocr_level(PIX *picture, int rotation, struct ocr_turn *turn) {
    PIX *upright = rotation == 0 ? pixClone(picture) : pixRotateOrth(picture, rotation / 90);
    PIX *level;

    if (upright == NULL)
        return NULL;
    *turn = (struct ocr_turn){.rotation = rotation,
                              .skew = find_skew(upright),
                              .page_width = pixGetWidth(picture),
                              .page_height = pixGetHeight(picture)};
    level = turn->skew == 0 ? pixClone(upright)
                            : pixRotate(upright, (l_float32)(turn->skew * DEGREE), L_ROTATE_AREA_MAP,
                                        L_BRING_IN_WHITE, pixGetWidth(upright), pixGetHeight(upright));
    pixDestroy(&upright);
    if (level != NULL) {
        turn->read_width = pixGetWidth(level);
        turn->read_height = pixGetHeight(level);
    }
    return level;
}

void ocr_turn_back(const struct ocr_turn *turn, double x, double y, double *page_x, double *page_y) {
    bool lies = turn->rotation % 180 != 0;
    double width = lies ? turn->page_height : turn->page_width;
    double height = lies ? turn->page_width : turn->page_height;
    double cosine = cos(turn->skew * DEGREE), sine = sin(turn->skew * DEGREE);
    double dx = x - turn->read_width / 2.0, dy = y - turn->read_height / 2.0;
    double upright_x = width / 2 + dx * cosine + dy * sine;
    double upright_y = height / 2 - dx * sine + dy * cosine;

    *page_x = turn->rotation == 0     ? upright_x
              : turn->rotation == 90  ? upright_y
              : turn->rotation == 180 ? width - upright_x
                                      : height - upright_y;
    *page_y = turn->rotation == 0     ? upright_y
              : turn->rotation == 90  ? width - upright_x
              : turn->rotation == 180 ? height - upright_y
                                      : upright_x;
}

static int inside(double value, int most) {
    return value < 0 ? 0 : value > most ? most : (int)lround(value);
}

struct ocr_box ocr_turn_box_back(const struct ocr_turn *turn, const struct ocr_box *box) {
    const double corners[4][2] = {
        {box->left, box->top}, {box->right, box->top}, {box->left, box->bottom}, {box->right, box->bottom}};
    double left = INFINITY, top = INFINITY, right = -INFINITY, bottom = -INFINITY;

    for (int i = 0; i < 4; i++) {
        double x, y;
        ocr_turn_back(turn, corners[i][0], corners[i][1], &x, &y);
        left = fmin(left, x);
        top = fmin(top, y);
        right = fmax(right, x);
        bottom = fmax(bottom, y);
    }
    return (struct ocr_box){inside(left, turn->page_width), inside(top, turn->page_height),
                            inside(right, turn->page_width), inside(bottom, turn->page_height)};
}
