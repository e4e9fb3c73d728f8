/* SPDX-License-Identifier: MIT
 * How a runner's end becomes a reason, and that the table of reasons is sound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>

#include "workers/deaths.h"

/* Wait statuses as Linux lays them out. */
#define EXITED(code) ((code) << 8)
#define KILLED(number) (number)

static const struct {
    struct death death;
    const char *reason; /* NULL: ended by itself */
} ends[] = {
    {{.wait_status = EXITED(0)}, NULL},
    {{.wait_status = EXITED(0), .order = ORDER_TIMEOUT}, NULL}, /* the kill came too late */
    {{.wait_status = EXITED(1)}, "crash"},
    {{.wait_status = EXITED(RUNNER_EXIT_MEMORY)}, "memory_limit"},
    {{.wait_status = EXITED(RUNNER_EXIT_SETUP)}, "no_runner"},
    {{.wait_status = KILLED(SIGSEGV)}, "crash"},
    {{.wait_status = KILLED(SIGABRT)}, "crash"},
    {{.wait_status = KILLED(SIGSYS)}, "sandbox_violation"},
    {{.wait_status = KILLED(SIGSYS), .order = ORDER_CANCELLED}, "sandbox_violation"},
    {{.wait_status = KILLED(SIGSYS) | 0x80}, "sandbox_violation"}, /* with the core bit */
    {{.wait_status = KILLED(SIGXCPU)}, "cpu_limit"},
    {{.wait_status = KILLED(SIGXFSZ)}, "output_limit"},
    {{.wait_status = KILLED(SIGKILL), .order = ORDER_TIMEOUT}, "timeout"},
    {{.wait_status = KILLED(SIGKILL), .order = ORDER_NO_PROGRESS}, "no_progress"},
    {{.wait_status = KILLED(SIGKILL), .order = ORDER_SPINNING}, "cpu_limit"},
    {{.wait_status = KILLED(SIGKILL), .order = ORDER_CANCELLED}, "cancelled"},
    {{.wait_status = KILLED(SIGKILL), .cpu_ms = 5100, .cpu_limit_ms = 5000}, "cpu_limit"},
    {{.wait_status = KILLED(SIGKILL), .cpu_ms = 4000, .cpu_limit_ms = 5000}, "memory_limit"},
    {{.wait_status = KILLED(SIGKILL), .cpu_ms = 9000}, "memory_limit"},
};

static void ends_have_their_reasons(void **state) {
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        const struct reason_row *row = death_reason(&ends[i].death);
        if (ends[i].reason == NULL)
            assert_null(row);
        else
            assert_string_equal(row->code, ends[i].reason);
    }
}

static void table_is_sound(void **state) {
    for (unsigned i = 0; i < reason_row_count; i++) {
        assert_ptr_equal(reason_find(reason_rows[i].code), &reason_rows[i]); /* no code twice */
        assert_int_not_equal(reason_rows[i].sources, 0);
    }
    assert_null(reason_find("no such reason"));
    assert_null(reason_find(""));
}

/* A runner is hostile: it must not be able to claim what only others can know. */
static void runners_cannot_claim_these(void **state) {
    static const char *const codes[] = {"cancelled", "timeout", "crash", "storage_unavailable", "no_runner"};

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        assert_int_equal(reason_find(codes[i])->sources & REASON_BY_RUNNER, 0);
}

static void bad_documents_are_not_retried(void **state) {
    static const char *const codes[] = {"bad_input", "password_required", "too_many_pages", "too_many_pixels",
                                        "too_long",
                                        "input_missing", "input_changed"};

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        assert_false(reason_find(codes[i])->retryable);
        assert_false(reason_find(codes[i])->crash);
    }
    assert_true(reason_find("storage_unavailable")->retryable);
    assert_true(reason_find("storage_refused")->retryable);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_have_their_reasons),
        cmocka_unit_test(table_is_sound),
        cmocka_unit_test(runners_cannot_claim_these),
        cmocka_unit_test(bad_documents_are_not_retried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
