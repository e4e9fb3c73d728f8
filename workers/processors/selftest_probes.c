/* SPDX-License-Identifier: MIT
 * The probes. None leaves anything behind when it works outside: files are made under /tmp and removed,
 * signals are number 0, and what would change the machine is called with arguments that its handler refuses
 * with an errno of its own (that the call reached its handler is then what the control shows). */
#include "workers/processors/selftest_probes.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workers/processors/selftest_probes_parts.h"

static const struct selftest_probe *const groups[] = {selftest_probes_process, selftest_probes_files,
                                                      selftest_probes_kernel};

int probe_opened(long fd) {
    if (fd < 0)
        return errno;
    close((int)fd);
    return 0;
}

int probe_result_of(long status) {
    return status < 0 ? errno : 0;
}

int probe_reached(long status, int expected) {
    return status >= 0 || errno == expected ? 0 : errno;
}

int probe_wait_for(pid_t pid) {
    int status;

    return pid < 0 ? errno : waitpid(pid, &status, 0) == pid ? 0 : errno;
}

const struct selftest_probe *selftest_probe_at(size_t index) {
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        for (const struct selftest_probe *probe = groups[i]; probe->name != NULL; probe++) {
            if (index-- == 0)
                return probe;
        }
    }
    return NULL;
}

const struct selftest_probe *selftest_probe_find(const char *name) {
    const struct selftest_probe *probe;

    for (size_t i = 0; (probe = selftest_probe_at(i)) != NULL; i++) {
        if (strcmp(probe->name, name) == 0)
            return probe;
    }
    return NULL;
}
