/* SPDX-License-Identifier: MIT
 * The table of reasons and the mapping from a runner's end to one of them. The order of the checks matters:
 * what the kernel reports about the end itself comes before what we had asked for, because a runner that
 * ended by its own fault just before our kill arrived did not end by our kill. */
#include "workers/deaths.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

const struct reason_row reason_rows[] = {
    /* the runner's end */
    {.code = "crash", .retryable = true, .crash = true, .sources = REASON_BY_DEATH},
    {.code = "sandbox_violation", .retryable = false, .crash = true, .sources = REASON_BY_DEATH},
    {.code = "cpu_limit", .retryable = false, .crash = true, .sources = REASON_BY_DEATH},
    {.code = "memory_limit", .retryable = true, .crash = true,
     .sources = REASON_BY_DEATH | REASON_BY_RUNNER | REASON_BY_WORKER},
    {.code = "output_limit", .sources = REASON_BY_DEATH | REASON_BY_RUNNER | REASON_BY_WORKER},
    {.code = "timeout", .retryable = true, .crash = true, .sources = REASON_BY_DEATH},
    {.code = "no_progress", .retryable = true, .crash = true, .sources = REASON_BY_DEATH},
    {.code = "cancelled", .sources = REASON_BY_DEATH},
    {.code = "no_runner", .retryable = true, .sources = REASON_BY_DEATH | REASON_BY_WORKER},
    /* what an engine found in the document */
    {.code = "bad_input", .sources = REASON_BY_RUNNER},
    {.code = "unsupported_input", .sources = REASON_BY_RUNNER},
    {.code = "password_required", .sources = REASON_BY_RUNNER},
    {.code = "too_many_pixels", .sources = REASON_BY_RUNNER},
    {.code = "too_many_pages", .sources = REASON_BY_RUNNER},
    {.code = "too_long", .sources = REASON_BY_RUNNER},
    {.code = "unsupported_language", .sources = REASON_BY_RUNNER},
    {.code = "archive_bomb", .sources = REASON_BY_RUNNER},
    {.code = "too_many_entries", .sources = REASON_BY_RUNNER},
    {.code = "bad_parameters", .sources = REASON_BY_RUNNER | REASON_BY_WORKER},
    {.code = "engine_failed", .retryable = true, .sources = REASON_BY_RUNNER},
    /* the same, as portals' callers know it; the stage is in the detail */
    {.code = "DECODE_FAILED", .sources = REASON_BY_RUNNER},
    {.code = "OCR_FAILED", .sources = REASON_BY_RUNNER},
    {.code = "OCR_TIMEOUT", .retryable = true, .sources = REASON_BY_RUNNER},
    {.code = "SCHEMA_FAILED", .sources = REASON_BY_RUNNER},
    {.code = "SIZE_EXCEEDED", .sources = REASON_BY_RUNNER},
    /* what the worker found */
    {.code = "bad_result", .crash = true, .sources = REASON_BY_WORKER},
    {.code = "unknown_type", .sources = REASON_BY_WORKER},
    {.code = "input_missing", .sources = REASON_BY_WORKER},
    {.code = "input_changed", .sources = REASON_BY_WORKER},
    {.code = "decrypt_failed", .sources = REASON_BY_WORKER},
    {.code = "source_missing", .sources = REASON_BY_WORKER},
    {.code = "source_too_large", .sources = REASON_BY_WORKER},
    {.code = "source_refused", .retryable = true, .sources = REASON_BY_WORKER},
    {.code = "source_unavailable", .retryable = true, .sources = REASON_BY_WORKER},
    {.code = "storage_unavailable", .retryable = true, .sources = REASON_BY_WORKER},
    {.code = "storage_refused", .retryable = true, .sources = REASON_BY_WORKER},
    /* what the worker found at a service that it asked */
    {.code = "backend_unavailable", .retryable = true, .sources = REASON_BY_WORKER},
    {.code = "backend_rate_limited", .retryable = true, .sources = REASON_BY_WORKER},
    {.code = "backend_refused", .retryable = true, .sources = REASON_BY_WORKER},
    {.code = "backend_not_configured", .sources = REASON_BY_WORKER},
    {.code = "backend_bad_answer", .retryable = true, .sources = REASON_BY_WORKER},
};
const unsigned reason_row_count = sizeof reason_rows / sizeof reason_rows[0];

static const char *const order_codes[ORDER_COUNT] = {
    [ORDER_TIMEOUT] = "timeout",
    [ORDER_NO_PROGRESS] = "no_progress",
    [ORDER_SPINNING] = "cpu_limit",
    [ORDER_CANCELLED] = "cancelled",
};

static const struct {
    int signal_number;
    const char *code;
} signal_codes[] = {
    {SIGSYS, "sandbox_violation"},
    {SIGXCPU, "cpu_limit"},
    {SIGXFSZ, "output_limit"},
};

const struct reason_row *reason_find(const char *code) {
    for (unsigned i = 0; i < reason_row_count; i++) {
        if (strcmp(reason_rows[i].code, code) == 0)
            return &reason_rows[i];
    }
    return NULL;
}

static const char *exit_code_reason(int code) {
    if (code == RUNNER_EXIT_MEMORY)
        return "memory_limit";
    return code == RUNNER_EXIT_SETUP ? "no_runner" : "crash";
}

static const char *signal_reason(const struct death *death) {
    int number = WTERMSIG(death->wait_status);

    for (unsigned i = 0; i < sizeof signal_codes / sizeof signal_codes[0]; i++) {
        if (signal_codes[i].signal_number == number)
            return signal_codes[i].code;
    }
    if (number != SIGKILL)
        return "crash";
    if (death->order != ORDER_NONE && death->order < ORDER_COUNT)
        return order_codes[death->order];
    /* Not ours: the hard processor limit kills like this, and so does the kernel when memory runs out. */
    if (death->cpu_limit_ms != 0 && death->cpu_ms >= death->cpu_limit_ms)
        return "cpu_limit";
    return "memory_limit";
}

const struct reason_row *death_reason(const struct death *death) {
    if (WIFSIGNALED(death->wait_status))
        return reason_find(signal_reason(death));
    if (!WIFEXITED(death->wait_status))
        return reason_find("crash");
    if (WEXITSTATUS(death->wait_status) == RUNNER_EXIT_RESULT)
        return NULL;
    return reason_find(exit_code_reason(WEXITSTATUS(death->wait_status)));
}
