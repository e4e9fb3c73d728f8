/* SPDX-License-Identifier: MIT
 * Running our own programs and reading what they say. */
#include "doctor/doctor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/process.h"
#include "lib/text.h"

#define PROGRAM_MS 30000
#define ARGUMENTS_MAX 8

extern char **environ;

/* Until the end of what it says, or of its time. */
static bool read_all(int fd, char *text, size_t size) {
    int64_t deadline_ms = clock_monotonic_ms() + PROGRAM_MS;
    size_t used = 0;
    char rest[4096];

    for (;;) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        bool full = used + 1 >= size;
        ssize_t got;
        text[used] = '\0';
        if (left_ms <= 0 || poll(&wait, 1, (int)left_ms) <= 0)
            return false;
        got = read(fd, full ? rest : text + used, full ? sizeof rest : size - used - 1);
        if (got <= 0)
            return got == 0;
        used += full ? 0 : (size_t)got;
    }
}

int doctor_program(const char *name, const char *const *arguments, int input, char *text, size_t size) {
    char path[4096], *list[ARGUMENTS_MAX + 2] = {path};
    int ends[2], pidfd = -1, status = 0;
    size_t count = 1;
    bool complete;
    pid_t pid;

    text[0] = '\0';
    if (text_format(path, sizeof path, "%s/%s", process_own_directory(), name) != 0 ||
        pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    for (; arguments[count - 1] != NULL && count <= ARGUMENTS_MAX; count++)
        list[count] = (char *)(uintptr_t)arguments[count - 1];
    const struct process_descriptor descriptors[] = {
        {ends[1], STDOUT_FILENO}, {ends[1], STDERR_FILENO}, {input, STDIN_FILENO}};
    const struct process_plan plan = {.path = path,
                                      .arguments = list,
                                      .environment = environ,
                                      .descriptors = descriptors,
                                      .descriptor_count = input >= 0 ? 3 : 2};
    pid = process_spawn(&plan, &pidfd);
    close(ends[1]);
    complete = pid > 0 && read_all(ends[0], text, size);
    close(ends[0]);
    if (pid <= 0)
        return -1;
    if (!complete)
        (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
    close(pidfd);
    return complete && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
