/* SPDX-License-Identifier: MIT
 * `filemill run --list`: the processors that the catalog offers, with the outputs and limits of their rows.
 */
#include "oneshot/list.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "proto/catalog.h"
#include "proto/processors.h"

#define MIB (1024 * 1024)

static const char *const type_words[PARAMETER_TYPE_COUNT] = {
    [PARAMETER_INTEGER] = "number", [PARAMETER_SHARE] = "share",        [PARAMETER_FLAG] = "true or false",
    [PARAMETER_CHOICE] = "one",     [PARAMETER_CHOICES] = "list",       [PARAMETER_INTEGERS] = "numbers",
    [PARAMETER_TEXT] = "text",      [PARAMETER_COLOUR] = "colour",      [PARAMETER_PAGES] = "pages",
    [PARAMETER_OBJECT] = "object",  [PARAMETER_LANGUAGES] = "languages"};

/* NULL: internal, or nothing to run. */
static const struct catalog_row *offered(const struct processor_row *row) {
    return row->profile == PROFILE_NONE ? NULL : catalog_find(row->name);
}

static void print_parameters(const struct parameter_row *parameter, FILE *stream) {
    for (; parameter != NULL && parameter->name != NULL; parameter++) {
        fprintf(stream, "  parameter  %-20s %s%s%s", parameter->name, type_words[parameter->type],
                parameter->choices != NULL ? " of " : "",
                parameter->choices != NULL ? parameter->choices : "");
        if (parameter->fallback != NULL)
            fprintf(stream, " (%s)", parameter->fallback);
        fprintf(stream, "%s%s\n", parameter->description != NULL ? ": " : "",
                parameter->description != NULL ? parameter->description : "");
    }
}

static void print_row(const struct processor_row *row, const struct catalog_row *catalog, FILE *stream) {
    fprintf(stream, "%s: %s\n", row->name, catalog->summary);
    for (size_t i = 0; i < row->output_count; i++)
        if (!row->outputs[i].is_part)
            fprintf(stream, "  output     %-20s %s\n", row->outputs[i].kind, row->outputs[i].mime);
    print_parameters(catalog->parameters, stream);
    fprintf(stream,
            "  limits     wall %" PRIu64 " s, silence %" PRIu64 " s, cpu %" PRIu64 " s, memory %" PRIu64
            " MiB, outputs %" PRIu64 " MiB\n\n",
            row->wall_ms / 1000, row->no_progress_ms / 1000, row->cpu_seconds, row->memory_bytes / MIB,
            row->output_bytes / MIB);
}

static json_t *describe_parameters(const struct parameter_row *parameter) {
    json_t *list = json_array();

    for (; parameter != NULL && parameter->name != NULL; parameter++) {
        json_t *one =
            json_pack("{ss ss ss* ss*}", "name", parameter->name, "type", type_words[parameter->type],
                      "choices", parameter->choices, "description", parameter->description);
        if (parameter->fallback != NULL)
            json_object_set_new(one, "default", json_loads(parameter->fallback, JSON_DECODE_ANY, NULL));
        if (parameter->members != NULL)
            json_object_set_new(one, "members", describe_parameters(parameter->members));
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *describe_row(const struct processor_row *row, const struct catalog_row *catalog) {
    json_t *outputs = json_array();

    for (size_t i = 0; i < row->output_count; i++)
        if (!row->outputs[i].is_part)
            json_array_append_new(outputs,
                                  json_pack("{ss ss ss}", "kind", row->outputs[i].kind, "extension",
                                            row->outputs[i].extension, "mime", row->outputs[i].mime));
    return json_pack("{ss ss so so s{sI sI sI sI sI}}", "type", row->name, "summary", catalog->summary,
                     "outputs", outputs, "parameters", describe_parameters(catalog->parameters), "limits",
                     "wall_ms", (json_int_t)row->wall_ms, "no_progress_ms", (json_int_t)row->no_progress_ms,
                     "cpu_seconds", (json_int_t)row->cpu_seconds, "memory_bytes",
                     (json_int_t)row->memory_bytes, "output_bytes", (json_int_t)row->output_bytes);
}

int list_print(bool json, FILE *stream) {
    json_t *rows = json_array();

    for (size_t i = 0; i < processor_row_count; i++) {
        const struct catalog_row *catalog = offered(&processor_rows[i]);
        if (catalog == NULL)
            continue;
        if (json)
            json_array_append_new(rows, describe_row(&processor_rows[i], catalog));
        else
            print_row(&processor_rows[i], catalog, stream);
    }
    if (json && (json_dumpf(rows, stream, JSON_INDENT(1)) != 0 || fputc('\n', stream) == EOF)) {
        json_decref(rows);
        return -1;
    }
    json_decref(rows);
    return fflush(stream) == 0 && ferror(stream) == 0 ? 0 : -1;
}
