/* SPDX-License-Identifier: MIT
 * Denoising and contrast. Colours stay: contrast works on lightness alone. */
#include "workers/processors/image.h"
#include "workers/processors/photo.h"

#define MEDIAN_PIXELS 3
#define CLAHE_SHARE 8 /* a window is this part of a side */
#define CLAHE_LEAST 16
#define CLAHE_MOST 90 /* so that the limit below stays in the range that libvips takes, 1 to 100 */
#define CLAHE_SLOPE 2
#define LEVELS 256
#define LIGHTNESS_TO_BYTE 2.55

VipsImage *photo_denoise(struct processor_context *context, VipsImage *image) {
    VipsImage *clean = NULL;

    if (image->Xsize < MEDIAN_PIXELS || image->Ysize < MEDIAN_PIXELS)
        return image;
    if (vips_median(image, &clean, MEDIAN_PIXELS, NULL) != 0)
        (void)image_fail(context);
    g_object_unref(image);
    return clean;
}

static int window_size(int side) {
    int size = side / CLAHE_SHARE;

    size = size < CLAHE_LEAST ? CLAHE_LEAST : size > CLAHE_MOST ? CLAHE_MOST : size;
    return size < side ? size : side;
}

/* What libvips calls a slope is the most that one level may count in a window: this many times the average.
 */
static int most_of_a_level(int width, int height) {
    int most = CLAHE_SLOPE * width * height / LEVELS;

    return most < 1 ? 1 : most;
}

/* Lightness as bytes, equalized where it lies, and back. */
static int equalize(VipsImage *lab, VipsImage **steps) {
    int width = window_size(lab->Xsize), height = window_size(lab->Ysize);

    return vips_extract_band(lab, &steps[0], 0, NULL) ||
           vips_linear1(steps[0], &steps[1], LIGHTNESS_TO_BYTE, 0, NULL) ||
           vips_rint(steps[1], &steps[2], NULL) || vips_cast_uchar(steps[2], &steps[3], NULL) ||
           vips_hist_local(steps[3], &steps[4], width, height, "max_slope", most_of_a_level(width, height),
                           NULL) ||
           vips_linear1(steps[4], &steps[5], 1 / LIGHTNESS_TO_BYTE, 0, NULL) ||
           vips_extract_band(lab, &steps[6], 1, "n", 2, NULL) ||
           vips_bandjoin2(steps[5], steps[6], &steps[7], NULL) ||
           vips_copy(steps[7], &steps[8], "interpretation", VIPS_INTERPRETATION_LAB, NULL);
}

VipsImage *photo_clahe(struct processor_context *context, VipsImage *image) {
    VipsImage *steps[9] = {NULL}, *lab = NULL, *clear = NULL;

    if (vips_colourspace(image, &lab, VIPS_INTERPRETATION_LAB, NULL) != 0 || equalize(lab, steps) != 0 ||
        vips_colourspace(steps[8], &clear, VIPS_INTERPRETATION_sRGB, NULL) != 0)
        (void)image_fail(context);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (steps[i] != NULL)
            g_object_unref(steps[i]);
    }
    if (lab != NULL)
        g_object_unref(lab);
    g_object_unref(image);
    return clear;
}
