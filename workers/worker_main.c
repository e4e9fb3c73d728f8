/* SPDX-License-Identifier: MIT
 * The worker program: `filemill-worker [number]`, the number telling a node's workers apart across restarts.
 * Wiring and signals; see worker.c. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/counters.h"
#include "lib/log.h"
#include "lib/process.h"
#include "lib/text.h"
#include "workers/sandbox.h"
#include "workers/worker.h"

struct running {
    struct worker *worker;
    int64_t drain_ms;
    bool told;
};

/* The second signal jumps to the deadline. */
static void on_stop(void *context, int signal_number) {
    struct running *running = context;

    worker_drain(running->worker, running->told ? 0 : running->drain_ms);
    running->told = true;
}

static void lock_down(const struct settings *settings) {
    if (sandbox_enter_worker() == 0)
        return;
    if (settings->sandbox_required)
        fatal_errno("worker not locked down");
    log_warn_errno("state=not-locked-down");
}

int main(int argc, char **argv) {
    struct settings settings;
    struct running running = {0};
    char name[65];
    int status = 1;

    settings_load(&settings, "worker");
    if (argc == 2) /* the name of its place, the same for whoever follows it there */
        (void)text_format(name, sizeof name, "worker-%.32s", argv[1]);
    else
        (void)text_format(name, sizeof name, "worker-pid%d", (int)getpid());
    counters_attach();
    (void)signal(SIGPIPE, SIG_IGN);
    struct loop *loop = loop_new();
    running.drain_ms = settings.drain_ms;
    running.worker = worker_new(loop, &settings, name);
    if (running.worker != NULL) {
        loop_signal_new(loop, SIGTERM, on_stop, &running);
        loop_signal_new(loop, SIGINT, on_stop, &running);
        lock_down(&settings);
        process_report_ready();
        status = loop_run(loop);
    }
    worker_free(running.worker);
    loop_free(loop);
    settings_clear(&settings);
    return status;
}
