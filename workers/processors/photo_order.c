/* SPDX-License-Identifier: MIT
 * The parameters of portal_photo:
 *
 *   {"preset": "NEET 2026", "schema": {"target_width": 200, "target_height": 230, "target_dpi": 200,
 *    "min_kb": 10, "max_kb": 100, "output_format": "jpeg", "quality": 85, "min_quality": 30,
 *    "background": "#ffffff"}, "crop": "centre", "denoise": "auto", "clahe": "auto", "ocr": false}
 *
 * A schema's members may also be called width_px, height_px, dpi and format; filename_pattern is accepted and
 * left to whoever names the file. "portal_schema": {"id", "name", "version", "schema_definition"} is read as
 * well. Members of the schema go over those of the preset. "crop" is "centre", "attention" or {"left", "top",
 * "width", "height"} in shares of the upright picture. */
#include <string.h>

#include "lib/text.h"
#include "workers/processors/parameters.h"
#include "workers/processors/photo.h"

#define QUALITY 95 /* highest and lowest, unless a preset or the schema says */
#define MIN_QUALITY 30

const char *const photo_format_names[PHOTO_FORMAT_COUNT + 1] = {"jpeg", "png", NULL};
const char *const photo_crop_names[] = {"centre", "attention", "box", NULL};
static const char *const choice_words[] = {"auto", "on", "off", NULL};

static int read_format(struct processor_context *context, const struct parameter_field *field,
                       const json_t *value, void *target) {
    struct photo_schema *schema = target;

    schema->format = PHOTO_JPEG;
    if (json_is_string(value) && strcmp(json_string_value(value), "jpg") == 0)
        return 0;
    return parameter_read_word(context, field, value, target);
}

#define NUMBER(field_name, member, low, high)                                                                \
    {                                                                                                        \
        .name = field_name, .read = parameter_read_int, .offset = offsetof(struct photo_schema, member),     \
        .least = (low), .most = (high)                                                                       \
    }
#define FORMAT(field_name)                                                                                   \
    {                                                                                                        \
        .name = field_name, .read = read_format, .offset = offsetof(struct photo_schema, format),            \
        .words = photo_format_names                                                                          \
    }

static const struct parameter_field schema_fields[] = {
#define PORTAL_NUMBER(field_name, member, low, high) NUMBER(field_name, member, low, high),
#define PORTAL_FORMAT(field_name) FORMAT(field_name),
#define PORTAL_COLOUR(field_name)                                                                            \
    {.name = field_name, .read = parameter_read_colour, .offset = offsetof(struct photo_schema, background)},
#define PORTAL_TEXT(field_name) {.name = field_name, .read = parameter_read_ignored},
#include "proto/portal_schema.def"
    {.name = NULL},
};

static int read_schema(struct processor_context *context, const struct parameter_field *field,
                       const json_t *value, void *target) {
    return parameters_read(context, schema_fields, value, &((struct photo_order *)target)->schema);
}

/* The name of a schema is a label, not a preset, once it brings its own definition. */
static int read_name(struct processor_context *context, const struct parameter_field *field,
                     const json_t *value, void *target) {
    struct photo_order *order = target;

    if (!json_is_string(value))
        return processor_fail(context, "bad_parameters", "%s: a text", field->name);
    (void)text_copy(order->schema.name, sizeof order->schema.name, json_string_value(value));
    return 0;
}

static int read_portal_schema(struct processor_context *context, const struct parameter_field *field,
                              const json_t *value, void *target) {
    static const struct parameter_field fields[] = {
        {.name = "id", .read = parameter_read_ignored},
        {.name = "version", .read = parameter_read_ignored},
        {.name = "name", .read = read_name},
        {.name = "schema_definition", .read = read_schema},
        {.name = NULL},
    };

    return parameters_read(context, fields, value, target);
}

/* --- the rest ------------------------------------------------------------------------------------ */

static int read_share(struct processor_context *context, const struct parameter_field *field,
                      const json_t *value, void *target) {
    double *member = (double *)(void *)((char *)target + field->offset);

    *member = json_number_value(value);
    if (!json_is_number(value) || !(*member >= 0) || *member > 1)
        return processor_fail(context, "bad_parameters", "crop: %s is a share from 0 to 1", field->name);
    return 0;
}

static int read_crop(struct processor_context *context, const struct parameter_field *field,
                     const json_t *value, void *target) {
    static const struct parameter_field fields[] = {
        {.name = "left", .read = read_share, .offset = offsetof(struct photo_box, left)},
        {.name = "top", .read = read_share, .offset = offsetof(struct photo_box, top)},
        {.name = "width", .read = read_share, .offset = offsetof(struct photo_box, width)},
        {.name = "height", .read = read_share, .offset = offsetof(struct photo_box, height)},
        {.name = NULL},
    };
    struct photo_order *order = target;
    struct photo_box *box = &order->box;

    if (!json_is_object(value))
        return parameter_read_word(context, field, value, target);
    order->crop = PHOTO_BOX;
    if (parameters_read(context, fields, value, box) != 0)
        return -1;
    if (!(box->width > 0) || !(box->height > 0) || box->left + box->width > 1 || box->top + box->height > 1)
        return processor_fail(context, "bad_parameters", "crop: the box must lie in the picture");
    return 0;
}

int photo_filename_read(struct processor_context *context, const struct parameter_field *field,
                        const json_t *value, void *target) {
    const char *name = json_string_value(value);

    if (name == NULL || name[0] == '.' ||
        name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")] != '\0' ||
        text_copy((char *)target + field->offset, PHOTO_FILENAME_SIZE, name) != 0)
        return processor_fail(context, "bad_parameters", "%s: a plain file name", field->name);
    return 0;
}

static const struct parameter_field order_fields[] = {
    {.name = "preset", .read = parameter_read_ignored}, /* was read before all others */
    {.name = "schema", .read = read_schema},
    {.name = "portal_schema", .read = read_portal_schema},
    /* a box is not a word */
    {.name = "crop",
     .read = read_crop,
     .offset = offsetof(struct photo_order, crop),
     .words = (const char *const[]){"centre", "attention", NULL}},
    {.name = "denoise",
     .read = parameter_read_word,
     .offset = offsetof(struct photo_order, denoise),
     .words = choice_words},
    {.name = "clahe",
     .read = parameter_read_word,
     .offset = offsetof(struct photo_order, clahe),
     .words = choice_words},
    {.name = "filename", .read = photo_filename_read, .offset = offsetof(struct photo_order, filename)},
    {.name = "ocr", .read = parameter_read_flag, .offset = offsetof(struct photo_order, ocr)},
    {.name = NULL},
};

static int read_preset(struct processor_context *context, const json_t *parameters,
                       struct photo_order *order) {
    const json_t *preset = json_object_get(parameters, "preset");
    const json_t *portal = json_object_get(parameters, "portal_schema");

    if (preset == NULL && json_object_get(portal, "schema_definition") == NULL)
        preset = json_object_get(portal, "name");
    if (preset == NULL)
        return 0;
    if (json_is_string(preset) && photo_preset(json_string_value(preset), &order->schema))
        return 0;
    return processor_fail(context, "bad_parameters", "preset: there is none of this name");
}

static int check_order(struct processor_context *context, const struct photo_schema *schema) {
    if (schema->width == 0 || schema->height == 0)
        return processor_fail(context, "bad_parameters",
                              "schema: a preset, or target_width and target_height");
    if (schema->min_quality > schema->quality)
        return processor_fail(context, "bad_parameters", "schema: min_quality is above quality");
    if (schema->max_kb != 0 && schema->min_kb * 1024 > schema->max_kb * 1000)
        return processor_fail(context, "bad_parameters",
                              "schema: no size is at least %d KiB and at most %d kB", schema->min_kb,
                              schema->max_kb);
    return 0;
}

/* What was left out goes along with what was given. */
static void fill_quality(struct photo_schema *schema) {
    if (schema->quality == 0)
        schema->quality = schema->min_quality > QUALITY ? schema->min_quality : QUALITY;
    if (schema->min_quality == 0)
        schema->min_quality = schema->quality < MIN_QUALITY ? schema->quality : MIN_QUALITY;
}

int photo_order_read(struct processor_context *context, struct photo_order *order) {
    json_t *parameters = parameters_parse(context);
    int status;

    *order = (struct photo_order){.schema = {.dpi = 200, .background = {255, 255, 255}}};
    if (parameters == NULL)
        return -1;
    status = read_preset(context, parameters, order);
    if (status == 0)
        status = parameters_read(context, order_fields, parameters, order);
    json_decref(parameters);
    fill_quality(&order->schema);
    return status == 0 ? check_order(context, &order->schema) : -1;
}
