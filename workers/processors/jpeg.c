/* SPDX-License-Identifier: MIT
 * Writing JPEG, and reading back what was written. libjpeg reports errors by calling back: from there it is a
 * jump to the function that began. */
#include "workers/processors/jpeg.h"

#include <setjmp.h>
#include <stdio.h> /* jpeglib.h needs FILE */
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#define MARKER_BYTES 2
#define LENGTH_BYTES 2
#define SEGMENT_MAX_BYTES (65535 - LENGTH_BYTES) /* of what a segment carries */

struct trap {
    struct jpeg_error_mgr manager; /* first: libjpeg gives us its address */
    struct processor_context *context;
    jmp_buf exit;
};

static void on_error(j_common_ptr jpeg) {
    struct trap *trap = (struct trap *)(void *)jpeg->err;
    char text[JMSG_LENGTH_MAX];

    trap->manager.format_message(jpeg, text);
    (void)processor_fail(trap->context, strstr(text, "memory") != NULL ? "memory_limit" : "engine_failed",
                         "JPEG: %s", text);
    longjmp(trap->exit, 1);
}

static void on_message(j_common_ptr jpeg) {
}

static struct jpeg_error_mgr *set_trap(struct trap *trap, struct processor_context *context) {
    struct jpeg_error_mgr *manager = jpeg_std_error(&trap->manager);

    manager->error_exit = on_error;
    manager->output_message = on_message;
    trap->context = context;
    return manager;
}

/* --- writing ------------------------------------------------------------------------------------- */

/* Big-endian TIFF: header, one IFD of four entries, the rational that two of them share. */
static void write_exif(struct jpeg_compress_struct *jpeg, int dpi) {
    /* clang-format off */
    const JOCTET exif[] = {
        'E', 'x', 'i', 'f', 0, 0,
        'M', 'M', 0, 42, 0, 0, 0, 8,               /* IFD0 at 8 */
        0, 4,                                      /* four entries */
        0x01, 0x1a, 0, 5, 0, 0, 0, 1, 0, 0, 0, 62, /* XResolution */
        0x01, 0x1b, 0, 5, 0, 0, 0, 1, 0, 0, 0, 62, /* YResolution */
        0x01, 0x28, 0, 3, 0, 0, 0, 1, 0, 2, 0, 0,  /* ResolutionUnit: inch */
        0x02, 0x13, 0, 3, 0, 0, 0, 1, 0, 1, 0, 0,  /* YCbCrPositioning: centred */
        0, 0, 0, 0,                                /* no IFD1 */
        0, 0, (JOCTET)(dpi >> 8), (JOCTET)(dpi & 0xff), 0, 0, 0, 1,
    };
    /* clang-format on */

    jpeg_write_marker(jpeg, JPEG_APP0 + 1, exif, sizeof exif);
}

static void configure(struct jpeg_compress_struct *jpeg, const struct pixels *pixels, int quality, int dpi) {
    jpeg->image_width = (JDIMENSION)pixels->width;
    jpeg->image_height = (JDIMENSION)pixels->height;
    jpeg->input_components = 3;
    jpeg->in_color_space = JCS_RGB;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, quality, TRUE);
    jpeg->optimize_coding = TRUE; /* still baseline */
    jpeg->comp_info[0].h_samp_factor = jpeg->comp_info[0].v_samp_factor =
        quality < JPEG_FULL_CHROMA_QUALITY ? 2 : 1;
    if (dpi == 0)
        return;
    jpeg->density_unit = 1;
    jpeg->X_density = jpeg->Y_density = (UINT16)dpi;
}

int jpeg_encode(struct processor_context *context, const struct pixels *pixels, int quality, int dpi,
                struct encoded *encoded) {
    struct jpeg_compress_struct jpeg;
    struct trap trap;
    unsigned char *bytes = NULL;
    unsigned long size = 0;

    *encoded = (struct encoded){0};
    jpeg.err = set_trap(&trap, context);
    if (setjmp(trap.exit) != 0) {
        jpeg_destroy_compress(&jpeg);
        return -1; /* the process ends with its document, and what libjpeg had allocated with it */
    }
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &bytes, &size);
    configure(&jpeg, pixels, quality, dpi);
    jpeg_start_compress(&jpeg, TRUE);
    if (dpi != 0)
        write_exif(&jpeg, dpi);
    while (jpeg.next_scanline < jpeg.image_height) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels->bytes + jpeg.next_scanline * pixels_row_bytes(pixels));
        (void)jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    *encoded = (struct encoded){.bytes = bytes, .size = size};
    return 0;
}

/* --- padding ------------------------------------------------------------------------------------- */

/* Behind SOI and all APP segments: some readers want JFIF and EXIF first. */
static size_t end_of_applications(const struct encoded *encoded) {
    size_t at = MARKER_BYTES;

    while (at + MARKER_BYTES + LENGTH_BYTES <= encoded->size && encoded->bytes[at] == 0xff &&
           (encoded->bytes[at + 1] & 0xf0) == 0xe0)
        at += MARKER_BYTES + (size_t)(encoded->bytes[at + 2] << 8 | encoded->bytes[at + 3]);
    return at;
}

static size_t write_comment(unsigned char *target, size_t blanks) {
    size_t length = blanks + LENGTH_BYTES;

    target[0] = 0xff;
    target[1] = JPEG_COM;
    target[2] = (unsigned char)(length >> 8);
    target[3] = (unsigned char)(length & 0xff);
    memset(target + MARKER_BYTES + LENGTH_BYTES, ' ', blanks);
    return MARKER_BYTES + length;
}

long jpeg_pad(struct encoded *encoded, size_t bytes) {
    const size_t overhead = MARKER_BYTES + LENGTH_BYTES;
    size_t at = end_of_applications(encoded), added = 0;
    unsigned char *padded = malloc(encoded->size + bytes + 2 * overhead);

    if (padded == NULL)
        return -1;
    memcpy(padded, encoded->bytes, at);
    while (added < bytes) {
        size_t left = bytes - added;
        size_t blanks = left > overhead ? left - overhead : 0;
        if (blanks > SEGMENT_MAX_BYTES) /* leave room for one more whole segment */
            blanks = blanks < SEGMENT_MAX_BYTES + overhead ? SEGMENT_MAX_BYTES - overhead : SEGMENT_MAX_BYTES;
        added += write_comment(padded + at + added, blanks);
    }
    memcpy(padded + at + added, encoded->bytes + at, encoded->size - at);
    free(encoded->bytes);
    encoded->bytes = padded;
    encoded->size += added;
    return (long)added;
}

/* --- reading back -------------------------------------------------------------------------------- */

int jpeg_luma(struct processor_context *context, const struct encoded *encoded, unsigned char *luma) {
    struct jpeg_decompress_struct jpeg;
    struct trap trap;

    jpeg.err = set_trap(&trap, context);
    if (setjmp(trap.exit) != 0) {
        jpeg_destroy_decompress(&jpeg);
        return -1;
    }
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, encoded->bytes, encoded->size);
    (void)jpeg_read_header(&jpeg, TRUE);
    jpeg.out_color_space = JCS_GRAYSCALE;
    (void)jpeg_start_decompress(&jpeg);
    while (jpeg.output_scanline < jpeg.output_height) {
        JSAMPROW row = luma + (size_t)jpeg.output_scanline * jpeg.output_width;
        (void)jpeg_read_scanlines(&jpeg, &row, 1);
    }
    (void)jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    return 0;
}
