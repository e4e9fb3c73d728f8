/* SPDX-License-Identifier: MIT
 * A child gets what its plan names and nothing else, tells when it could not start, and dies with its parent.
 * The children are shells, whose /proc/self shows what they were given. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
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

#include "lib/process.h"
#include "lib/text.h"

static char *const no_environment[] = {NULL};

/* Runs a shell script by plan with its output in `output`; returns its wait status. */
static int run(struct process_plan plan, const char *script, char *output, size_t size) {
    char *const arguments[] = {"sh", "-c", (char *)(uintptr_t)script, NULL};
    struct process_descriptor descriptors[8] = {{0}};
    int ends[2];
    int pidfd = -1;
    size_t used = 0;
    ssize_t got;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (size_t i = 0; i < plan.descriptor_count; i++)
        descriptors[i] = plan.descriptors[i];
    descriptors[plan.descriptor_count] = (struct process_descriptor){.from = ends[1], .to = STDOUT_FILENO};
    plan.descriptors = descriptors;
    plan.descriptor_count++;
    plan.path = "/bin/sh";
    plan.arguments = arguments;
    pid_t pid = process_spawn(&plan, &pidfd);
    close(ends[1]);
    assert_true(pid > 0);
    assert_true(pidfd >= 0);
    assert_int_equal(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
    while (used < size - 1 && (got = read(ends[0], output + used, size - 1 - used)) > 0)
        used += (size_t)got;
    output[used] = '\0';
    close(ends[0]);

    int status = -1;
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    assert_int_equal(poll(&ended, 1, 10000), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(pidfd);
    return status;
}

static void a_child_runs_and_its_status_is_told(void **state) {
    char output[64];
    char text[32];

    int status = run((struct process_plan){0}, "echo hello; exit 3", output, sizeof(output));
    assert_string_equal(output, "hello\n");
    process_describe_status(text, sizeof(text), status);
    assert_string_equal(text, "exit 3");
    status = run((struct process_plan){0}, "kill -SEGV $$", output, sizeof(output));
    process_describe_status(text, sizeof(text), status);
    assert_string_equal(text, "signal 11 (SEGV)");
}

static void a_failed_exec_is_an_error_of_spawn(void **state) {
    char *const arguments[] = {"x", NULL};
    int pidfd = -7;
    struct process_plan plan = {.path = "/nonexistent/program", .arguments = arguments};

    assert_int_equal(process_spawn(&plan, &pidfd), -1);
    assert_int_equal(errno, ENOENT);
    plan.path = "/etc";
    assert_int_equal(process_spawn(&plan, &pidfd), -1);
    assert_int_equal(errno, EACCES);
    plan.path = "/bin/true";
    plan.directory = "/nonexistent";
    assert_int_equal(process_spawn(&plan, &pidfd), -1);
    assert_int_equal(errno, ENOENT);
    plan.directory = NULL;
    plan.descriptors = &(struct process_descriptor){.from = 987, .to = 3};
    plan.descriptor_count = 1;
    assert_int_equal(process_spawn(&plan, &pidfd), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no corpse is left */
    assert_int_equal(errno, ECHILD);
}

static void the_environment_is_the_planned_one(void **state) {
    char *const environment[] = {"A=1", "B=two words", NULL};
    char output[256];

    setenv("FILEMILL_TEST_SECRET", "hush", 1);
    run((struct process_plan){.environment = environment}, "tr '\\0' '\\n' < /proc/$$/environ", output,
        sizeof(output));
    assert_string_equal(output, "A=1\nB=two words\n");
    run((struct process_plan){0}, "tr '\\0' '\\n' < /proc/$$/environ", output, sizeof(output));
    assert_string_equal(output, "");
    unsetenv("FILEMILL_TEST_SECRET");
}

static void only_planned_descriptors_are_open(void **state) {
    char output[256];
    int extra[40];

    for (int i = 0; i < 40; i++)
        extra[i] = open("/dev/zero", O_RDONLY); /* not close-on-exec, on purpose */
    int high = fcntl(extra[0], F_DUPFD, 500);
    struct process_descriptor descriptors[] = {{.from = extra[5], .to = 7}};
    run((struct process_plan){.environment = no_environment,
                              .descriptors = descriptors,
                              .descriptor_count = 1},
        "readlink /proc/$$/fd/0; readlink /proc/$$/fd/7; exec ls /proc/$$/fd", output, sizeof(output));
    assert_string_equal(output, "/dev/null\n/dev/zero\n0\n1\n2\n3\n7\n"); /* 3 is the listing's own */
    for (int i = 0; i < 40; i++)
        close(extra[i]);
    close(high);
}

/* A file that holds one letter, under a descriptor of the given number. */
static void letter_at(char letter, int number) {
    FILE *file = tmpfile();

    assert_non_null(file);
    assert_true(fputc(letter, file) != EOF && fflush(file) == 0);
    assert_int_equal(dup2(fileno(file), number), number);
    assert_int_equal(lseek(number, 0, SEEK_SET), 0);
    fclose(file);
}

static void overlapping_numbers_do_not_overwrite_each_other(void **state) {
    /* A ring, a copy, a target that is someone's source, one that stays, and standard input. */
    const struct process_descriptor descriptors[] = {
        {.from = 143, .to = 144}, {.from = 144, .to = 145}, {.from = 145, .to = 143},
        {.from = 146, .to = 0},   {.from = 143, .to = 146}, {.from = 147, .to = 147},
    };
    char output[64];

    letter_at('a', 143);
    letter_at('b', 144);
    letter_at('c', 145);
    letter_at('d', 146);
    letter_at('e', 147);
    run((struct process_plan){.descriptors = descriptors, .descriptor_count = 6},
        "for fd in 143 144 145 0 146 147; do cat /proc/$$/fd/$fd; done", output, sizeof(output));
    assert_string_equal(output, "cabdae");
    for (int fd = 143; fd <= 147; fd++)
        close(fd);
}

static void signal_settings_do_not_reach_the_child(void **state) {
    char output[256];
    sigset_t set, before;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &before);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    run((struct process_plan){0}, "grep -E '^Sig(Blk|Ign)' /proc/self/status", output, sizeof(output));
    assert_string_equal(output, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    sigset_t now;
    sigprocmask(SIG_SETMASK, &before, &now);
    assert_true(sigismember(&now, SIGTERM)); /* and spawn gave the parent's mask back */
    assert_false(sigismember(&now, SIGINT));
    signal(SIGPIPE, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
}

static void directory_and_session_are_as_planned(void **state) {
    char output[256];
    char expected[64];

    run((struct process_plan){.directory = "/usr"}, "pwd", output, sizeof(output));
    assert_string_equal(output, "/usr\n");
    run((struct process_plan){.own_session = true}, "set -- $(cat /proc/$$/stat); echo $(($1 - $6))", output,
        sizeof(output));
    assert_string_equal(output, "0\n");
    run((struct process_plan){0}, "set -- $(cat /proc/$$/stat); echo $6", output, sizeof(output));
    snprintf(expected, sizeof(expected), "%ld\n", (long)getsid(0));
    assert_string_equal(output, expected);
}

static void a_dropped_user_has_nothing_left(void **state) {
    char output[512];
    uid_t user;
    gid_t group;

    if (geteuid() != 0) {
        print_message("skipped: only root can change its user\n");
        skip();
    }
    assert_int_equal(process_find_user("nobody", &user, &group), 0);
    assert_int_equal(setgroups(2, (const gid_t[]){4, 27}), 0); /* something to lose */
    run((struct process_plan){.set_user = true, .user = user, .group = group},
        "grep -E '^(Uid|Gid|Groups|CapEff):' /proc/self/status | tr -s '\\t ' ' '", output, sizeof(output));
    assert_int_equal(setgroups(0, NULL), 0);
    char expected[256];
    snprintf(expected, sizeof(expected),
             "Uid: %u %u %u %u\nGid: %u %u %u %u\nGroups: \nCapEff: 0000000000000000\n", user, user, user,
             user, group, group, group, group);
    assert_string_equal(output, expected);
}

static void users_are_found_by_name(void **state) {
    uid_t user = 77;
    gid_t group = 77;

    assert_int_equal(process_find_user("root", &user, &group), 0);
    assert_int_equal(user, 0);
    assert_int_equal(group, 0);
    assert_int_equal(process_find_user("no-such-user-here", &user, &group), -1);
}

/* In a process between: starts a sleeper, tells its pid, and dies without a word. */
static void spawn_sleeper_and_die(int report_fd, bool drop) {
    char *const arguments[] = {"sleep", "60", NULL};
    struct process_plan plan = {.path = "/bin/sleep", .arguments = arguments, .own_session = true};
    int pidfd;

    if (drop && (process_find_user("nobody", &plan.user, &plan.group) != 0))
        _exit(1);
    plan.set_user = drop;
    pid_t pid = process_spawn(&plan, &pidfd);
    if (pid < 0 || write(report_fd, &pid, sizeof(pid)) != sizeof(pid))
        _exit(1);
    _exit(0);
}

static void a_child_dies_with_its_parent(void **state) {
    /* A change of user clears the setting, so both ways are tried. */
    for (int drop = 0; drop <= (geteuid() == 0 ? 1 : 0); drop++) {
        int ends[2];
        pid_t sleeper = 0;
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid_t between = fork();
        if (between == 0)
            spawn_sleeper_and_die(ends[1], drop != 0);
        assert_int_equal(waitpid(between, NULL, 0), between);
        close(ends[1]);
        assert_int_equal(read(ends[0], &sleeper, sizeof(sleeper)), sizeof(sleeper));
        close(ends[0]);
        char path[64];
        char status[512] = "";
        snprintf(path, sizeof(path), "/proc/%ld/stat", (long)sleeper);
        /* Gone, or a zombie that init has not collected yet. */
        for (int tries = 0; tries < 200; tries++) {
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            ssize_t size = fd < 0 ? 0 : read(fd, status, sizeof(status) - 1);
            if (fd >= 0)
                close(fd);
            status[size > 0 ? size : 0] = '\0';
            if (status[0] == '\0' || strstr(status, ") Z ") != NULL)
                break;
            usleep(10000);
        }
        assert_true(status[0] == '\0' || strstr(status, ") Z ") != NULL);
    }
}

static void readiness_is_one_line_and_the_end_of_the_descriptor(void **state) {
    char number[16];
    char text[16] = "";
    int ends[2];

    process_report_ready(); /* no variable: nothing */
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    snprintf(number, sizeof(number), "%d", ends[1]);
    setenv("FILEMILL_READY_FD", number, 1);
    process_report_ready();
    assert_int_equal(read(ends[0], text, sizeof(text)), 6);
    assert_string_equal(text, "ready\n");
    assert_int_equal(read(ends[0], text, sizeof(text)), 0); /* closed */
    assert_null(getenv("FILEMILL_READY_FD"));
    process_report_ready();
    close(ends[0]);
}

static void the_own_directory_holds_the_own_program(void **state) {
    char path[4200];

    const char *directory = process_own_directory();
    assert_int_equal(directory[0], '/');
    assert_int_equal(text_format(path, sizeof(path), "%s/%s", directory, program_invocation_short_name), 0);
    assert_int_equal(access(path, X_OK), 0);
    assert_ptr_equal(process_own_directory(), directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_runs_and_its_status_is_told),
        cmocka_unit_test(a_failed_exec_is_an_error_of_spawn),
        cmocka_unit_test(the_environment_is_the_planned_one),
        cmocka_unit_test(only_planned_descriptors_are_open),
        cmocka_unit_test(overlapping_numbers_do_not_overwrite_each_other),
        cmocka_unit_test(signal_settings_do_not_reach_the_child),
        cmocka_unit_test(directory_and_session_are_as_planned),
        cmocka_unit_test(a_dropped_user_has_nothing_left),
        cmocka_unit_test(users_are_found_by_name),
        cmocka_unit_test(a_child_dies_with_its_parent),
        cmocka_unit_test(readiness_is_one_line_and_the_end_of_the_descriptor),
        cmocka_unit_test(the_own_directory_holds_the_own_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
