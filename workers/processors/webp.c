/* SPDX-License-Identifier: MIT
 * Method 4, the library's default; bytes are streamed to the output as they come. */
#include "workers/processors/webp.h"

#include <webp/encode.h>

struct sink {
    struct processor_context *context;
    int output;
};

static int write_chunk(const uint8_t *bytes, size_t size, const WebPPicture *picture) {
    struct sink *sink = picture->custom_ptr;

    return processor_write(sink->context, sink->output, bytes, size) == 0;
}

static int keep_chunk(const uint8_t *bytes, size_t size, const WebPPicture *picture) {
    return buffer_append(picture->custom_ptr, bytes, size) == 0;
}

static const char *reason_of(WebPEncodingError error) {
    switch (error) {
    case VP8_ENC_ERROR_OUT_OF_MEMORY:
    case VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY:
        return "memory_limit";
    case VP8_ENC_ERROR_BAD_WRITE:
        return "output_limit"; /* unless whoever wrote has said why already */
    default:
        return "engine_failed";
    }
}

static int encode(struct processor_context *context, const struct pixels *pixels, int quality,
                  WebPWriterFunction writer, void *target) {
    WebPConfig config;
    WebPPicture picture;
    int status = 0;

    if (!WebPConfigPreset(&config, WEBP_PRESET_DEFAULT, (float)quality) || !WebPPictureInit(&picture))
        return processor_fail(context, "engine_failed", "WebP library of another version");
    picture.width = pixels->width;
    picture.height = pixels->height;
    picture.writer = writer;
    picture.custom_ptr = target;
    int imported = pixels->alpha ? WebPPictureImportRGBA(&picture, pixels->bytes, pixels->width * 4)
                                 : WebPPictureImportRGB(&picture, pixels->bytes, pixels->width * 3);
    if (!imported || !WebPEncode(&config, &picture))
        status = processor_fail(context, reason_of(picture.error_code), "WebP encoder error %d",
                                (int)picture.error_code);
    WebPPictureFree(&picture);
    return status;
}

int webp_write(struct processor_context *context, int output, const struct pixels *pixels, int quality) {
    struct sink sink = {.context = context, .output = output};

    return encode(context, pixels, quality, write_chunk, &sink);
}

int webp_encode(struct processor_context *context, const struct pixels *pixels, int quality,
                struct buffer *target) {
    return encode(context, pixels, quality, keep_chunk, target);
}
