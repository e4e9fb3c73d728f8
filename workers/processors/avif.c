/* SPDX-License-Identifier: MIT
 * Writing AVIF: pixels in, marked as sRGB by numbers (nclx), no profile, no EXIF. */
#include "workers/processors/avif.h"

#include <libheif/heif.h>
#include <string.h>

#define SPEED 6 /* 0 (slow) to 9 */

static bool available;

struct sink {
    struct processor_context *context;
    int output;
};

void avif_warm(void) {
    available = heif_have_encoder_for_format(heif_compression_AV1) != 0;
}

bool avif_is_available(void) {
    return available;
}

static int fail(struct processor_context *context, struct heif_error error) {
    bool memory = error.code == heif_error_Memory_allocation_error;

    return processor_fail(context, memory ? "memory_limit" : "engine_failed", "AVIF: %s", error.message);
}

static struct heif_error on_bytes(struct heif_context *heif, const void *bytes, size_t size, void *data) {
    struct sink *sink = data;
    struct heif_error error = {heif_error_Ok, heif_suberror_Unspecified, ""};

    if (processor_write(sink->context, sink->output, bytes, size) != 0)
        error = (struct heif_error){heif_error_Encoding_error, heif_suberror_Cannot_write_output_data,
                                    "not written"};
    return error;
}

static void mark_as_srgb(struct heif_image *image) {
    struct heif_color_profile_nclx *profile = heif_nclx_color_profile_alloc();

    if (profile == NULL)
        return;
    profile->color_primaries = heif_color_primaries_ITU_R_BT_709_5;
    profile->transfer_characteristics = heif_transfer_characteristic_IEC_61966_2_1;
    profile->matrix_coefficients = heif_matrix_coefficients_ITU_R_BT_601_6;
    profile->full_range_flag = 1;
    (void)heif_image_set_nclx_color_profile(image, profile);
    heif_nclx_color_profile_free(profile);
}

static struct heif_error fill_image(struct heif_image **image, const struct pixels *pixels) {
    struct heif_error error =
        heif_image_create(pixels->width, pixels->height, heif_colorspace_RGB,
                          pixels->alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB, image);
    size_t row_bytes = pixels_row_bytes(pixels);
    int stride;

    if (error.code == heif_error_Ok)
        error = heif_image_add_plane(*image, heif_channel_interleaved, pixels->width, pixels->height, 8);
    if (error.code != heif_error_Ok)
        return error;
    unsigned char *plane = heif_image_get_plane(*image, heif_channel_interleaved, &stride);
    for (int y = 0; y < pixels->height; y++)
        memcpy(plane + (size_t)y * (size_t)stride, pixels->bytes + (size_t)y * row_bytes, row_bytes);
    mark_as_srgb(*image);
    return error;
}

static struct heif_error encode(struct heif_context *heif, const struct heif_image *image, int quality) {
    struct heif_encoder *encoder = NULL;
    struct heif_error error = heif_context_get_encoder_for_format(heif, heif_compression_AV1, &encoder);

    if (error.code != heif_error_Ok)
        return error;
    error = heif_encoder_set_lossy_quality(encoder, quality);
    if (error.code == heif_error_Ok)
        error = heif_encoder_set_parameter_integer(encoder, "threads", 1);
    if (error.code == heif_error_Ok)
        error = heif_encoder_set_parameter_integer(encoder, "speed", SPEED);
    if (error.code == heif_error_Ok)
        error = heif_context_encode_image(heif, image, encoder, NULL, NULL);
    heif_encoder_release(encoder);
    return error;
}

int avif_write(struct processor_context *context, int output, const struct pixels *pixels, int quality) {
    struct heif_context *heif = heif_context_alloc();
    struct heif_image *image = NULL;
    struct heif_writer writer = {.writer_api_version = 1, .write = on_bytes};
    struct sink sink = {.context = context, .output = output};
    struct heif_error error = fill_image(&image, pixels);
    int status = 0;

    if (error.code == heif_error_Ok)
        error = encode(heif, image, quality);
    if (error.code == heif_error_Ok)
        error = heif_context_write(heif, &writer, &sink);
    if (error.code != heif_error_Ok)
        status = fail(context, error);
    if (image != NULL)
        heif_image_release(image);
    heif_context_free(heif);
    return status;
}
