/* SPDX-License-Identifier: MIT
 * One event is one line, whatever text it carries, and a reader that stalls never holds the writer up. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/clock.h"
#include "lib/log.h"

static int saved_stderr;
static int log_pipe[2];

static int capture(void **state) {
    saved_stderr = dup(STDERR_FILENO);
    if (saved_stderr < 0 || pipe2(log_pipe, O_CLOEXEC) != 0 || fcntl(log_pipe[0], F_SETFL, O_NONBLOCK) != 0)
        return -1;
    log_init("test", LOG_INFO);
    return dup2(log_pipe[1], STDERR_FILENO) < 0 ? -1 : 0;
}

static int release(void **state) {
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(log_pipe[0]);
    close(log_pipe[1]);
    return 0;
}

/* What has been logged since the last call, as a text. */
static const char *logged(void) {
    static char text[65536];
    ssize_t size = read(log_pipe[0], text, sizeof(text) - 1);

    text[size > 0 ? size : 0] = '\0';
    return text;
}

static void a_line_names_time_level_process_and_message(void **state) {
    char expected[64];

    log_info("job=%s attempt=%d", "j1", 3);
    const char *line = logged();
    assert_memory_equal(line, "ts=20", 5);
    snprintf(expected, sizeof(expected), "Z level=info proc=test pid=%ld job=j1 attempt=3\n", (long)getpid());
    assert_string_equal(line + strlen("ts=2026-01-02T03:04:05.678"), expected);
}

static void levels_below_the_threshold_are_silent(void **state) {
    log_debug("x=1");
    assert_string_equal(logged(), "");
    log_set_level(LOG_DEBUG);
    log_debug("x=1");
    assert_non_null(strstr(logged(), "level=debug"));
    log_set_level(LOG_ERROR);
    log_warn("x=1");
    assert_string_equal(logged(), "");
    log_error("x=1");
    assert_non_null(strstr(logged(), "level=error"));
}

static void level_names(void **state) {
    enum log_level level;

    assert_int_equal(log_level_parse("error", &level), 0);
    assert_int_equal(level, LOG_ERROR);
    assert_int_equal(log_level_parse("debug", &level), 0);
    assert_int_equal(level, LOG_DEBUG);
    assert_int_equal(log_level_parse("Debug", &level), -1);
    assert_int_equal(log_level_parse("", &level), -1);
}

static void text_from_outside_cannot_forge_a_line(void **state) {
    log_info("name=%s", "a\nts=2026 level=error\r\t\x1b[31m\x7f\xff\xc2\x85\xe2\x80\xa8 caf\xc3\xa9");
    const char *line = logged();
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_non_null(strstr(line, "name=a\\nts=2026 level=error\\x0d\\t\\x1b[31m\\x7f\\xff\\xc2\\x85"
                                 "\\xe2\\x80\\xa8 caf\xc3\xa9\n"));
}

static void a_long_line_is_cut_at_4096_bytes_and_still_ends(void **state) {
    static char text[10000];

    memset(text, 'x', sizeof(text) - 1);
    log_info("text=%s", text);
    const char *line = logged();
    assert_int_equal(strlen(line), 4096);
    assert_string_equal(line + 4090, "xxxxx\n");
    memset(text, '\n', sizeof(text) - 1);
    errno = ENOENT;
    log_error_errno("text=%s", text); /* escapes grow the text; the reason still fits */
    line = logged();
    assert_true(strlen(line) <= 4096);
    assert_non_null(strstr(line, "\\n error=\"No such file or directory\"\n"));
}

static void errno_is_told_and_kept(void **state) {
    errno = EACCES;
    log_warn_errno("path=x");
    assert_int_equal(errno, EACCES);
    assert_non_null(strstr(logged(), "level=warn proc=test"));
    errno = EACCES;
    log_warn_errno("path=x");
    assert_non_null(strstr(logged(), " path=x error=\"Permission denied\"\n"));
    errno = 5;
    log_info("x=1");
    assert_int_equal(errno, 5);
}

static void a_stalled_reader_costs_lines_not_time(void **state) {
    int64_t start_ms = clock_monotonic_ms();
    for (int i = 0; i < 3000; i++)
        log_info("number=%d padding=%0200d", i, 0); /* about 800 kB; the pipe holds 64 */
    assert_true(clock_monotonic_ms() - start_ms < 2000);
    while (*logged() != '\0')
        continue;
    log_info("number=after");
    const char *line = logged();
    assert_non_null(strstr(line, "event=log_lines_dropped count=2"));
    assert_non_null(strstr(line, "number=after\n"));
    log_info("number=later");
    assert_null(strstr(logged(), "dropped"));
}

static void a_reader_that_went_away_is_survived(void **state) {
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(null, log_pipe[0]); /* closes the read end */
    close(null);
    pid_t pid = fork();
    if (pid == 0) {
        sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
        log_info("x=1");
        close(STDERR_FILENO);
        log_info("x=2");
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void fatal_says_why_and_exits_1(void **state) {
    pid_t pid = fork();
    if (pid == 0) {
        errno = ENOSPC;
        fatal_errno("event=broken");
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_non_null(strstr(logged(), "level=error proc=test pid="));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_names_time_level_process_and_message, capture, release),
        cmocka_unit_test_setup_teardown(levels_below_the_threshold_are_silent, capture, release),
        cmocka_unit_test(level_names),
        cmocka_unit_test_setup_teardown(text_from_outside_cannot_forge_a_line, capture, release),
        cmocka_unit_test_setup_teardown(a_long_line_is_cut_at_4096_bytes_and_still_ends, capture, release),
        cmocka_unit_test_setup_teardown(errno_is_told_and_kept, capture, release),
        cmocka_unit_test_setup_teardown(a_stalled_reader_costs_lines_not_time, capture, release),
        cmocka_unit_test_setup_teardown(a_reader_that_went_away_is_survived, capture, release),
        cmocka_unit_test_setup_teardown(fatal_says_why_and_exits_1, capture, release),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
