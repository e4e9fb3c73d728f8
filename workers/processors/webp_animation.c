/* SPDX-License-Identifier: MIT
 * Animated WebP with libwebpmux: the encoder keeps two canvases and the frames already encoded. */
#include <stdlib.h>
#include <webp/encode.h>
#include <webp/mux.h>

#include "workers/processors/webp.h"

struct webp_animation {
    struct processor_context *context;
    WebPAnimEncoder *encoder;
    WebPConfig config;
    int time_ms;
};

static int fail(struct webp_animation *animation) {
    return processor_fail(animation->context, "engine_failed", "WebP animation: %s",
                          WebPAnimEncoderGetError(animation->encoder));
}

struct webp_animation *webp_animation_new(struct processor_context *context, int width, int height, int loops,
                                          int quality) {
    struct webp_animation *animation = calloc(1, sizeof *animation);
    WebPAnimEncoderOptions options;

    if (animation == NULL) {
        (void)processor_fail(context, "memory_limit", "no memory left");
        return NULL;
    }
    animation->context = context;
    if (WebPAnimEncoderOptionsInit(&options) &&
        WebPConfigPreset(&animation->config, WEBP_PRESET_DEFAULT, (float)quality)) {
        options.anim_params.loop_count = loops;
        animation->encoder = WebPAnimEncoderNew(width, height, &options);
    }
    if (animation->encoder != NULL)
        return animation;
    (void)processor_fail(context, "engine_failed", "no WebP encoder for %d x %d pixels", width, height);
    webp_animation_free(animation);
    return NULL;
}

int webp_animation_add(struct webp_animation *animation, const struct pixels *pixels, int duration_ms) {
    WebPPicture picture;
    int done;

    if (!WebPPictureInit(&picture))
        return processor_fail(animation->context, "engine_failed", "WebP library of another version");
    picture.width = pixels->width;
    picture.height = pixels->height;
    picture.use_argb = 1;
    done = pixels->alpha ? WebPPictureImportRGBA(&picture, pixels->bytes, pixels->width * 4)
                         : WebPPictureImportRGB(&picture, pixels->bytes, pixels->width * 3);
    if (!done)
        return processor_fail(animation->context, "memory_limit", "no memory for a frame");
    done = WebPAnimEncoderAdd(animation->encoder, &picture, animation->time_ms, &animation->config);
    animation->time_ms += duration_ms;
    WebPPictureFree(&picture);
    return done ? 0 : fail(animation);
}

int webp_animation_write(struct webp_animation *animation, int output) {
    WebPData data;
    int status;

    WebPDataInit(&data);
    if (!WebPAnimEncoderAdd(animation->encoder, NULL, animation->time_ms, NULL) ||
        !WebPAnimEncoderAssemble(animation->encoder, &data))
        return fail(animation);
    status = processor_write(animation->context, output, data.bytes, data.size);
    WebPDataClear(&data);
    return status;
}

void webp_animation_free(struct webp_animation *animation) {
    if (animation != NULL)
        WebPAnimEncoderDelete(animation->encoder);
    free(animation);
}
