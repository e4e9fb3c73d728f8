/* SPDX-License-Identifier: MIT
 * The calls that processors make, and the table that pairs each row of proto/processors.def with its code:
 * a row without a file, or the other way round, fails to link. */
#include "workers/processor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/text.h"

#define OUTPUT(...)
#define PART(...)
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

int processor_fail(struct processor_context *context, const char *code, const char *format, ...) {
    va_list arguments;

    if (context->error != NULL)
        return -1;
    context->error = code;
    va_start(arguments, format);
    (void)vsnprintf(context->detail, sizeof context->detail, format, arguments);
    va_end(arguments);
    return -1;
}

void processor_fact(struct processor_context *context, int output, const char *name, uint64_t number) {
    struct processor_fact *fact;

    if (context->fact_count == PROCESSOR_MAX_FACTS)
        return;
    fact = &context->facts[context->fact_count++];
    fact->output = output;
    fact->number = number;
    (void)text_copy(fact->name, sizeof fact->name, name);
}

void processor_progress(struct processor_context *context, uint64_t done, uint64_t total) {
    atomic_store_explicit(&context->progress->total, total, memory_order_relaxed);
    atomic_store_explicit(&context->progress->done, done, memory_order_relaxed);
}

int processor_write(struct processor_context *context, int output, const void *bytes, size_t size) {
    const char *from = bytes;

    while (size > 0) {
        ssize_t count = write(context->outputs[output], from, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return processor_fail(context, errno == ENOSPC || errno == EFBIG ? "output_limit" : "engine_failed",
                                  "output not written: errno %d", errno);
        from += count;
        size -= (size_t)count;
        context->written[output] += (uint64_t)count;
    }
    return 0;
}
