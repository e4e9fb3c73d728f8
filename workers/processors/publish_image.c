/* SPDX-License-Identifier: MIT
 * Pictures for publishing: what image_variants makes without parameters, 400 and 1600 px as WebP. Its input
 * may come from a source outside, of which nobody has said what it is: here its first bytes do. Only pictures
 * are published. */
#include "lib/text.h"
#include "proto/plan.h"
#include "workers/processor.h"
#include "workers/processors/engines.h"

extern const struct processor processor_image_variants;

static int warm(void) {
    return processor_image_variants.warm();
}

static int run(struct processor_context *context) {
    const char *media_type = media_type_sniff(context->input, context->input_size);

    if (media_type == NULL || !text_starts_with(media_type, "image/"))
        return processor_fail(context, "unsupported_input", "%s is no picture",
                              media_type == NULL ? "it" : media_type);
    context->mime = media_type;
    return processor_image_variants.run(context);
}

const struct processor processor_publish_image = {
    .name = "publish_image", .warm = warm, .run = run, .engines = {engine_vips}};
