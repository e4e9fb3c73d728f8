/* SPDX-License-Identifier: MIT
 * The sandbox: the kernel's layers, and a few attempts of a runner to get out of it. A runner tries what it
 * must not be able to do, as the processor `selftest`; it must be refused or die of it. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doctor/doctor.h"
#include "lib/text.h"
#include "workers/sandbox.h"

#define ANSWER_SIZE 4096

static const char *const probes[] = {"socket_inet",    "execve",      "fork",
                                     "ptrace_traceme", "open_passwd", "create"};

static bool may_unshare(void) {
    int status = 1;
    pid_t child = fork();

    if (child == 0)
        _exit(sandbox_unshare() == 0 ? 0 : 1);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static void check_layers(struct doctor *doctor) {
    struct sandbox *sandbox = sandbox_new();
    bool namespaces = may_unshare();
    char layers[SANDBOX_LAYERS_SIZE];

    sandbox_describe(sandbox, false, layers);
    doctor_note(
        doctor, "sandbox.layers",
        sandbox_is_complete(sandbox)        ? VERDICT_OK
        : doctor->settings.sandbox_required ? VERDICT_FAIL
                                            : VERDICT_WARN,
        "A kernel of 5.13 or later with Landlock in its list of LSMs (lsm=landlock,... on its command line), "
        "and a container engine whose profile lets seccomp and Landlock through. No worker starts without.",
        "%s", layers);
    doctor_note(doctor, "sandbox.namespaces", namespaces ? VERDICT_OK : VERDICT_WARN,
                "A third layer that is nice to have: kernel.unprivileged_userns_clone=1, or in Docker "
                "docker-compose.namespaces.yml.",
                "%s", namespaces ? "permitted" : "not permitted");
    sandbox_free(sandbox);
}

static bool is_refused(const char *answer) {
    static const char *const refusals[] = {"\"errno\":1}", "\"errno\":13}", "\"errno\":38}",
                                           "sandbox_violation"};

    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (strstr(answer, refusals[i]) != NULL)
            return true;
    }
    return false;
}

void doctor_sandbox(struct doctor *doctor) {
    char answer[ANSWER_SIZE], parameter[64], check[64];

    check_layers(doctor);
    for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++) {
        const char *const arguments[] = {"selftest", "--input", "/dev/null", "--param", parameter, NULL};
        (void)text_format(parameter, sizeof parameter, "probe=%s", probes[i]);
        (void)text_format(check, sizeof check, "sandbox.%s", probes[i]);
        (void)doctor_program("filemill-run", arguments, -1, answer, sizeof answer);
        if (is_refused(answer))
            doctor_note(doctor, check, VERDICT_OK, "", "refused");
        else
            doctor_note(doctor, check, VERDICT_FAIL,
                        "Do not process files on this machine: see docs/security.md, and the layers above.",
                        "%.300s", answer[0] != '\0' ? answer : "the runner gave no answer");
    }
}
