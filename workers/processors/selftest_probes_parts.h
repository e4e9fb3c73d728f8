/* SPDX-License-Identifier: MIT
 * What the files of probes share: how a probe says what came of it. */
#ifndef WORKERS_PROCESSORS_SELFTEST_PROBES_PARTS_H
#define WORKERS_PROCESSORS_SELFTEST_PROBES_PARTS_H

#include <sys/types.h>

#include "workers/processors/selftest_probes.h"

/* A bit above the 32 that the kernel looks at. */
#define PROBE_HIGH_BIT (UINT64_C(1) << 32)

/* 0 when the result is not negative; closes a descriptor that came out. */
int probe_opened(long fd);
int probe_result_of(long status);
/* The call reached its handler, which refused the arguments. Descriptor 0 is closed, here and in the control:
 * EBADF is such an answer. */
int probe_reached(long status, int expected);
int probe_wait_for(pid_t pid);

/* Each ends with a row without a name. */
extern const struct selftest_probe selftest_probes_process[];
extern const struct selftest_probe selftest_probes_files[];
extern const struct selftest_probe selftest_probes_kernel[];

#endif
