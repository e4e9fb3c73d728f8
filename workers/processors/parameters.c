/* SPDX-License-Identifier: MIT
 * Parameters by tables. */
#include "workers/processors/parameters.h"

#include <stdbool.h>
#include <string.h>

#include "lib/text.h"

#define COLOUR_TEXT_BYTES 7 /* #rrggbb */
#define NAME_SHOWN 40

json_t *parameters_parse(struct processor_context *context) {
    json_t *parameters = context->parameters[0] == '\0'
                             ? json_object()
                             : json_loads(context->parameters, JSON_REJECT_DUPLICATES, NULL);

    if (json_is_object(parameters))
        return parameters;
    json_decref(parameters);
    (void)processor_fail(context, "bad_parameters", "parameters are not a JSON object");
    return NULL;
}

int parameters_read(struct processor_context *context, const struct parameter_field *fields,
                    const json_t *object, void *target) {
    const char *name;
    json_t *value;

    if (!json_is_object(object))
        return processor_fail(context, "bad_parameters", "an object is expected");
    json_object_foreach((json_t *)(uintptr_t)object, name, value) {
        const struct parameter_field *field = fields;
        while (field->name != NULL && strcmp(field->name, name) != 0)
            field++;
        if (field->name == NULL)
            return processor_fail(context, "bad_parameters", "unknown parameter %.*s", NAME_SHOWN, name);
        if (field->read(context, field, value, target) != 0)
            return -1;
    }
    return 0;
}

int parameters_read_all(struct processor_context *context, const struct parameter_field *fields, void *target) {
    json_t *parameters = parameters_parse(context);
    int status = parameters == NULL ? -1 : parameters_read(context, fields, parameters, target);

    json_decref(parameters);
    return status;
}

int parameter_read_int(struct processor_context *context, const struct parameter_field *field,
                       const json_t *value, void *target) {
    int *member = (int *)(void *)((char *)target + field->offset);

    if (!json_is_integer(value) || json_integer_value(value) < field->least ||
        json_integer_value(value) > field->most)
        return processor_fail(context, "bad_parameters", "%s: a number from %d to %d", field->name,
                              field->least, field->most);
    *member = (int)json_integer_value(value);
    return 0;
}

int parameter_word(struct processor_context *context, const char *name, const char *const *words,
                   const json_t *value) {
    char list[100] = "";

    for (int i = 0; words[i] != NULL; i++) {
        if (json_is_string(value) && strcmp(json_string_value(value), words[i]) == 0)
            return i;
        (void)text_format(list + strlen(list), sizeof list - strlen(list), "%s%s", i == 0 ? "" : ", ",
                          words[i]);
    }
    return processor_fail(context, "bad_parameters", "%s: one of %s", name, list);
}

int parameter_read_word(struct processor_context *context, const struct parameter_field *field,
                        const json_t *value, void *target) {
    int *member = (int *)(void *)((char *)target + field->offset);

    *member = parameter_word(context, field->name, field->words, value);
    return *member < 0 ? -1 : 0;
}

int parameter_read_flag(struct processor_context *context, const struct parameter_field *field,
                        const json_t *value, void *target) {
    if (!json_is_boolean(value))
        return processor_fail(context, "bad_parameters", "%s: true or false", field->name);
    *(bool *)(void *)((char *)target + field->offset) = json_is_true(value);
    return 0;
}

int parameter_read_colour(struct processor_context *context, const struct parameter_field *field,
                          const json_t *value, void *target) {
    static const struct { const char *name, *colour; } names[] = {{"white", "#ffffff"}, {"black", "#000000"}};
    unsigned char *member = (unsigned char *)target + field->offset;
    const char *text = json_is_string(value) ? json_string_value(value) : "";

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i].name) == 0)
            text = names[i].colour;
    }
    if (strlen(text) != COLOUR_TEXT_BYTES || text[0] != '#' || text_hex_decode(member, 3, text + 1) != 0)
        return processor_fail(context, "bad_parameters", "%s: a colour such as #ffffff", field->name);
    return 0;
}

int parameter_read_ignored(struct processor_context *context, const struct parameter_field *field,
                           const json_t *value, void *target) {
    return 0;
}
