/* SPDX-License-Identifier: MIT
 * The baseline of bench/per_document.py: what a short program on libvips alone makes of the same pictures, without
 * sandbox, limits or a process per document. `images_plain QUALITY FILE…` writes nothing but the count. */
#include <stdio.h>
#include <stdlib.h>
#include <vips/vips.h>

static const int sizes[] = {400, 1600};

static int make_variant(const char *path, int size, int quality) {
    VipsImage *image = NULL;
    void *bytes = NULL;
    size_t length = 0;
    int status = vips_thumbnail(path, &image, size, "height", size, "size", VIPS_SIZE_DOWN, NULL);

    if (status == 0)
        status = vips_webpsave_buffer(image, &bytes, &length, "Q", quality, "strip", TRUE, NULL);
    g_free(bytes);
    if (image != NULL)
        g_object_unref(image);
    return status;
}

int main(int count, char **arguments) {
    int made = 0;

    if (count < 3 || VIPS_INIT(arguments[0]) != 0)
        return 1;
    vips_concurrency_set(1);
    int quality = (int)strtol(arguments[1], NULL, 10);
    for (int i = 2; i < count; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
            made += make_variant(arguments[i], sizes[k], quality) == 0;
    printf("%d\n", made);
    vips_shutdown();
    return 0;
}
