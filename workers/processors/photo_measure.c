/* SPDX-License-Identifier: MIT
 * Numbers about pictures, from luma alone. Pure: no context, no library. */
#include <math.h>
#include <stdlib.h>

#include "workers/processors/photo.h"

#define LEVELS 256
#define DARK 4
#define BRIGHT 251
#define WINDOW 8
#define WINDOW_STEP 4
#define HALF_PI 1.57079632679489662

void photo_luma(const struct pixels *pixels, unsigned char *luma) {
    size_t count = (size_t)pixels->width * (size_t)pixels->height;
    const unsigned char *from = pixels->bytes;

    for (size_t i = 0; i < count; i++, from += 3)
        luma[i] = (unsigned char)((19595u * from[0] + 38470u * from[1] + 7471u * from[2] + 32768u) >> 16);
}

/* --- quality ------------------------------------------------------------------------------------- */

static void measure_histogram(const unsigned char *luma, size_t count, struct photo_measures *measures) {
    size_t histogram[LEVELS] = {0}, below = 0;
    double total = (double)count, sum = 0;
    int low = 0, high = LEVELS - 1;

    for (size_t i = 0; i < count; i++)
        histogram[luma[i]]++;
    for (int level = 0; level < LEVELS; level++) {
        double share = (double)histogram[level] / total;
        sum += share * level;
        if ((double)below < total * 0.05)
            low = level;
        if ((double)below < total * 0.95)
            high = level;
        below += histogram[level];
        measures->dark += level <= DARK ? share : 0;
        measures->bright += level >= BRIGHT ? share : 0;
    }
    measures->brightness = sum;
    measures->contrast = high - low;
}

/* Both masks in one pass: the Laplacian for sharpness, the difference of two Laplacians for noise, which
 * structure cancels out of. */
static void measure_edges(const unsigned char *luma, int width, int height, struct photo_measures *measures) {
    double sum = 0, squares = 0, noise = 0, count = (double)(width - 2) * (height - 2);

    if (width < 3 || height < 3)
        return;
    for (int y = 1; y < height - 1; y++) {
        const unsigned char *row = luma + (size_t)y * (size_t)width;
        const unsigned char *above = row - width, *below = row + width;
        for (int x = 1; x < width - 1; x++) {
            int cross = above[x] + below[x] + row[x - 1] + row[x + 1];
            int corners = above[x - 1] + above[x + 1] + below[x - 1] + below[x + 1];
            double laplacian = cross - 4 * row[x];
            sum += laplacian;
            squares += laplacian * laplacian;
            noise += abs(corners - 2 * cross + 4 * row[x]);
        }
    }
    measures->sharpness = squares / count - (sum / count) * (sum / count);
    measures->noise = sqrt(HALF_PI) * noise / (6 * count);
}

static double clamp(double value) {
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

/* Half for sharpness (1 - 1/e at 150, where a face at this size is plainly in focus), a quarter each for
 * exposure (full between 80 and 200, nothing at 20 and 250) and contrast (full at 120 levels). */
static double score(const struct photo_measures *measures) {
    double sharp = 1 - exp(-measures->sharpness / 150);
    double from_dark = (measures->brightness - 20) / 60, from_bright = (250 - measures->brightness) / 50;
    double exposure = clamp(from_dark < from_bright ? from_dark : from_bright);

    return 0.5 * sharp + 0.25 * exposure + 0.25 * clamp(measures->contrast / 120);
}

void photo_measure(const unsigned char *luma, int width, int height, struct photo_measures *measures) {
    *measures = (struct photo_measures){0};
    measure_histogram(luma, (size_t)width * (size_t)height, measures);
    measure_edges(luma, width, height, measures);
    measures->score = score(measures);
}

/* --- similarity ---------------------------------------------------------------------------------- */

struct window {
    int left, top, width, height;
};

static double window_similarity(const unsigned char *left, const unsigned char *right, int stride,
                                struct window window) {
    const double c1 = 0.01 * 255 * 0.01 * 255, c2 = 0.03 * 255 * 0.03 * 255;
    double a = 0, b = 0, aa = 0, bb = 0, ab = 0, count = (double)window.width * window.height;

    for (int y = window.top; y < window.top + window.height; y++) {
        for (int x = window.left; x < window.left + window.width; x++) {
            size_t at = (size_t)y * (size_t)stride + (size_t)x;
            double p = left[at], q = right[at];
            a += p;
            b += q;
            aa += p * p;
            bb += q * q;
            ab += p * q;
        }
    }
    a /= count;
    b /= count;
    double variances = aa / count - a * a + bb / count - b * b, covariance = ab / count - a * b;
    return (2 * a * b + c1) * (2 * covariance + c2) / ((a * a + b * b + c1) * (variances + c2));
}

double photo_ssim(const unsigned char *left, const unsigned char *right, int width, int height) {
    struct window window = {.width = width < WINDOW ? width : WINDOW,
                            .height = height < WINDOW ? height : WINDOW};
    double sum = 0;
    int count = 0;

    for (window.top = 0; window.top + window.height <= height; window.top += WINDOW_STEP) {
        for (window.left = 0; window.left + window.width <= width; window.left += WINDOW_STEP) {
            sum += window_similarity(left, right, width, window);
            count++;
        }
    }
    return sum / count;
}
