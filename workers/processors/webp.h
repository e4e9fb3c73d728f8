/* SPDX-License-Identifier: MIT
 * WebP encoding with libwebp itself: one thread, and no way for a metadata chunk to get in. */
#ifndef WORKERS_PROCESSORS_WEBP_H
#define WORKERS_PROCESSORS_WEBP_H

#include "lib/buffer.h"
#include "workers/processor.h"
#include "workers/processors/pixels.h"

#define WEBP_QUALITY 80 /* of 100, where nothing else was asked for */

struct webp_animation;

/* In the nursery: libwebp starts no thread from now on. 0 or -1. */
int webp_stay_single(void);

/* Encodes and appends to the output. 0, or -1 after processor_fail. */
int webp_write(struct processor_context *context, int output, const struct pixels *pixels, int quality);

/* The same to the end of a buffer; one that is full is output_limit. */
int webp_encode(struct processor_context *context, const struct pixels *pixels, int quality, struct buffer *target);

/* Frames of one size, shown for duration_ms each, `loops` times (0: for ever). NULL, or -1, after
 * processor_fail. webp_animation_free(NULL) is fine. */
struct webp_animation *webp_animation_new(struct processor_context *context, int width, int height, int loops,
                                          int quality);
int webp_animation_add(struct webp_animation *animation, const struct pixels *pixels, int duration_ms);
int webp_animation_write(struct webp_animation *animation, int output);
void webp_animation_free(struct webp_animation *animation);

#endif
