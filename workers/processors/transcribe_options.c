/* SPDX-License-Identifier: MIT
 * Reading transcribe's parameters. */
#include "workers/processors/transcribe_options.h"

#include <string.h>

#include "lib/text.h"
#include "workers/processors/parameters.h"

static int is_language(const char *code) {
    size_t letters = strspn(code, "abcdefghijklmnopqrstuvwxyz");
    const char *region = code + letters;

    if (letters < 2 || letters > 3)
        return 0;
    if (*region == '\0')
        return 1;
    letters = strspn(region + 1, "abcdefghijklmnopqrstuvwxyz0123456789");
    return *region == '-' && letters >= 2 && letters <= 4 && region[1 + letters] == '\0';
}

static int read_language(struct processor_context *context, const struct parameter_field *field,
                         const json_t *value, void *target) {
    char *language = (char *)target + field->offset;
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    int is_short = text_copy(language, TRANSCRIBE_LANGUAGE_SIZE, text) == 0;

    for (char *at = language; *at != '\0'; at++)
        *at = *at == '_' ? '-' : text_lower(*at);
    if (!is_short || !is_language(language))
        return processor_fail(context, "bad_parameters", "language: a code such as en or pt-br");
    return 0;
}

static const struct parameter_field fields[] = {
    {.name = "language", .read = read_language, .offset = offsetof(struct transcribe_options, language)},
    {.name = NULL},
};

int transcribe_options_read(struct processor_context *context, struct transcribe_options *options) {
    *options = (struct transcribe_options){.language = ""};
    return parameters_read_all(context, fields, options);
}
