/* SPDX-License-Identifier: MIT
 * The page that a runner and its watchers share: how far the document is. The runner may write anything into
 * it; the watchers only compare and pass on. Its file is sealed against resizing before a runner sees it. */
#ifndef WORKERS_PROGRESS_H
#define WORKERS_PROGRESS_H

#include <stdatomic.h>
#include <stdint.h>

#define PROGRESS_PAGE_BYTES 4096

struct progress_page {
    _Atomic uint64_t done;
    _Atomic uint64_t total; /* 0: unknown */
};

#endif
