/* SPDX-License-Identifier: MIT
 * JPEG markers (ITU-T T.81 B.1), PNG chunks (ISO/IEC 15948 11), TIFF 6.0 directories, read with bounds. */
#include "workers/processors/ocr_scan.h"

#include <leptonica/allheaders.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define PNG_HEADER_BYTES 33
#define PNG_CHUNK_BYTES 12
#define DEFLATE_LEVEL 6

void ocr_scan_clear(struct ocr_scan_memory *memory) {
    free(memory->bytes);
    free(memory->palette);
    *memory = (struct ocr_scan_memory){.bytes = NULL};
}

static unsigned be16(const unsigned char *at) {
    return (unsigned)at[0] << 8 | at[1];
}

static size_t be32(const unsigned char *at) {
    return (size_t)be16(at) << 16 | be16(at + 2);
}

/* --- JPEG ------------------------------------------------------------------------------------------------ */

/* Baseline, extended and progressive with Huffman codes: what DCTDecode knows. */
static bool read_frame(const unsigned char *body, size_t size, struct ocr_scan *scan) {
    if (size < 6 || body[0] != 8)
        return false;
    scan->bits = 8;
    scan->height = (int)be16(body + 1);
    scan->width = (int)be16(body + 3);
    scan->components = body[5];
    return scan->width > 0 && scan->height > 0 && (body[5] == 1 || body[5] == 3 || body[5] == 4);
}

static bool scan_jpeg(const unsigned char *bytes, size_t size, struct ocr_scan *scan) {
    bool adobe = false;
    size_t at = 2;

    while (at + 4 <= size && bytes[at] == 0xff) {
        unsigned marker = bytes[at + 1];
        size_t length = be16(bytes + at + 2);
        if (marker == 0xff) {
            at++;
            continue;
        }
        if (length < 2 || at + 2 + length > size)
            return false;
        const unsigned char *body = bytes + at + 4;
        adobe = adobe || (marker == 0xee && length >= 14 && memcmp(body, "Adobe", 5) == 0);
        if (marker == 0xc0 || marker == 0xc1 || marker == 0xc2) {
            if (!read_frame(body, length - 2, scan))
                return false;
            scan->filter = "DCTDecode";
            scan->bytes = bytes;
            scan->size = size;
            scan->inverted = scan->components == 4 && adobe;
            return true;
        }
        if (marker >= 0xc3 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc)
            return false;
        at += 2 + length;
    }
    return false;
}

/* --- PNG ------------------------------------------------------------------------------------------------- */

static bool read_png_header(const unsigned char *bytes, size_t size, struct ocr_scan *scan) {
    static const unsigned char magic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    unsigned type;

    if (size < PNG_HEADER_BYTES || memcmp(bytes, magic, 8) != 0 || memcmp(bytes + 12, "IHDR", 4) != 0)
        return false;
    type = bytes[25];
    scan->width = (int)be32(bytes + 16);
    scan->height = (int)be32(bytes + 20);
    scan->bits = bytes[24];
    scan->components = type == 2 ? 3 : 1;
    return bytes[28] == 0 && (type == 0 || type == 2 || type == 3) && scan->bits <= 8;
}

static bool copy_palette(const unsigned char *body, size_t length, struct ocr_scan *scan,
                         struct ocr_scan_memory *memory) {
    if (scan->palette != NULL || length == 0 || length % 3 != 0 || length > 768)
        return false;
    memory->palette = malloc(length);
    if (memory->palette == NULL)
        return false;
    memcpy(memory->palette, body, length);
    scan->palette = memory->palette;
    scan->palette_size = length;
    return true;
}

/* All IDAT chunks one after the other are one zlib stream. */
static bool scan_png(const unsigned char *bytes, size_t size, struct ocr_scan *scan,
                     struct ocr_scan_memory *memory) {
    bool indexed = size > 25 && bytes[25] == 3;

    if (!read_png_header(bytes, size, scan) || (memory->bytes = malloc(size)) == NULL)
        return false;
    for (size_t at = 8; at + PNG_CHUNK_BYTES <= size;) {
        size_t length = be32(bytes + at);
        const unsigned char *name = bytes + at + 4, *body = bytes + at + 8;
        if (length > size - at - PNG_CHUNK_BYTES)
            return false;
        if (memcmp(name, "tRNS", 4) == 0)
            return false;
        if (memcmp(name, "PLTE", 4) == 0 && indexed && !copy_palette(body, length, scan, memory))
            return false;
        if (memcmp(name, "IDAT", 4) == 0) {
            memcpy(memory->bytes + scan->size, body, length);
            scan->size += length;
        }
        at += PNG_CHUNK_BYTES + length;
    }
    scan->filter = "FlateDecode";
    scan->predicted = true;
    scan->bytes = memory->bytes;
    return scan->size > 0 && indexed == (scan->palette != NULL);
}

/* --- TIFF ------------------------------------------------------------------------------------------------ */

struct tiff {
    const unsigned char *bytes;
    size_t size;
    bool big; /* the byte order */
    size_t directory;
};

static size_t tiff_number(const struct tiff *tiff, size_t at, size_t width) {
    size_t value = 0;

    if (at > tiff->size || tiff->size - at < width)
        return 0;
    for (size_t i = 0; i < width; i++)
        value |= (size_t)tiff->bytes[at + (tiff->big ? width - 1 - i : i)] << (8 * i);
    return value;
}

/* The single value of a tag of the directory; `fallback` if it isn't there, 0 if there are several. */
static size_t tiff_tag(const struct tiff *tiff, unsigned tag, size_t fallback) {
    size_t count = tiff_number(tiff, tiff->directory, 2);

    for (size_t i = 0; i < count; i++) {
        size_t entry = tiff->directory + 2 + i * 12;
        if (tiff_number(tiff, entry, 2) != tag)
            continue;
        size_t width = tiff_number(tiff, entry + 2, 2) == 3 ? 2 : 4;
        return tiff_number(tiff, entry + 4, 4) == 1 ? tiff_number(tiff, entry + 8, width) : 0;
    }
    return fallback;
}

enum {
    TIFF_WIDTH = 256, TIFF_HEIGHT = 257, TIFF_BITS = 258, TIFF_COMPRESSION = 259, TIFF_COLOURS = 262,
    TIFF_FILL_ORDER = 266, TIFF_STRIP = 273, TIFF_ORIENTATION = 274, TIFF_SAMPLES = 277, TIFF_STRIP_BYTES = 279,
    TIFF_G4_OPTIONS = 293, TIFF_G4 = 4,
};

/* One strip of G4 is what CCITTFaxDecode reads. */
static bool scan_tiff(const unsigned char *bytes, size_t size, int page, struct ocr_scan *scan) {
    struct tiff tiff = {.bytes = bytes, .size = size, .big = size > 0 && bytes[0] == 'M'};
    size_t strip, length, colours;

    tiff.directory = tiff_number(&tiff, 4, 4);
    for (int i = 0; i < page; i++)
        tiff.directory = tiff_number(&tiff, tiff.directory + 2 + 12 * tiff_number(&tiff, tiff.directory, 2), 4);
    strip = tiff_tag(&tiff, TIFF_STRIP, 0);
    length = tiff_tag(&tiff, TIFF_STRIP_BYTES, 0);
    colours = tiff_tag(&tiff, TIFF_COLOURS, 2);

    if (tiff_tag(&tiff, TIFF_COMPRESSION, 1) != TIFF_G4 || tiff_tag(&tiff, TIFF_BITS, 1) != 1 ||
        tiff_tag(&tiff, TIFF_SAMPLES, 1) != 1 || tiff_tag(&tiff, TIFF_FILL_ORDER, 1) != 1 ||
        tiff_tag(&tiff, TIFF_ORIENTATION, 1) != 1 || tiff_tag(&tiff, TIFF_G4_OPTIONS, 0) != 0 || colours > 1 ||
        strip == 0 || length == 0 || strip > size || length > size - strip)
        return false;
    *scan = (struct ocr_scan){.filter = "CCITTFaxDecode",
                              .bytes = bytes + strip,
                              .size = length,
                              .width = (int)tiff_tag(&tiff, TIFF_WIDTH, 0),
                              .height = (int)tiff_tag(&tiff, TIFF_HEIGHT, 0),
                              .bits = 1,
                              .components = 1,
                              .black_is_one = colours == 1,
                              .orientation = 1};
    return scan->width > 0 && scan->height > 0;
}

bool ocr_scan_of_file(const struct ocr_scan_file *file, struct ocr_scan *scan, struct ocr_scan_memory *memory) {
    bool works = false;

    *scan = (struct ocr_scan){.orientation = file->orientation};
    if (strcmp(file->mime, "image/jpeg") == 0)
        works = scan_jpeg(file->bytes, file->size, scan);
    else if (strcmp(file->mime, "image/png") == 0)
        works = file->orientation <= 1 && scan_png(file->bytes, file->size, scan, memory);
    else if (strcmp(file->mime, "image/tiff") == 0)
        works = scan_tiff(file->bytes, file->size, file->page, scan);
    if (!works)
        ocr_scan_clear(memory);
    return works;
}

/* --- pixels ---------------------------------------------------------------------------------------------- */

enum tones { TONES_BLACK_WHITE, TONES_GRAY, TONES_COLOUR };

static enum tones find_tones(const struct pixels *pixels) {
    size_t size = pixels_row_bytes(pixels) * (size_t)pixels->height;
    enum tones tones = TONES_BLACK_WHITE;

    for (const unsigned char *at = pixels->bytes; at < pixels->bytes + size; at += 3) {
        if (at[0] != at[1] || at[0] != at[2])
            return TONES_COLOUR;
        if (at[0] != 0 && at[0] != 255)
            tones = TONES_GRAY;
    }
    return tones;
}

/* leptonica writes a TIFF with a single strip, into memory. */
static int store_black_white(const struct pixels *pixels, struct ocr_scan *scan, struct ocr_scan_memory *memory) {
    PIX *picture = pixCreate(pixels->width, pixels->height, 1);
    l_uint8 *tiff = NULL;
    size_t size = 0;
    int status;

    if (picture == NULL)
        return -1;
    for (int y = 0; y < pixels->height; y++) {
        const unsigned char *row = pixels->bytes + (size_t)y * pixels_row_bytes(pixels);
        l_uint32 *line = pixGetData(picture) + (size_t)y * (size_t)pixGetWpl(picture);
        for (int x = 0; x < pixels->width; x++) {
            if (row[(size_t)x * 3] == 0)
                SET_DATA_BIT(line, x);
        }
    }
    status = pixWriteMemTiff(&tiff, &size, picture, IFF_TIFF_G4);
    pixDestroy(&picture);
    memory->bytes = tiff;
    return status == 0 && scan_tiff(tiff, size, 0, scan) ? 0 : -1;
}

/* Rows as PNG predicts them: each as the difference to the one above. */
static unsigned char *predict(const struct pixels *pixels, size_t step, size_t *size) {
    size_t width = (size_t)pixels->width * step, from = pixels_row_bytes(pixels);
    unsigned char *rows = malloc((width + 1) * (size_t)pixels->height);

    *size = (width + 1) * (size_t)pixels->height;
    for (size_t y = 0; rows != NULL && y < (size_t)pixels->height; y++) {
        const unsigned char *row = pixels->bytes + y * from, *above = y == 0 ? NULL : row - from;
        unsigned char *target = rows + y * (width + 1);
        target[0] = 2; /* Up */
        for (size_t x = 0; x < width; x++) {
            size_t at = step == 1 ? x * 3 : x;
            target[1 + x] = (unsigned char)(row[at] - (above == NULL ? 0 : above[at]));
        }
    }
    return rows;
}

static int store_deflated(const struct pixels *pixels, int components, struct ocr_scan *scan,
                          struct ocr_scan_memory *memory) {
    size_t size;
    unsigned char *rows = predict(pixels, (size_t)components, &size);
    uLongf deflated = compressBound(size);
    int status;

    memory->bytes = rows == NULL ? NULL : malloc(deflated);
    status = memory->bytes == NULL ? Z_MEM_ERROR : compress2(memory->bytes, &deflated, rows, size, DEFLATE_LEVEL);
    free(rows);
    *scan = (struct ocr_scan){.filter = "FlateDecode",
                              .bytes = memory->bytes,
                              .size = deflated,
                              .width = pixels->width,
                              .height = pixels->height,
                              .bits = 8,
                              .components = components,
                              .predicted = true,
                              .orientation = 1};
    return status == Z_OK ? 0 : -1;
}

int ocr_scan_of_pixels(const struct pixels *pixels, struct ocr_scan *scan, struct ocr_scan_memory *memory) {
    enum tones tones = find_tones(pixels);

    if (tones == TONES_BLACK_WHITE && store_black_white(pixels, scan, memory) == 0)
        return 0;
    ocr_scan_clear(memory);
    return store_deflated(pixels, tones == TONES_COLOUR ? 3 : 1, scan, memory);
}
