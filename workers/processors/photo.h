/* SPDX-License-Identifier: MIT
 * The parts of portal_photo: what is asked (schemas and parameters), what a picture is like (measures), what
 * is done to it (enhancement), and how it is made to fit a size in bytes. */
#ifndef WORKERS_PROCESSORS_PHOTO_H
#define WORKERS_PROCESSORS_PHOTO_H

#include <stdbool.h>
#include <stdint.h>
#include <vips/vips.h>

#include "workers/processor.h"
#include "workers/processors/parameters.h"
#include "workers/processors/pixels.h"

#define PHOTO_NAME_SIZE 64
#define PHOTO_FILENAME_SIZE 129

enum photo_format { PHOTO_JPEG, PHOTO_PNG, PHOTO_FORMAT_COUNT };
enum photo_choice { PHOTO_AUTO, PHOTO_ON, PHOTO_OFF };
enum photo_crop { PHOTO_CENTRE, PHOTO_ATTENTION, PHOTO_BOX };

extern const char *const photo_format_names[PHOTO_FORMAT_COUNT + 1];
extern const char *const photo_crop_names[];

/* A kB is 1000 bytes to some portals and 1024 to others: what is written is at least min_kb * 1024 and at
 * most max_kb * 1000 bytes, which is right for both. 0: no limit. */
struct photo_schema {
    char name[PHOTO_NAME_SIZE];
    int width, height, dpi;
    int min_kb, max_kb;
    int format;               /* enum photo_format */
    int quality, min_quality; /* of JPEG; the higher one is passed only to reach min_kb */
    unsigned char background[3];
};

struct photo_box {
    double left, top, width, height; /* shares of the upright picture, 0 to 1 */
};

struct photo_order {
    struct photo_schema schema;
    int crop; /* enum photo_crop */
    struct photo_box box;
    int denoise, clahe; /* enum photo_choice */
    bool ocr;
    char filename[PHOTO_FILENAME_SIZE]; /* of the photo in a ZIP; "": photo */
};

/* --- photo_schemas.c --- */

/* By name, whatever its case and punctuation; false if there is none. */
bool photo_preset(const char *name, struct photo_schema *schema);

/* --- photo_order.c --- */

/* From the context's parameters. 0, or -1 after processor_fail. */
int photo_order_read(struct processor_context *context, struct photo_order *order);

/* A parameter of PHOTO_FILENAME_SIZE bytes: letters, digits, '.', '_' and '-'. */
int photo_filename_read(struct processor_context *context, const struct parameter_field *field,
                        const json_t *value, void *target);

/* --- photo_measure.c --- */

struct photo_measures {
    double sharpness;    /* variance of the 4-neighbour Laplacian of luma */
    double brightness;   /* mean of luma, 0 to 255 */
    double contrast;     /* luma between the 5th and the 95th percentile */
    double dark, bright; /* shares of pixels at most 4, at least 251 */
    double noise;        /* standard deviation (Immerkaer 1996) */
    double score;        /* 0 to 1 */
};

/* Rec. 601 luma of pixels without alpha, as JPEG has it; width * height bytes. */
void photo_luma(const struct pixels *pixels, unsigned char *luma);
void photo_measure(const unsigned char *luma, int width, int height, struct photo_measures *measures);
/* Mean structural similarity (Wang et al. 2004) over 8x8 windows, each 4 pixels further. */
double photo_ssim(const unsigned char *left, const unsigned char *right, int width, int height);

/* --- photo_enhance.c --- */

/* Each takes the image (8-bit sRGB, 3 bands) and returns the new one; NULL after processor_fail. */
VipsImage *photo_denoise(struct processor_context *context, VipsImage *image);
VipsImage *photo_clahe(struct processor_context *context, VipsImage *image);

/* --- photo_text.c --- */

struct photo_text {
    bool read;         /* false: nobody asked */
    double confidence; /* 0 to 1, of all letters; 0 when there are none */
    uint64_t words, characters;
};

/* In the nursery: the engine. 0 or -1. */
int photo_text_warm(void);
/* Reads a picture (8-bit sRGB, 3 bands, without alpha). 0, or -1 after processor_fail (OCR_TIMEOUT,
 * OCR_FAILED, memory_limit). */
int photo_text_read(struct processor_context *context, const struct pixels *pixels, struct photo_text *text);

/* --- photo_fit.c --- */

struct photo_fit {
    struct encoded encoded; /* free(encoded.bytes) */
    uint64_t min_bytes, max_bytes;
    int quality; /* 0: lossless */
    int encodings;
    size_t padding_bytes;
    double ssim; /* of what was written against the pixels given */
};

/* Finds the best quality whose file is small enough, and pads what is too small. 0, or -1 after
 * processor_fail: SIZE_EXCEEDED when even the least quality is too large. */
int photo_fit(struct processor_context *context, const struct photo_schema *schema,
              const struct pixels *pixels, struct photo_fit *fit);

#endif
