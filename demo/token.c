/* SPDX-License-Identifier: MIT
 * Runs filemill-token and reads its one line. */
#include "demo/token.h"

#include "lib/memory.h"
#include "lib/process.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOKEN_MAX 8192

extern char **environ;

/* -1 where it can't be started; `output` is closed in any case. */
static pid_t start(const char *user, int output, int *pidfd) {
    char *path = memory_format("%s/filemill-token", process_own_directory());
    char *whose = memory_copy_text(user);
    char option[] = "--user";
    char *arguments[] = {path, option, whose, NULL};
    const struct process_descriptor descriptors[] = {{.from = output, .to = STDOUT_FILENO}};
    const struct process_plan plan = {.path = path,
                                      .arguments = arguments,
                                      .environment = environ,
                                      .descriptors = descriptors,
                                      .descriptor_count = 1};
    pid_t pid = process_spawn(&plan, pidfd);

    close(output);
    free(whose);
    free(path);
    return pid;
}

char *token_make(const char *user) {
    int ends[2], pidfd = -1, status = -1;
    char token[TOKEN_MAX];
    size_t size = 0;
    ssize_t got;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return NULL;
    pid_t pid = start(user, ends[1], &pidfd);
    if (pid > 0) {
        while (size < sizeof token && (got = read(ends[0], token + size, sizeof token - size)) > 0)
            size += (size_t)got;
        waitpid(pid, &status, 0);
        close(pidfd);
    }
    close(ends[0]);
    while (size > 0 && token[size - 1] == '\n')
        size--;
    return status == 0 && size > 0 ? memory_copy_bytes(token, size) : NULL;
}
