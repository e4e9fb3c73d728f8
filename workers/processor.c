/* SPDX-License-Identifier: MIT
 * The table that pairs each row of proto/processors.def with its code, compiled once for each nursery: a row of this
 * one (NURSERY) without a file fails to link, a row of another has none here. */
#include "workers/processor.h"

#include <stdbool.h>
#include <string.h>

#include "lib/log.h"
#include "lib/text.h"
#include "workers/nursery.h"

#define OUTPUT(...)
#define PART(...)
#define OUTPUT_AT(...)
#define OUTPUT_NONE
#define OUTPUTS(...)
#define PROCESSOR(name, ...) extern const struct processor processor_##name;
#include "proto/processors.def"
#undef PROCESSOR

static const struct processor *const processors[] = {
#define PROCESSOR(name, nursery, ...) NURSERY_##nursery == NURSERY ? &processor_##name : NULL,
#include "proto/processors.def"
#undef PROCESSOR
};

enum processor_nursery nursery_which(void) {
    return NURSERY;
}

const struct processor *processor_of(const struct processor_row *row) {
    size_t index = (size_t)(row - processor_rows);

    return index < sizeof processors / sizeof processors[0] ? processors[index] : NULL;
}

int processors_warm(void) {
    for (size_t i = 0; i < sizeof processors / sizeof processors[0]; i++) {
        if (processors[i] != NULL && processors[i]->warm != NULL && processors[i]->warm() != 0) {
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

int processors_describe_engines(char *target, size_t size) {
    size_t length = 0;
    int broken = 0;

    target[0] = '\0';
    for (size_t i = 0; i < sizeof processors / sizeof processors[0]; i++) {
        if (processors[i] == NULL || processors[i]->engines[0] == NULL)
            continue;
        broken |= text_format(target + length, size - length, "%s%s=", length == 0 ? "" : ";", processors[i]->name);
        length += strlen(target + length);
        for (size_t j = 0; j < PROCESSOR_MAX_ENGINES && processors[i]->engines[j] != NULL; j++) {
            broken |= text_format(target + length, size - length, "%s%s", j == 0 ? "" : " ",
                                  processors[i]->engines[j]());
            length += strlen(target + length);
        }
    }
    return broken != 0 ? -1 : 0;
}
