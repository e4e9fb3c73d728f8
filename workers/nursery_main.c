/* SPDX-License-Identifier: MIT
 * The nursery programs: `filemill-nursery` with the worker's socket on descriptor 3 and its lines to the others on
 * those after it, or one of the others with its line on descriptor 3. It warms the engines,
 * prepares the sandbox, gives up what it can and serves. It refuses to start when warming left a second thread
 * (a fork would then copy locks that nobody releases) or when a required layer of the sandbox is missing.
 * `filemill-nursery policy compute|engine_data` prints the system call policy instead. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/log.h"
#include "workers/nursery.h"
#include "workers/processor.h"

/* Whatever engines have set, so that runners need not: the worker's spawning had left the defaults. */
static void reset_signals(void) {
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int count_threads(void) {
    DIR *directory = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;

    if (directory == NULL)
        return -1;
    while ((entry = readdir(directory)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static int print_policy(const char *profile) {
    if (strcmp(profile, "compute") != 0 && strcmp(profile, "engine_data") != 0) {
        fputs("usage: filemill-nursery policy compute|engine_data\n", stderr);
        return 2;
    }
    sandbox_print_policy(profile[0] == 'c' ? PROFILE_COMPUTE : PROFILE_ENGINE_DATA, stdout);
    return 0;
}

static void unshare_if_allowed(const struct settings *settings, struct nursery_start *start) {
    if (!settings->sandbox_namespaces)
        return;
    start->namespaces = sandbox_unshare() == 0;
    if (!start->namespaces)
        log_info("layer=namespaces state=not-permitted");
}

int main(int argc, char **argv) {
    struct settings settings;
    struct nursery_start start = {.settings = &settings, .carry = -1};
    int threads;

    if (argc == 3 && strcmp(argv[1], "policy") == 0)
        return print_policy(argv[2]);
    settings_load(&settings, "nursery");
    (void)prctl(PR_SET_NAME, "filemill-nurser", 0, 0, 0); /* a renewal is executed by descriptor */
    if (fcntl(NURSERY_SOCKET, F_GETFD) < 0)
        fatal("no worker on descriptor %d: started by hand?", NURSERY_SOCKET);
    if (argc != 2)
        unshare_if_allowed(&settings, &start);
    else if (nursery_read_state(&start, argv[1]) != 0)
        fatal("malformed state: %s", argv[1]);
    start.program = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    if (start.program < 0)
        fatal_errno("own program not found");
    if (processors_warm() != 0)
        fatal("engines not warm");
    reset_signals();
    struct sandbox *sandbox = sandbox_new();
    if (settings.sandbox_required && !sandbox_is_complete(sandbox)) {
        char layers[SANDBOX_LAYERS_SIZE];
        sandbox_describe(sandbox, start.namespaces, layers);
        fatal("sandbox incomplete, seccomp and Landlock are required: layers=%s", layers);
    }
    start.sandbox = sandbox;
    /* Changing namespaces and capabilities has cleared the death signal. */
    if (sandbox_drop_capabilities() != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        fatal_errno("privileges not dropped");
    threads = count_threads();
    if (threads != 1)
        fatal("warming left %d threads: fork would not be safe", threads);
    int status = nursery_serve(&start);
    sandbox_free(sandbox);
    settings_clear(&settings);
    return status;
}
