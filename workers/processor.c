/* SPDX-License-Identifier: MIT
 * The table that pairs each row of proto/processors.def with its code: a row without a file, or the other way
 * round, fails to link. */
#include "workers/processor.h"

#include <stdbool.h>

#include "lib/log.h"

#define OUTPUT(...)
#define PART(...)
#define OUTPUT_AT(...)
#define OUTPUT_NONE
#define OUTPUTS(...)
#define PROCESSOR(name, ...) extern const struct processor processor_##name;
#include "proto/processors.def"
#undef PROCESSOR

static const struct processor *const processors[] = {
#define PROCESSOR(name, ...) &processor_##name,
#include "proto/processors.def"
#undef PROCESSOR
};

const struct processor *processor_of(const struct processor_row *row) {
    size_t index = (size_t)(row - processor_rows);

    return index < sizeof processors / sizeof processors[0] ? processors[index] : NULL;
}

int processors_warm(void) {
    for (size_t i = 0; i < sizeof processors / sizeof processors[0]; i++) {
        if (processors[i]->warm != NULL && processors[i]->warm() != 0) {
            log_error("processor=%s state=cold", processors[i]->name);
            return -1;
        }
    }
    return 0;
}

int processor_prepare(const struct processor_row *row) {
    static bool prepared[sizeof processors / sizeof processors[0]];
    const struct processor *processor = processor_of(row);
    size_t index = (size_t)(row - processor_rows);

    if (processor == NULL)
        return -1;
    if (prepared[index] || processor->warm_first == NULL)
        return 0;
    if (processor->warm_first() != 0) {
        log_error("processor=%s state=cold", processor->name);
        return -1;
    }
    prepared[index] = true;
    return 0;
}
