/* SPDX-License-Identifier: MIT
 * What `filemill top` makes of two answers: rates, quantiles, and a page that fits, whatever the names are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/memory.h"
#include "supervisor/top/screen.h"

#define SERVICE(name, index, state, counters)                                                                \
    "{\"name\":\"" name "\",\"index\":" index ",\"state\":\"" state                                          \
    "\",\"pid\":123,\"restarts\":2,\"uptime_seconds\":3725.5,\"note\":\"seccomp landlock; runs ocr 12 s\","  \
    "\"counters\":{" counters "}}"
#define ANSWER(services)                                                                                     \
    "{\"version\":\"1.2.3\",\"node\":\"mill\",\"status\":\"ready\",\"uptime_seconds\":100.0,"                \
    "\"failed_services\":0,\"services\":[" services "]}"

static const char before_text[] =
    ANSWER(SERVICE("scheduler", "0", "ready",
                   "\"filemill_jobs_claimed_total\":100,\"filemill_queue_jobs{state=\\\"ready\\\"}\":7"));
static const char after_text[] = ANSWER(SERVICE(
    "scheduler", "0", "ready",
    "\"filemill_jobs_claimed_total\":130,\"filemill_queue_jobs{state=\\\"ready\\\"}\":9,"
    "\"filemill_job_seconds_bucket{phase=\\\"parse\\\",le=\\\"0.05\\\"}\":0,"
    "\"filemill_job_seconds_bucket{phase=\\\"parse\\\",le=\\\"0.1\\\"}\":10,"
    "\"filemill_job_seconds_bucket{phase=\\\"parse\\\",le=\\\"0.25\\\"}\":10,"
    "\"filemill_job_seconds_bucket{phase=\\\"parse\\\",le=\\\"0.5\\\"}\":10,"
    "\"filemill_job_seconds_bucket{phase=\\\"parse\\\",le=\\\"1\\\"}\":10,"
    "\"filemill_job_seconds_bucket{phase=\\\"parse\\\",le=\\\"2.5\\\"}\":10,"
    "\"filemill_job_seconds_bucket{phase=\\\"parse\\\",le=\\\"5\\\"}\":10,"
    "\"filemill_job_seconds_bucket{phase=\\\"parse\\\",le=\\\"10\\\"}\":10,"
    "\"filemill_job_seconds_bucket{phase=\\\"parse\\\",le=\\\"30\\\"}\":10,"
    "\"filemill_job_seconds_bucket{phase=\\\"parse\\\",le=\\\"60\\\"}\":10,"
    "\"filemill_job_seconds_bucket{phase=\\\"parse\\\",le=\\\"300\\\"}\":10,"
    "\"filemill_job_seconds_bucket{phase=\\\"parse\\\",le=\\\"+Inf\\\"}\":10") "," SERVICE("worker", "0",
                                                                                           "ready",
                                                                                           "\"filemill_"
                                                                                           "runners_cpu_"
                                                                                           "seconds_total\":"
                                                                                           "3.5,\"filemill_"
                                                                                           "worker_slots{"
                                                                                           "state="
                                                                                           "\\\"all\\\"}\":"
                                                                                           "4"));

static void fill(struct top_model *model, const char *now, const char *then) {
    struct top_sample *sample = top_sample_new(now, 12.0),
                      *before = then != NULL ? top_sample_new(then, 10.0) : NULL;

    assert_non_null(sample);
    top_model_fill(model, sample, before);
    top_sample_free(before);
    top_sample_free(sample);
}

static void rates_are_of_what_came_between(void **state) {
    struct top_model model;

    fill(&model, after_text, before_text);
    assert_true(model.rates.claimed > 14.99 && model.rates.claimed < 15.01);
    assert_true(model.rates.cores > 1.74 && model.rates.cores < 1.76);
    assert_int_equal(model.ready, 9);
    assert_int_equal(model.slots, 4);
    assert_int_equal(model.service_count, 2);
    fill(&model, after_text, NULL); /* of the whole life */
    assert_true(model.rates.claimed > 1.29 && model.rates.claimed < 1.31);
    fill(&model, before_text, after_text); /* a process began anew: no rate is below nothing */
    assert_true(model.rates.claimed >= 0);
}

static void quantiles_lie_within_their_bucket(void **state) {
    struct top_model model;

    fill(&model, after_text, NULL);
    assert_true(model.p50_s[2] > 0.05 && model.p50_s[2] < 0.1);
    assert_true(model.p95_s[2] > model.p50_s[2] && model.p95_s[2] <= 0.1);
    assert_true(model.p50_s[0] < 0);
}

static void what_is_no_answer_is_refused(void **state) {
    static const char *const bad[] = {"", "error no", "{}", "[]", "{\"services\":{}}", "{\"services\":[]"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_null(top_sample_new(bad[i], 0));
}

/* No line is wider than the terminal, there are no more lines than it has, nothing unprintable gets through.
 */
static void the_page_fits(void **state) {
    static struct top_model model;

    fill(&model, after_text, before_text);
    model.service_count = TOP_SERVICES_MAX;
    for (size_t i = 0; i < TOP_SERVICES_MAX; i++) {
        snprintf(model.services[i].name, sizeof model.services[i].name, "evil\x1b[2J\x07service%zu", i);
        memset(model.services[i].note, 'n', sizeof model.services[i].note - 1);
    }
    model.rates.http_2xx = 1e12;
    for (unsigned columns = 1; columns < 200; columns += 13) {
        for (unsigned rows = 1; rows < 60; rows += 7) {
            const struct top_size size = {.columns = columns, .rows = rows};
            struct buffer text;
            unsigned lines = 1, width = 0;
            buffer_init(&text, 1 << 20);
            top_screen_draw(&text, &model, &size);
            for (size_t i = 0; i < text.size; i++) {
                lines += text.data[i] == '\n';
                width = text.data[i] == '\n' ? 0 : width + 1;
                assert_true(width <= columns);
                assert_true(text.data[i] == '\n' || (text.data[i] >= 0x20 && text.data[i] < 0x7f));
            }
            assert_true(lines <= rows);
            buffer_clear(&text);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_of_what_came_between),
        cmocka_unit_test(quantiles_lie_within_their_bucket),
        cmocka_unit_test(what_is_no_answer_is_refused),
        cmocka_unit_test(the_page_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
