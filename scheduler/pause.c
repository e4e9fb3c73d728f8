/* SPDX-License-Identifier: MIT
 * Operators' questions. Each is one transaction; its answer waits for the commit. */
#include "scheduler/pause.h"

#include <stdlib.h>
#include <string.h>

#include "lib/control.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "scheduler/claim.h"
#include "scheduler/json_text.h"
#include "scheduler/measure.h"

static struct control *control; /* the supervisor; one per process */

struct question {
    struct scheduler *scheduler;
    bool asked; /* by the supervisor: `id` is to be answered */
    uint64_t id;
    const char *verb;
};

static void question_answer(const struct question *question, const char *text) {
    if (question->asked && control != NULL)
        control_answer(control, question->id, text);
}

static void on_paused(void *context, const struct database_answer *answer) {
    struct question *question = context;

    if (answer->outcome != DATABASE_OK)
        scheduler_log_answer(question->verb, answer);
    else
        claims_due_in(question->scheduler->claims, 0);
    question_answer(question, answer->outcome == DATABASE_OK ? "ok" : "error database unavailable");
    free(question);
}

static void on_counted(void *context, const struct database_answer *answer) {
    struct question *question = context;
    struct buffer text;

    buffer_init(&text, 4096);
    if (answer->outcome != DATABASE_OK) {
        question_answer(question, "error database unavailable");
        free(question);
        return;
    }
    (void)json_open(&text, '{');
    for (size_t row = 0; row < result_rows(answer->results[0]); row++)
        (void)json_member_number(&text, result_text(answer->results[0], row, "status"),
                                 result_number(answer->results[0], row, "n"));
    (void)json_close(&text, '}');
    question_answer(question, text.data);
    buffer_clear(&text);
    free(question);
}

static void on_measured(void *context, const char *text) {
    struct question *question = context;

    question_answer(question, text != NULL ? text : "error database unavailable");
    free(question);
}

static void ask(const struct question *given, enum statement_name statement, const char *value,
                database_done_fn *done) {
    struct question *question = memory_new(sizeof *question);
    struct query query = {.statement = &statements[statement], .values = {value}};

    *question = *given;
    scheduler_run(given->scheduler, &query, 1, done, question);
}

void pause_type(struct scheduler *scheduler, const char *type, bool resume) {
    struct question question = {.scheduler = scheduler, .verb = resume ? "resume" : "pause"};

    log_info("type=%s state=%s", type, resume ? "resumed" : "paused");
    ask(&question, resume ? STATEMENT_RESUME : STATEMENT_PAUSE, type, on_paused);
}

static void on_question(void *context, uint64_t id, const char *words) {
    struct question question = {.scheduler = context, .asked = true, .id = id};

    if (strcmp(words, "jobs") == 0) {
        question.verb = "jobs";
        ask(&question, STATEMENT_COUNT_JOBS, NULL, on_counted);
    } else if (strcmp(words, "metrics") == 0) {
        struct question *asked = memory_new(sizeof *asked);
        *asked = question;
        measure(context, on_measured, asked);
    } else if (text_starts_with(words, "pause ") && words[6] != '\0') {
        question.verb = "pause";
        ask(&question, STATEMENT_PAUSE, words + 6, on_paused);
    } else if (text_starts_with(words, "resume ") && words[7] != '\0') {
        question.verb = "resume";
        ask(&question, STATEMENT_RESUME, words + 7, on_paused);
    } else {
        control_answer(control, id, "error not understood");
    }
}

void pause_serve(struct scheduler *scheduler) {
    control = control_attach(scheduler->loop, on_question, scheduler);
}

void pause_stop(void) {
    control_free(control);
    control = NULL;
}
