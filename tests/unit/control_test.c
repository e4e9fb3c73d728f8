/* SPDX-License-Identifier: MIT
 * Questions and answers over a socket pair: each is answered once or known to stay unanswered, and a peer
 * that talks nonsense is dropped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/control.h"
#include "lib/log.h"
#include "lib/memory.h"

#define ANSWERS_MAX 128

struct stage {
    struct loop *loop;
    struct control *asker;
    struct control *answerer;
    int raw; /* the answerer's end where the test speaks itself */
    struct loop_timer *limit;
    char *answers[ANSWERS_MAX];
    size_t answer_count;
    size_t stop_at;
    uint64_t last_question;
    char last_words[64];
    bool silent;
};

static void on_limit(void *context) {
    struct stage *stage = context;

    loop_stop(stage->loop, 1);
}

static void on_question(void *context, uint64_t id, const char *words) {
    struct stage *stage = context;

    stage->last_question = id;
    (void)snprintf(stage->last_words, sizeof stage->last_words, "%s", words);
    if (stage->silent)
        return;
    char *answer = memory_format("said %s", words);
    control_answer(stage->answerer, id, answer);
    free(answer);
}

static void on_answer(void *context, const char *text) {
    struct stage *stage = context;

    assert_true(stage->answer_count < ANSWERS_MAX);
    stage->answers[stage->answer_count++] = memory_copy_text(text != NULL ? text : "(none)");
    if (stage->answer_count == stage->stop_at)
        loop_stop(stage->loop, 0);
}

static int set_up(void **state) {
    struct stage *stage = memory_new(sizeof *stage);
    int ends[2];

    log_init("control_test", LOG_ERROR);
    stage->loop = loop_new();
    stage->limit = loop_timer_new(stage->loop, on_limit, stage);
    assert_int_equal(control_pair(ends), 0);
    stage->asker = control_new(stage->loop, ends[0], NULL, NULL);
    stage->raw = ends[1];
    *state = stage;
    return 0;
}

static int tear_down(void **state) {
    struct stage *stage = *state;

    control_free(stage->asker);
    control_free(stage->answerer);
    if (stage->answerer == NULL && stage->raw >= 0)
        close(stage->raw);
    loop_free(stage->loop);
    for (size_t i = 0; i < stage->answer_count; i++)
        free(stage->answers[i]);
    free(stage);
    return 0;
}

static void add_answerer(struct stage *stage) {
    stage->answerer = control_new(stage->loop, stage->raw, on_question, stage);
}

/* Runs until so many answers have come; fails after two seconds. */
static void run_until(struct stage *stage, size_t count) {
    stage->stop_at = count;
    loop_timer_set(stage->limit, 2000);
    assert_int_equal(loop_run(stage->loop), 0);
}

static void test_an_answer_comes_back(void **state) {
    struct stage *stage = *state;

    add_answerer(stage);
    assert_int_equal(control_ask(stage->asker, "pause thumbnail", 1000, on_answer, stage), 0);
    assert_int_equal(stage->answer_count, 0);
    run_until(stage, 1);
    assert_string_equal(stage->answers[0], "said pause thumbnail");
}

static void test_many_at_once_up_to_the_limit(void **state) {
    struct stage *stage = *state;

    add_answerer(stage);
    for (size_t i = 0; i < CONTROL_WAITING_MAX; i++)
        assert_int_equal(control_ask(stage->asker, "jobs", 1000, on_answer, stage), 0);
    assert_int_equal(control_ask(stage->asker, "jobs", 1000, on_answer, stage), -1);
    run_until(stage, CONTROL_WAITING_MAX);
    assert_int_equal(control_ask(stage->asker, "jobs", 1000, on_answer, stage), 0);
    run_until(stage, CONTROL_WAITING_MAX + 1);
}

static void test_silence_ends_at_the_deadline(void **state) {
    struct stage *stage = *state;

    stage->silent = true;
    add_answerer(stage);
    assert_int_equal(control_ask(stage->asker, "jobs", 50, on_answer, stage), 0);
    run_until(stage, 1);
    assert_string_equal(stage->answers[0], "(none)");
    control_answer(stage->answerer, stage->last_question, "too late"); /* nobody waits: no harm */
    stage->silent = false;
    assert_int_equal(control_ask(stage->asker, "jobs", 1000, on_answer, stage), 0);
    run_until(stage, 2);
    assert_string_equal(stage->answers[1], "said jobs");
}

static void test_a_peer_that_goes_is_told(void **state) {
    struct stage *stage = *state;

    assert_int_equal(control_ask(stage->asker, "jobs", 60000, on_answer, stage), 0);
    close(stage->raw);
    stage->raw = -1;
    run_until(stage, 1);
    assert_string_equal(stage->answers[0], "(none)");
    assert_int_equal(control_ask(stage->asker, "jobs", 60000, on_answer, stage), -1);
}

static void test_nonsense_closes_the_socket(void **state) {
    static const char *const lines[] = {
        "hello\n", "\n", "=\n", "=x y\n", "0 zero\n", "-1 x\n", "99999999999999999999 x\n"};
    struct stage *stage = *state;

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        int ends[2];
        assert_int_equal(control_pair(ends), 0);
        struct control *control = control_new(stage->loop, ends[0], NULL, NULL);
        assert_int_equal(control_ask(control, "jobs", 60000, on_answer, stage), 0);
        assert_int_equal(write(ends[1], lines[i], strlen(lines[i])), strlen(lines[i]));
        run_until(stage, i + 1);
        assert_string_equal(stage->answers[i], "(none)");
        control_free(control);
        close(ends[1]);
    }
}

static void test_a_line_without_end_is_bounded(void **state) {
    struct stage *stage = *state;
    char chunk[4096];
    size_t sent = 0;

    memset(chunk, 'x', sizeof chunk);
    assert_int_equal(control_ask(stage->asker, "jobs", 60000, on_answer, stage), 0);
    while (stage->answer_count == 0 && sent < (size_t)8 * CONTROL_LINE_MAX) {
        ssize_t size = write(stage->raw, chunk, sizeof chunk);
        if (size > 0)
            sent += (size_t)size;
        loop_timer_set(stage->limit, 0); /* one turn */
        (void)loop_run(stage->loop);
    }
    assert_int_equal(stage->answer_count, 1);
    assert_true(sent <= (size_t)2 * CONTROL_LINE_MAX);
}

static void test_questions_to_one_who_takes_none(void **state) {
    struct stage *stage = *state;

    stage->answerer = control_new(stage->loop, stage->raw, NULL, NULL);
    assert_int_equal(control_ask(stage->asker, "jobs", 1000, on_answer, stage), 0);
    run_until(stage, 1);
    assert_string_equal(stage->answers[0], "error not understood");
}

static void test_texts_that_do_not_fit(void **state) {
    struct stage *stage = *state;
    char *large = memory_new(CONTROL_LINE_MAX + 1);

    memset(large, 'x', CONTROL_LINE_MAX);
    stage->silent = true;
    add_answerer(stage);
    assert_int_equal(control_ask(stage->asker, large, 1000, on_answer, stage), -1);
    assert_int_equal(control_ask(stage->asker, "two\nlines", 1000, on_answer, stage), -1);
    assert_int_equal(control_ask(stage->asker, "jobs", 100, on_answer, stage), 0);
    run_until(stage, 1);
    assert_int_equal(control_ask(stage->asker, "jobs", 1000, on_answer, stage), 0);
    loop_timer_set(stage->limit, 50);
    (void)loop_run(stage->loop);
    control_answer(stage->answerer, stage->last_question, large);
    run_until(stage, 2);
    assert_string_equal(stage->answers[1], "error answer too long");
    assert_int_equal(control_ask(stage->asker, "jobs", 1000, on_answer, stage), 0);
    loop_timer_set(stage->limit, 50);
    (void)loop_run(stage->loop);
    control_answer(stage->answerer, stage->last_question, "a\nb");
    run_until(stage, 3);
    assert_string_equal(stage->answers[2], "a b");
    free(large);
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ROW(test_an_answer_comes_back),
        ROW(test_many_at_once_up_to_the_limit),
        ROW(test_silence_ends_at_the_deadline),
        ROW(test_a_peer_that_goes_is_told),
        ROW(test_nonsense_closes_the_socket),
        ROW(test_a_line_without_end_is_bounded),
        ROW(test_questions_to_one_who_takes_none),
        ROW(test_texts_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
