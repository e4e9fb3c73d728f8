/* SPDX-License-Identifier: MIT
 * What a child counts, its parent reads, through the descriptor alone; the child cannot harm the reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/counters.h"

static struct counters *segment;
static int segment_fd = -1;

static int make_segment(void **state) {
    segment = counters_create(&segment_fd);
    return segment != NULL ? 0 : -1;
}

static int free_segment(void **state) {
    counters_free(segment);
    close(segment_fd);
    return 0;
}

/* Runs `child` in a process of its own that has the segment as its counters; returns its exit status. */
static int in_child(int (*child)(void)) {
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        char number[16];
        snprintf(number, sizeof(number), "%d", segment_fd);
        setenv("FILEMILL_COUNTERS_FD", number, 1);
        _exit(child());
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int count_and_note(void) {
    counters_attach();
    counter_add(COUNT_JOBS_DONE, 3);
    counter_add(COUNT_JOBS_DONE, 4);
    counter_set(COUNT_QUEUE_READY, 12);
    counter_set(COUNT_QUEUE_READY, 9);
    counter_note("layers=seccomp,landlock");
    return 0;
}

static void the_parent_reads_what_the_child_counts(void **state) {
    assert_int_equal(counters_read(segment, COUNT_JOBS_DONE), 0);
    assert_string_equal(counters_note(segment), "");
    assert_int_equal(in_child(count_and_note), 0);
    assert_int_equal(counters_read(segment, COUNT_JOBS_DONE), 7);
    assert_int_equal(counters_read(segment, COUNT_QUEUE_READY), 9);
    assert_int_equal(counters_read(segment, COUNT_JOBS_FAILED), 0);
    assert_string_equal(counters_note(segment), "layers=seccomp,landlock");
    assert_int_equal(in_child(count_and_note), 0); /* a child that is started again counts on */
    assert_int_equal(counters_read(segment, COUNT_JOBS_DONE), 14);
}

static int note_too_much(void) {
    char note[1000];

    memset(note, 'n', sizeof(note) - 1);
    note[sizeof(note) - 1] = '\0';
    note[1] = '\n';
    note[2] = '\x1b';
    counters_attach();
    counter_note(note);
    return 0;
}

static void a_note_is_cut_and_clean(void **state) {
    assert_int_equal(in_child(note_too_much), 0);
    assert_int_equal(strlen(counters_note(segment)), 255);
    assert_memory_equal(counters_note(segment), "n??nnn", 6);
}

static int shrink(void) {
    return ftruncate(segment_fd, 0) != 0 ? 0 : 1;
}

static void a_child_cannot_take_the_memory_away(void **state) {
    assert_int_equal(in_child(shrink), 0);
    assert_int_equal(counters_read(segment, COUNT_JOBS_DONE), 0);
}

static int count_with_wrong_descriptor(void) {
    setenv("FILEMILL_COUNTERS_FD", "banana", 1);
    counters_attach();
    counter_add(COUNT_JOBS_DONE, 1);
    return 0;
}

static int count_without_descriptor(void) {
    unsetenv("FILEMILL_COUNTERS_FD");
    counter_add(COUNT_JOBS_DONE, 1); /* before counters_attach: nothing */
    counters_attach();
    counter_add(COUNT_JOBS_DONE, 1);
    counter_note("x");
    return 0;
}

static void a_process_without_a_segment_counts_for_itself(void **state) {
    assert_int_equal(in_child(count_with_wrong_descriptor), 0);
    assert_int_equal(in_child(count_without_descriptor), 0);
    assert_int_equal(counters_read(segment, COUNT_JOBS_DONE), 0);
}

static bool is_of_histogram(const struct counter_row *row) {
    return row->kind == COUNTER_BUCKET || row->kind == COUNTER_SUM;
}

static void rows_are_fit_to_print(void **state) {
    for (int i = 0; i < COUNT_LAST; i++) {
        const struct counter_row *row = &counter_rows[i];
        size_t size = counter_family_size(row);

        assert_non_null(row->name);
        assert_true(strncmp(row->name, "filemill_", 9) == 0);
        assert_true(strlen(row->help) > 0);
        /* A total says so in its name, a gauge doesn't. */
        assert_int_equal(size > 6 && strncmp(row->name + size - 6, "_total", 6) == 0,
                         row->kind == COUNTER_TOTAL || row->kind == COUNTER_SECONDS);
        for (int j = 0; j < i; j++) {
            const struct counter_row *other = &counter_rows[j];
            assert_string_not_equal(row->name, other->name);
            if (counter_family_size(other) != size || strncmp(other->name, row->name, size) != 0)
                continue;
            /* One family: same help, same kind, standing together. */
            assert_string_equal(row->help, other->help);
            assert_true(row->kind == other->kind || (is_of_histogram(row) && is_of_histogram(other)));
            assert_int_equal(counter_family_size(&counter_rows[i - 1]), size);
            assert_memory_equal(counter_rows[i - 1].name, row->name, size);
        }
    }
}

static int observe(void) {
    counters_attach();
    counter_observe(COUNT_JOB_FETCH, 20000); /* 20 ms: from the bucket of 25 ms on */
    return 0;
}

static void a_histogram_counts_each_bound_and_above(void **state) {
    static const struct {
        int row;
        uint64_t expected;
    } rows[] = {{COUNT_JOB_FETCH, 0},      {COUNT_JOB_FETCH + 1, 0},     {COUNT_JOB_FETCH + 2, 1},
                {COUNT_JOB_FETCH + 14, 1}, {COUNT_JOB_FETCH_SUM, 20000}, {COUNT_JOB_FETCH_COUNT, 1}};

    assert_int_equal(in_child(observe), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(counters_read(segment, (enum counter)rows[i].row), rows[i].expected);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_parent_reads_what_the_child_counts, make_segment, free_segment),
        cmocka_unit_test_setup_teardown(a_histogram_counts_each_bound_and_above, make_segment, free_segment),
        cmocka_unit_test_setup_teardown(a_note_is_cut_and_clean, make_segment, free_segment),
        cmocka_unit_test_setup_teardown(a_child_cannot_take_the_memory_away, make_segment, free_segment),
        cmocka_unit_test_setup_teardown(a_process_without_a_segment_counts_for_itself, make_segment,
                                        free_segment),
        cmocka_unit_test(rows_are_fit_to_print),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
