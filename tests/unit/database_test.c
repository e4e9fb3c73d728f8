/* SPDX-License-Identifier: MIT
 * The pool against a real Postgres, whose URL stands in FILEMILL_TEST_DATABASE
 * (tests/integration/test_database.py starts one and runs this). Without it every test is skipped. */
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/log.h"
#include "lib/text.h"

static const struct statement one = {"one", "select 1 as one, null as nothing, true as yes", 0};
static const struct statement echo = {"echo",
                                      "select $1::text as text, current_user as who, "
                                      "current_setting('filemill.user_id', true) as caller",
                                      1};
static const struct statement make = {"make", "create table if not exists pool_test (n int primary key)", 0};
static const struct statement insert = {"insert", "insert into pool_test values ($1::int)", 1};
static const struct statement count_rows = {"count", "select count(*) as n from pool_test", 0};
static const struct statement clear = {"clear", "delete from pool_test", 0};
static const struct statement broken = {"broken", "select nonsense from nowhere", 0};
static const struct statement slow = {"slow", "select pg_sleep(30)", 0};
static const struct statement die = {"die", "select pg_terminate_backend(pg_backend_pid())", 0};

struct fixture {
    struct loop *loop;
    struct database *database;
    struct loop_timer *deadline;
    unsigned pending;
    /* of the last answer */
    enum database_outcome outcome;
    char sqlstate[6], text[64], who[64], caller[64], constraint[64];
    int64_t number;
    size_t affected;
    unsigned outcomes[4];
    bool inside_run, called_inside;
    const char *column; /* which of the last result is looked at */
};

static void on_deadline(void *context) {
    struct fixture *fixture = context;
    loop_stop(fixture->loop, 1);
}

static int setup_with(void **state, const char *url, bool prepare, const char *role, unsigned connections) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->column = "";
    fixture->loop = loop_new();
    fixture->deadline = loop_timer_new(fixture->loop, on_deadline, fixture);
    loop_timer_set(fixture->deadline, 20000);
    fixture->database = database_new(fixture->loop, &(struct database_options){.url = url,
                                                                               .role = role,
                                                                               .application_name = "test",
                                                                               .connections = connections,
                                                                               .prepare = prepare,
                                                                               .statement_timeout_ms = 400,
                                                                               .max_waiting = 200});
    *state = fixture;
    return 0;
}

static int setup(void **state) {
    const char *url = getenv("FILEMILL_TEST_DATABASE");
    const char *prepare = getenv("FILEMILL_TEST_PREPARE");
    if (url == NULL) {
        *state = NULL;
        return 0;
    }
    return setup_with(state, url, prepare == NULL || strcmp(prepare, "off") != 0, NULL, 4);
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    if (fixture == NULL)
        return 0;
    database_free(fixture->database);
    loop_free(fixture->loop);
    free(fixture);
    return 0;
}

static struct fixture *fixture_of(void **state) {
    if (*state == NULL)
        skip();
    return *state;
}

static void on_done(void *context, const struct database_answer *answer) {
    struct fixture *fixture = context;

    fixture->called_inside |= fixture->inside_run;
    fixture->outcome = answer->outcome;
    fixture->outcomes[answer->outcome]++;
    text_copy(fixture->sqlstate, sizeof fixture->sqlstate, answer->sqlstate);
    text_copy(fixture->constraint, sizeof fixture->constraint, answer->constraint);
    if (answer->outcome == DATABASE_OK && answer->result_count > 0) {
        const struct database_result *last = answer->results[answer->result_count - 1];
        fixture->affected = result_affected(last);
        if (result_rows(last) > 0) {
            const char *text = strcmp(fixture->column, "text") == 0 ? result_text(last, 0, "text") : NULL;
            if (text != NULL) {
                text_copy(fixture->text, sizeof fixture->text, text);
                text_copy(fixture->who, sizeof fixture->who, result_text(last, 0, "who"));
                text = result_text(last, 0, "caller");
                text_copy(fixture->caller, sizeof fixture->caller, text == NULL ? "" : text);
            }
            if (strcmp(fixture->column, "n") == 0)
                fixture->number = result_number(last, 0, "n");
        }
    }
    if (--fixture->pending == 0)
        loop_stop(fixture->loop, 0);
}

static void submit(struct fixture *fixture, const struct database_local *locals, const struct query *queries,
                   size_t count) {
    fixture->pending++;
    fixture->inside_run = true;
    database_run(fixture->database, locals, queries, count, on_done, fixture);
    fixture->inside_run = false;
}

static void wait_all(struct fixture *fixture) {
    assert_int_equal(loop_run(fixture->loop), 0);
    assert_false(fixture->called_inside);
}

static enum database_outcome ask(struct fixture *fixture, const struct statement *statement,
                                 const char *value, const char *column) {
    fixture->column = column;
    submit(fixture, NULL, &(struct query){.statement = statement, .values = {value}}, 1);
    wait_all(fixture);
    return fixture->outcome;
}

static void test_answers(void **state) {
    struct fixture *fixture = fixture_of(state);

    assert_int_equal(ask(fixture, &one, NULL, ""), DATABASE_OK);
    assert_int_equal(ask(fixture, &echo, "häöß 'quoted' \\ \"", "text"), DATABASE_OK);
    assert_string_equal(fixture->text, "häöß 'quoted' \\ \"");
    assert_true(database_is_available(fixture->database));
}

static void test_locals_last_one_transaction(void **state) {
    struct fixture *fixture = fixture_of(state);
    struct database_local locals[] = {{"filemill.user_id", "somebody"}, {NULL, NULL}};

    fixture->column = "text";
    submit(fixture, locals, &(struct query){.statement = &echo, .values = {"x"}}, 1);
    wait_all(fixture);
    assert_string_equal(fixture->caller, "somebody");
    for (int i = 0; i < 20; i++) {
        assert_int_equal(ask(fixture, &echo, "x", "text"), DATABASE_OK);
        assert_string_equal(fixture->caller, "");
    }
}

static void test_transaction_is_all_or_nothing(void **state) {
    struct fixture *fixture = fixture_of(state);
    struct query both[] = {{.statement = &insert, .values = {"1"}}, {.statement = &insert, .values = {"1"}}};

    assert_int_equal(ask(fixture, &make, NULL, ""), DATABASE_OK);
    assert_int_equal(ask(fixture, &clear, NULL, ""), DATABASE_OK);
    submit(fixture, NULL, both, 2);
    wait_all(fixture);
    assert_int_equal(fixture->outcome, DATABASE_REFUSED);
    assert_string_equal(fixture->sqlstate, "23505");
    assert_string_equal(fixture->constraint, "pool_test_pkey");
    assert_int_equal(ask(fixture, &count_rows, NULL, "n"), DATABASE_OK);
    assert_int_equal(fixture->number, 0);
}

/* Many in flight on few connections, every third of them wrong: each gets its own answer. */
static void test_neighbours_do_not_suffer(void **state) {
    struct fixture *fixture = fixture_of(state);
    char numbers[120][8];

    assert_int_equal(ask(fixture, &make, NULL, ""), DATABASE_OK);
    assert_int_equal(ask(fixture, &clear, NULL, ""), DATABASE_OK);
    memset(fixture->outcomes, 0, sizeof fixture->outcomes);
    for (int i = 0; i < 120; i++) {
        text_format(numbers[i], sizeof numbers[i], "%d", i);
        struct query queries[] = {{.statement = &insert, .values = {numbers[i]}}, {.statement = &broken}};
        submit(fixture, NULL, queries, i % 3 == 0 ? 2 : 1);
    }
    wait_all(fixture);
    assert_int_equal(fixture->outcomes[DATABASE_REFUSED], 40);
    assert_int_equal(fixture->outcomes[DATABASE_OK], 80);
    assert_int_equal(ask(fixture, &count_rows, NULL, "n"), DATABASE_OK);
    assert_int_equal(fixture->number, 80);
}

static void test_statement_that_can_not_be_prepared(void **state) {
    struct fixture *fixture = fixture_of(state);

    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(fixture, &broken, NULL, ""), DATABASE_REFUSED);
        assert_string_equal(fixture->sqlstate, "42P01");
        assert_int_equal(ask(fixture, &one, NULL, ""), DATABASE_OK);
    }
}

static void test_slow_statement_is_stopped(void **state) {
    struct fixture *fixture = fixture_of(state);

    assert_int_equal(ask(fixture, &slow, NULL, ""), DATABASE_REFUSED);
    assert_string_equal(fixture->sqlstate, "57014");
}

static void test_lost_session_comes_back(void **state) {
    struct fixture *fixture = fixture_of(state);

    assert_int_equal(ask(fixture, &one, NULL, ""), DATABASE_OK);
    assert_int_equal(ask(fixture, &die, NULL, ""), DATABASE_LOST);
    assert_int_equal(ask(fixture, &one, NULL, ""), DATABASE_OK);
}

static void test_too_many_waiting_are_refused(void **state) {
    struct fixture *fixture = fixture_of(state);

    fixture->column = "";
    for (int i = 0; i < 300; i++)
        submit(fixture, NULL, &(struct query){.statement = &one}, 1);
    wait_all(fixture);
    assert_int_equal(fixture->outcomes[DATABASE_UNAVAILABLE], 100);
    assert_int_equal(fixture->outcomes[DATABASE_OK], 200);
}

static void test_nothing_there(void **state) {
    struct fixture *fixture;

    setup_with((void **)&fixture, "postgresql://nobody@/none?host=/nonexistent", true, NULL, 2);
    assert_int_equal(ask(fixture, &one, NULL, ""), DATABASE_UNAVAILABLE);
    assert_int_equal(ask(fixture, &one, NULL, ""), DATABASE_UNAVAILABLE); /* at once: the pool is down */
    assert_false(database_is_available(fixture->database));
    teardown((void **)&fixture);
}

static void on_done_free(void *context, const struct database_answer *answer) {
    struct fixture *fixture = context;

    database_free(fixture->database);
    fixture->database = NULL;
    loop_stop(fixture->loop, 0);
}

static void test_free_from_a_callback(void **state) {
    struct fixture *fixture = fixture_of(state);

    for (int i = 0; i < 5; i++)
        database_run(fixture->database, NULL, &(struct query){.statement = &one}, 1, on_done_free, fixture);
    assert_int_equal(loop_run(fixture->loop), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_locals_last_one_transaction, setup, teardown),
        cmocka_unit_test_setup_teardown(test_transaction_is_all_or_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_neighbours_do_not_suffer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_statement_that_can_not_be_prepared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_statement_is_stopped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_session_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_waiting_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_from_a_callback, setup, teardown),
        cmocka_unit_test(test_nothing_there),
    };

    log_init("database_test", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
