/* SPDX-License-Identifier: MIT
 * Pictures made smaller are those that libvips' own operations make, where it may not write code as it runs.
 * One step of brightness is left to another machine's sine and rounding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <vips/vips.h>

#include <vips/vector.h>

#define WIDTH 211
#define HEIGHT 157

static const double factors[] = {1.002, 1.125, 1.5, 2.25, 3.1, 7.3};
#define FACTOR_COUNT (sizeof factors / sizeof factors[0])

/* Noise with hard edges: sums fall below 0 and above 255. */
static VipsImage *noise(int bands, VipsBandFormat format) {
    static VipsPel pels[WIDTH * HEIGHT * 4];
    VipsImage *image, *cast = NULL;
    uint32_t state = 1;

    for (size_t i = 0; i < sizeof pels; i++) {
        state = state * 1664525 + 1013904223;
        pels[i] = (VipsPel)(state >> 31 ? state >> 16 : (state >> 30) * 255);
    }
    image = vips_image_new_from_memory(pels, (size_t)(WIDTH * HEIGHT * bands), WIDTH, HEIGHT, bands,
                                       VIPS_FORMAT_UCHAR);
    assert_int_equal(vips_cast(image, &cast, format, NULL), 0);
    g_object_unref(image);
    return cast;
}

/* The operation itself, whatever the function of its name does. */
static int operation(const char *name, VipsImage *in, VipsImage **out, double factor, ...) {
    va_list options;
    int status;

    va_start(options, factor);
    status = vips_call_split(name, options, in, out, factor);
    va_end(options);
    return status;
}

/* Takes the image. */
static VipsPel *pels_of(VipsImage *image, bool part, size_t *size) {
    int left = part ? image->Xsize / 3 : 0, top = part ? image->Ysize / 3 : 0;
    VipsImage *shown = NULL;
    VipsPel *pels;

    assert_int_equal(vips_crop(image, &shown, left, top, image->Xsize - left, image->Ysize - top, NULL), 0);
    pels = vips_image_write_to_memory(shown, size);
    assert_non_null(pels);
    g_object_unref(shown);
    g_object_unref(image);
    return pels;
}

/* Takes both. A part doesn't begin at the edge. */
static void compare(VipsImage *ours, VipsImage *theirs, bool part) {
    size_t size, expected;

    assert_int_equal(ours->Xsize, theirs->Xsize);
    assert_int_equal(ours->Ysize, theirs->Ysize);
    assert_int_equal(ours->BandFmt, theirs->BandFmt);
    VipsPel *made = pels_of(ours, part, &size), *wanted = pels_of(theirs, part, &expected);
    assert_int_equal(size, expected);
    for (size_t i = 0; i < size; i++)
        assert_in_range(made[i] - wanted[i] + 1, 0, 2);
    g_free(made);
    g_free(wanted);
}

static void compare_one(VipsImage *in, double factor, double gap, bool down, bool part) {
    VipsImage *ours = NULL, *theirs = NULL;
    int status = down ? vips_reducev(in, &ours, factor, "gap", gap, NULL)
                      : vips_reduceh(in, &ours, factor, "gap", gap, NULL);

    assert_int_equal(status, 0);
    assert_int_equal(operation(down ? "reducev" : "reduceh", in, &theirs, factor, "gap", gap, NULL), 0);
    compare(ours, theirs, part);
}

static void compare_all(VipsImage *in, double gap) {
    for (size_t i = 0; i < FACTOR_COUNT * 4; i++)
        compare_one(in, factors[i / 4], gap, i % 2 == 0, i % 4 < 2);
    g_object_unref(in);
}

static void test_photos(void **state) {
    (void)state;
    for (int bands = 1; bands <= 4; bands++)
        compare_all(noise(bands, VIPS_FORMAT_UCHAR), 0.0);
}

static void test_gap(void **state) {
    (void)state;
    compare_all(noise(3, VIPS_FORMAT_UCHAR), 2.0);
    compare_all(noise(3, VIPS_FORMAT_UCHAR), 1.0);
}

static void test_others_are_left_to_libvips(void **state) {
    VipsImage *in = noise(3, VIPS_FORMAT_UCHAR), *ours = NULL, *theirs = NULL;

    (void)state;
    compare_all(noise(3, VIPS_FORMAT_FLOAT), 2.0);
    compare_one(in, 1.0, 0.0, true, false);
    assert_int_equal(vips_reduceh(in, &ours, WIDTH * 3.0, NULL), -1);
    assert_int_equal(vips_reducev(in, &ours, 1.7, "kernel", VIPS_KERNEL_LINEAR, NULL), 0);
    assert_int_equal(operation("reducev", in, &theirs, 1.7, "kernel", VIPS_KERNEL_LINEAR, NULL), 0);
    compare(ours, theirs, false);
    g_object_unref(in);
}

/* What makes thumbnails is served: libvips' own sums would be coarser, now that it may write code. */
static void test_resizing(void **state) {
    VipsImage *in = noise(3, VIPS_FORMAT_UCHAR), *resized = NULL, *down = NULL, *both = NULL;

    (void)state;
    vips_vector_set_enabled(TRUE);
    assert_int_equal(vips_resize(in, &resized, 0.7, NULL), 0);
    vips_vector_set_enabled(FALSE);
    assert_int_equal(operation("reducev", in, &down, 1 / 0.7, NULL), 0);
    assert_int_equal(operation("reduceh", down, &both, 1 / 0.7, NULL), 0);
    compare(resized, both, false);
    g_object_unref(down);
    g_object_unref(in);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_photos),
        cmocka_unit_test(test_gap),
        cmocka_unit_test(test_others_are_left_to_libvips),
        cmocka_unit_test(test_resizing),
    };

    if (VIPS_INIT("image_reduce_test") != 0)
        return 1;
    vips_vector_set_enabled(FALSE);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    vips_shutdown();
    return failed;
}
