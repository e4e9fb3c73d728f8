/* SPDX-License-Identifier: MIT
 * Parameters by a table, the list as JSON. */
#include "workers/processors/wordlist_options.h"

#include <stdlib.h>
#include <string.h>

#include "lib/text.h"
#include "workers/processors/parameters.h"

static int read_language(struct processor_context *context, const struct parameter_field *field,
                         const json_t *value, void *target) {
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz");

    if (length < 2 || length > 3 || text[length] != '\0')
        return processor_fail(context, "bad_parameters", "%s: a code of two or three letters", field->name);
    return text_copy((char *)target + field->offset, WORDLIST_LANGUAGE_SIZE, text);
}

static const struct parameter_field fields[] = {
    {.name = "source_language", .read = read_language, .offset = offsetof(struct wordlist_options, source)},
    {.name = "target_language", .read = read_language, .offset = offsetof(struct wordlist_options, target)},
    {.name = "max_words",
     .read = parameter_read_int,
     .offset = offsetof(struct wordlist_options, most),
     .least = 1,
     .most = WORDLIST_MOST},
    {.name = NULL},
};

int wordlist_options_read(struct processor_context *context, struct wordlist_options *options) {
    *options = (struct wordlist_options){.source = "en", .target = "en", .most = WORDLIST_MOST};
    return parameters_read_all(context, fields, options);
}

int wordlist_write(struct processor_context *context, const struct wordlist_options *options,
                   const char *backend, json_t *pairs) {
    json_t *list = json_pack("{s:s, s:s, s:s, s:O}", "source_language", options->source, "target_language",
                             options->target, "backend", backend, "word_pairs", pairs);
    char *text = list == NULL ? NULL : json_dumps(list, JSON_COMPACT);
    size_t translated = 0, index;
    json_t *pair;
    int status = -1;

    json_array_foreach(pairs, index, pair) translated +=
        json_string_length(json_object_get(pair, "target")) > 0;
    if (text == NULL)
        (void)processor_fail(context, "engine_failed", "the list could not be written");
    else if (context->outputs[0] < 0)
        status = 0;
    else
        status = processor_write(context, 0, text, strlen(text));
    processor_fact(context, -1, "pairs", json_array_size(pairs));
    processor_fact(context, -1, "translated", translated);
    free(text);
    json_decref(list);
    json_decref(pairs);
    return status;
}
