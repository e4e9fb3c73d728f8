/* SPDX-License-Identifier: MIT
 * The table of processors, made from processors.def. */
#include "proto/processors.h"

#include <string.h>

#include "config/backends.h"

#define OUTPUTS(...) __VA_ARGS__

/* How many outputs each row names: one zero per OUTPUT, counted by sizeof. */
#define OUTPUT(kind, extension, mime) 0
#define PART(kind, extension) 0
#define OUTPUT_AT(place, kind, extension, mime) 0
#define OUTPUT_NONE
#define PROCESSOR(name, nursery, profile, wall, no_progress, cpu, memory, output, attempts, outputs)         \
    OUTPUT_COUNT_##name = sizeof((char[]){0, outputs}) - 1,
enum {
#include "proto/processors.def"
};
#undef PROCESSOR
#define PROCESSOR(name, nursery, profile, wall, no_progress, cpu, memory, output, attempts, outputs)         \
    _Static_assert(OUTPUT_COUNT_##name <= MESSAGE_MAX_OUTPUTS, "too many outputs: " #name);
#include "proto/processors.def"
#undef PROCESSOR
#undef OUTPUT
#undef PART
#undef OUTPUT_AT
#undef OUTPUT_NONE

#define OUTPUT(output_kind, output_extension, output_mime)                                                   \
    { .kind = output_kind, .extension = output_extension, .mime = output_mime }
#define PART(part_kind, part_extension)                                                                      \
    { .kind = part_kind, .extension = part_extension, .mime = "application/octet-stream", .is_part = true }
#define OUTPUT_AT(output_place, output_kind, output_extension, output_mime)                                  \
    {                                                                                                        \
        .kind = output_kind, .extension = output_extension, .mime = output_mime,                             \
        .place = PLACE_##output_place                                                                        \
    }
#define OUTPUT_NONE                                                                                          \
    { .kind = NULL }
#define PROCESSOR(row_name, row_nursery, row_profile, wall, no_progress, cpu, memory, output, row_attempts,  \
                  row_outputs)                                                                               \
    {.name = #row_name,                                                                                      \
     .nursery = NURSERY_##row_nursery,                                                                       \
     .profile = PROFILE_##row_profile,                                                                       \
     .wall_ms = UINT64_C(1000) * (wall),                                                                     \
     .no_progress_ms = UINT64_C(1000) * (no_progress),                                                       \
     .cpu_seconds = (cpu),                                                                                   \
     .memory_bytes = UINT64_C(1048576) * (memory),                                                           \
     .output_bytes = UINT64_C(1048576) * (output),                                                           \
     .max_attempts = (row_attempts),                                                                         \
     .outputs = {row_outputs},                                                                               \
     .output_count = OUTPUT_COUNT_##row_name},

const struct processor_row processor_rows[] = {
#include "proto/processors.def"
};
const size_t processor_row_count = sizeof processor_rows / sizeof processor_rows[0];

enum processor_class processor_class(const struct processor_row *row, const struct settings *settings) {
    if (row == NULL)
        return CLASS_RUNNER;
    if (row->profile == PROFILE_NONE)
        return CLASS_LIGHT;
    return row->profile == PROFILE_NETWORK || backend_is_elsewhere(settings, row->name) ? CLASS_NETWORK : CLASS_RUNNER;
}

const struct processor_row *processor_find(const char *name) {
    for (size_t i = 0; i < processor_row_count; i++) {
        if (strcmp(processor_rows[i].name, name) == 0) {
            return &processor_rows[i];
        }
    }
    return NULL;
}
