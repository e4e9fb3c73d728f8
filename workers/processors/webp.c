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

int webp_write(struct processor_context *context, int output, const struct pixels *pixels, int quality) {
    struct sink sink = {.context = context, .output = output};
    WebPConfig config;
    WebPPicture picture;
    int status = 0;

    if (!WebPConfigPreset(&config, WEBP_PRESET_DEFAULT, (float)quality) || !WebPPictureInit(&picture))
        return processor_fail(context, "engine_failed", "WebP library of another version");
    picture.width = pixels->width;
    picture.height = pixels->height;
    picture.writer = write_chunk;
    picture.custom_ptr = &sink;
    int imported = pixels->alpha ? WebPPictureImportRGBA(&picture, pixels->bytes, pixels->width * 4)
                                 : WebPPictureImportRGB(&picture, pixels->bytes, pixels->width * 3);
    if (!imported || !WebPEncode(&config, &picture)) {
        bool memory = picture.error_code == VP8_ENC_ERROR_OUT_OF_MEMORY ||
                      picture.error_code == VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY;
        status = processor_fail(context, memory ? "memory_limit" : "engine_failed", "WebP encoder error %d",
                                (int)picture.error_code);
    }
    WebPPictureFree(&picture);
    return status;
}
