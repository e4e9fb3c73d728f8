/* SPDX-License-Identifier: MIT
 * The processors for people (`filemill run --list`): rows of proto/processors.def with the parameters that
 * the processors' own files name. All texts are ours and plain; examples are JSON. */
#include "workers/processor_list.h"

#include <inttypes.h>

#include "workers/processor.h"

#define MIB (1024 * 1024)

static void print_row(const struct processor_row *row, const struct processor_parameter *parameter,
                      FILE *stream) {
    fprintf(stream, "%s\n", row->name);
    for (size_t i = 0; i < row->output_count; i++)
        fprintf(stream, "  output     %-28s %s\n", row->outputs[i].kind, row->outputs[i].mime);
    for (; parameter != NULL && parameter->name != NULL; parameter++)
        fprintf(stream, "  parameter  %-28s %s, such as %s\n", parameter->name, parameter->help,
                parameter->example);
    fprintf(stream,
            "  limits     wall %" PRIu64 " s, silence %" PRIu64 " s, cpu %" PRIu64 " s, memory %" PRIu64
            " MiB, outputs %" PRIu64 " MiB\n\n",
            row->wall_ms / 1000, row->no_progress_ms / 1000, row->cpu_seconds, row->memory_bytes / MIB,
            row->output_bytes / MIB);
}

static void print_json_row(const struct processor_row *row, const struct processor_parameter *parameter,
                           FILE *stream) {
    fprintf(stream, "{\"type\":\"%s\",\"outputs\":[", row->name);
    for (size_t i = 0; i < row->output_count; i++)
        fprintf(stream, "%s{\"kind\":\"%s\",\"extension\":\"%s\",\"mime\":\"%s\"}", i == 0 ? "" : ",",
                row->outputs[i].kind, row->outputs[i].extension, row->outputs[i].mime);
    fputs("],\"parameters\":[", stream);
    for (size_t i = 0; parameter != NULL && parameter[i].name != NULL; i++)
        fprintf(stream, "%s{\"name\":\"%s\",\"example\":%s,\"help\":\"%s\"}", i == 0 ? "" : ",",
                parameter[i].name, parameter[i].example, parameter[i].help);
    fprintf(stream,
            "],\"limits\":{\"wall_ms\":%" PRIu64 ",\"no_progress_ms\":%" PRIu64 ",\"cpu_seconds\":%" PRIu64
            ",\"memory_bytes\":%" PRIu64 ",\"output_bytes\":%" PRIu64 "}}",
            row->wall_ms, row->no_progress_ms, row->cpu_seconds, row->memory_bytes, row->output_bytes);
}

int processor_list_print(bool json, FILE *stream) {
    const char *separator = "[";

    for (size_t i = 0; i < processor_row_count; i++) {
        const struct processor_row *row = &processor_rows[i];
        if (row->profile == PROFILE_NONE)
            continue;
        if (json) {
            fputs(separator, stream);
            print_json_row(row, processor_of(row)->parameters, stream);
            separator = ",\n";
        } else {
            print_row(row, processor_of(row)->parameters, stream);
        }
    }
    if (json)
        fputs("]\n", stream);
    return ferror(stream) == 0 && fflush(stream) == 0 ? 0 : -1;
}
