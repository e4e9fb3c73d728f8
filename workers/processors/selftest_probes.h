/* SPDX-License-Identifier: MIT
 * Things that a runner must not be able to do, each as one function without arguments: 0 when it worked, else
 * the errno. The same functions run outside the sandbox as control: a probe that does not work there proves
 * nothing. */
#ifndef WORKERS_PROCESSORS_SELFTEST_PROBES_H
#define WORKERS_PROCESSORS_SELFTEST_PROBES_H

#include <stddef.h>

struct selftest_probe {
    const char *name;
    int (*attempt)(void);
};

const struct selftest_probe *selftest_probe_at(size_t index);       /* NULL beyond the last */
const struct selftest_probe *selftest_probe_find(const char *name); /* NULL if unknown */

#endif
