/* SPDX-License-Identifier: MIT
 * The calls that processors make, in a runner or, for network processors, in the worker. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/text.h"
#include "workers/processor.h"

int processor_fail(struct processor_context *context, const char *code, const char *format, ...) {
    va_list arguments;

    if (context->error != NULL)
        return -1;
    context->error = code;
    va_start(arguments, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start stands in the line above
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

void processor_warn(struct processor_context *context, const char *text) {
    if (context->warning_count < PROCESSOR_MAX_WARNINGS)
        (void)text_copy(context->warnings[context->warning_count++], PROCESSOR_WARNING_SIZE, text);
}

void processor_progress(struct processor_context *context, uint64_t done, uint64_t total) {
    atomic_store_explicit(&context->progress->total, total, memory_order_relaxed);
    atomic_store_explicit(&context->progress->done, done, memory_order_relaxed);
}

void processor_split(struct processor_context *context, const char *ranges) {
    if (text_copy(context->split, sizeof context->split, ranges) != 0)
        (void)processor_fail(context, "engine_failed", "too many ranges");
}

int processor_write(struct processor_context *context, int output, const void *bytes, size_t size) {
    const char *from = bytes;

    while (size > 0) {
        ssize_t count = write(context->outputs[output], from, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return processor_fail(context,
                                  errno == ENOSPC || errno == EFBIG ? "output_limit" : "engine_failed",
                                  "output not written: errno %d", errno);
        from += count;
        size -= (size_t)count;
        context->written[output] += (uint64_t)count;
    }
    return 0;
}
