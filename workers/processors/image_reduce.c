/* SPDX-License-Identifier: MIT
 * libvips makes pictures smaller with code that it writes as it runs. A runner may not have such code, and
 * what libvips does instead sums value by value; across, it always does. Here are the same sums with vectors
 * that the compiler knows for every machine. vips_reducev and vips_reduceh are replaced for the whole
 * nursery, for pictures of 8 bits; the rest goes on to libvips. Weights, rounding and edges are those of its
 * plain code (8.14), to the bit: sums are whole numbers below 2^24, and so exact as floats. */
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <vips/vips.h>

#define LOBES 3 /* of Lanczos' kernel */
#define POINTS_MAX 64
#define BANDS_MAX 4
#define BLOCK 512 /* sums that stay close to the processor */
#define HALF (VIPS_INTERPOLATE_SCALE / 2)

typedef float four __attribute__((vector_size(16)));

struct reduction {
    double factor, offset;
    int points;
    four weights[VIPS_TRANSFORM_SCALE + 1][POINTS_MAX]; /* for steps between two pixels; each four times */
};

/* --- weights ------------------------------------------------------------------------------------- */

static int points_of(double factor) {
    return 2 * (int)rint(LOBES * factor) + 1;
}

static double lanczos(double x) {
    if (x == 0.0)
        return 1.0;
    return fabs(x) > LOBES
               ? 0.0
               : LOBES * sin(VIPS_PI * x) * sin(VIPS_PI * x / LOBES) / (VIPS_PI * VIPS_PI * x * x);
}

static void weigh(struct reduction *reduction, int step) {
    double middle = (double)step / VIPS_TRANSFORM_SCALE + reduction->points / 2.0 - 1;
    double weights[POINTS_MAX], sum = 0;

    for (int i = 0; i < reduction->points; i++)
        sum += weights[i] = lanczos((i - middle) / reduction->factor);
    for (int i = 0; i < reduction->points; i++) {
        float weight = (float)(int)(weights[i] / sum * VIPS_INTERPOLATE_SCALE);
        reduction->weights[step][i] = (four){weight, weight, weight, weight};
    }
}

static const four *weights_at(const struct reduction *reduction, double position) {
    int step = (int)(position * VIPS_TRANSFORM_SCALE * 2) & (VIPS_TRANSFORM_SCALE * 2 - 1);

    return reduction->weights[(step + 1) >> 1];
}

/* The first of a region's pixels in the way that it is reduced is made from here. */
static double first_position(const struct reduction *reduction, int first) {
    return (first + 0.5) * reduction->factor - 0.5 - reduction->offset;
}

/* What is needed of the original for so many from the first on. */
static void set_needed(const struct reduction *reduction, int first, int count, int *needed_first,
                       int *needed_count) {
    *needed_first = (int)(first * reduction->factor - reduction->offset);
    *needed_count = (int)(count * reduction->factor) + reduction->points;
}

/* --- sums ---------------------------------------------------------------------------------------- */

static VipsPel *pel_at(const VipsRegion *region, int x, int y) {
    int bands = region->im->Bands; /* of one byte */

    return region->data + (ptrdiff_t)(y - region->valid.top) * region->bpl + (x - region->valid.left) * bands;
}

static void to_pels(const float *sums, VipsPel *out, int count) {
    for (int k = 0; k < count; k++) {
        int value = (int)sums[k] >> VIPS_INTERPOLATE_SHIFT;
        out[k] = (VipsPel)(value < 0 ? 0 : value > UCHAR_MAX ? UCHAR_MAX : value);
    }
}

static void sum_columns(const four *weights, int points, const VipsPel *in, int line, VipsPel *out,
                        int count) {
    float sums[BLOCK];

    for (int k = 0; k < count; k++)
        sums[k] = HALF;
    for (int i = 0; i < points; i++, in += line)
        for (int k = 0; k < count; k++)
            sums[k] += weights[i][0] * in[k];
    to_pels(sums, out, count);
}

static int generate_down(VipsRegion *out, void *sequence, void *a, void *b, gboolean *stop) {
    const struct reduction *reduction = b;
    VipsRegion *in = sequence;
    VipsRect *valid = &out->valid, needed = *valid;
    double position = first_position(reduction, valid->top);
    int count = valid->width * out->im->Bands;

    set_needed(reduction, valid->top, valid->height, &needed.top, &needed.height);
    if (vips_region_prepare(in, &needed) != 0)
        return -1;
    for (int y = valid->top; y < VIPS_RECT_BOTTOM(valid); y++, position += reduction->factor) {
        const VipsPel *from = pel_at(in, valid->left, (int)position);
        VipsPel *to = pel_at(out, valid->left, y);
        for (int done = 0; done < count; done += BLOCK)
            sum_columns(weights_at(reduction, position), reduction->points, from + done, in->bpl, to + done,
                        VIPS_MIN(BLOCK, count - done));
    }
    return 0;
}

/* The bands of a pixel are summed together. Where they are fewer than four, the rest is of the next pixel,
 * whose sums are written over it. */
static void sum_pixel(const four *weights, int points, const float *in, float *out, int bands) {
    four sum = {HALF, HALF, HALF, HALF}, pixel;

    for (int i = 0; i < points; i++, in += bands) {
        memcpy(&pixel, in, sizeof pixel);
        sum += weights[i] * pixel;
    }
    memcpy(out, &sum, sizeof sum);
}

static int generate_across(VipsRegion *out, void *sequence, void *a, void *b, gboolean *stop) {
    const struct reduction *reduction = b;
    VipsRegion *in = sequence;
    VipsRect *valid = &out->valid, needed = *valid;
    int bands = out->im->Bands, count = valid->width * bands, needed_count;
    float *from, *sums;

    set_needed(reduction, valid->left, valid->width, &needed.left, &needed.width);
    if (vips_region_prepare(in, &needed) != 0)
        return -1;
    needed_count = in->valid.width * bands;
    from = g_new0(float, (size_t)needed_count + BANDS_MAX);
    sums = g_new(float, (size_t)count + BANDS_MAX);
    for (int y = valid->top; y < VIPS_RECT_BOTTOM(valid); y++) {
        const VipsPel *pels = pel_at(in, in->valid.left, y);
        double position = first_position(reduction, valid->left);
        for (int k = 0; k < needed_count; k++)
            from[k] = pels[k];
        for (int k = 0; k < count; k += bands, position += reduction->factor)
            sum_pixel(weights_at(reduction, position), reduction->points,
                      from + ((int)position - in->valid.left) * bands, sums + k, bands);
        to_pels(sums, pel_at(out, valid->left, y), count);
    }
    g_free(from);
    g_free(sums);
    return 0;
}

/* --- the operations ------------------------------------------------------------------------------ */

static struct reduction *reduction_new(VipsImage *owner, double factor, int length, int reduced) {
    struct reduction *reduction = VIPS_NEW(owner, struct reduction);

    if (reduction == NULL)
        return NULL;
    reduction->factor = factor;
    reduction->offset = (1 + (reduced * factor - length)) / 2.0 - 1;
    reduction->points = points_of(factor);
    for (int step = 0; step <= VIPS_TRANSFORM_SCALE; step++)
        weigh(reduction, step);
    return reduction;
}

static int reduce(VipsImage *in, VipsImage **out, double factor, bool down) {
    int length = down ? in->Ysize : in->Xsize, reduced = VIPS_ROUND_UINT(length / factor);
    int points = points_of(factor), before = points / 2, status;
    VipsImage *framed = NULL, *made;
    struct reduction *reduction;

    if (vips_embed(in, &framed, down ? 0 : before, down ? before : 0, in->Xsize + (down ? 0 : points),
                   in->Ysize + (down ? points : 0), "extend", VIPS_EXTEND_COPY, NULL) != 0)
        return -1;
    made = vips_image_new();
    (void)vips_object_local(made, framed);
    reduction = reduction_new(made, factor, length, reduced);
    status = reduction == NULL ? -1 : vips_image_pipelinev(made, VIPS_DEMAND_STYLE_THINSTRIP, framed, NULL);
    *(down ? &made->Ysize : &made->Xsize) = reduced;
    if (status == 0)
        status = vips_image_generate(made, vips_start_one, down ? generate_down : generate_across,
                                     vips_stop_one, framed, reduction);
    /* As in libvips: what reads this may lag behind the rows that the file still has. */
    if (status == 0 && down && vips_image_get_typeof(made, VIPS_META_SEQUENTIAL) != 0)
        status = vips_sequential(made, out, "tile_height", 10, NULL);
    else if (status == 0)
        *out = g_object_ref(made);
    g_object_unref(made);
    return status;
}

/* Not with options that nobody gives, nor where libvips would shrink by a whole number first. */
static bool is_ours(const VipsImage *in, int length, double factor, va_list options) {
    VipsKernel kernel = VIPS_KERNEL_LANCZOS3;
    int reduced = VIPS_ROUND_UINT(length / factor);
    double gap = 0;
    const char *name;
    va_list rest;

    va_copy(rest, options);
    while ((name = va_arg(rest, const char *)) != NULL) {
        if (strcmp(name, "kernel") == 0)
            kernel = (VipsKernel)va_arg(rest, int);
        else if (strcmp(name, "gap") == 0)
            gap = va_arg(rest, double);
        else
            break;
    }
    va_end(rest);
    return name == NULL && kernel == VIPS_KERNEL_LANCZOS3 && in->BandFmt == VIPS_FORMAT_UCHAR &&
           in->Coding == VIPS_CODING_NONE && in->Bands <= BANDS_MAX && factor > 1 && reduced > 0 &&
           points_of(factor) <= POINTS_MAX && (gap <= 0 || (gap >= 1 && (double)length / reduced / gap < 2));
}

int vips_reducev(VipsImage *in, VipsImage **out, double vshrink, ...) {
    va_list options;
    int status;

    va_start(options, vshrink);
    status = is_ours(in, in->Ysize, vshrink, options) ? reduce(in, out, vshrink, true)
                                                      : vips_call_split("reducev", options, in, out, vshrink);
    va_end(options);
    return status;
}

int vips_reduceh(VipsImage *in, VipsImage **out, double hshrink, ...) {
    va_list options;
    int status;

    va_start(options, hshrink);
    status = is_ours(in, in->Xsize, hshrink, options) ? reduce(in, out, hshrink, false)
                                                      : vips_call_split("reduceh", options, in, out, hshrink);
    va_end(options);
    return status;
}
