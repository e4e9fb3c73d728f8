/* SPDX-License-Identifier: MIT
 * A picture's file as a PDF can hold it: the bytes of a JPEG, of a PNG without alpha, of a TIFF in one G4 strip
 * are used as they are; everything else is stored without loss from its pixels. Reads only what a decoder has
 * accepted before. */
#ifndef WORKERS_PROCESSORS_OCR_SCAN_H
#define WORKERS_PROCESSORS_OCR_SCAN_H

#include "workers/processors/ocr_pdf.h"
#include "workers/processors/pixels.h"

struct ocr_scan_memory {
    unsigned char *bytes, *palette; /* free() */
};

struct ocr_scan_file {
    const char *mime;
    const unsigned char *bytes;
    size_t size;
    int page;        /* of a TIFF, from 0 */
    int orientation; /* what its EXIF says */
};

/* True when the file's own bytes do. */
bool ocr_scan_of_file(const struct ocr_scan_file *file, struct ocr_scan *scan, struct ocr_scan_memory *memory);
/* From upright pixels without alpha: black and white as G4, the rest deflated. 0, or -1 without memory. */
int ocr_scan_of_pixels(const struct pixels *pixels, struct ocr_scan *scan, struct ocr_scan_memory *memory);
void ocr_scan_clear(struct ocr_scan_memory *memory);

#endif
