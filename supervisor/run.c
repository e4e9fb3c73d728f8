/* SPDX-License-Identifier: MIT
 * Runs of programs. Descriptor numbers in the child are fixed by the table below; what is not in the table is
 * closed, and what is not in its audience's settings is not in its environment. */
#include "supervisor/run.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/process.h"
#include "lib/text.h"
#include "supervisor/embedded.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_FD 3
#define PROBE_MS 10
#define FORCED_MS 2000 /* between force_signal and SIGKILL */

/* Not settings, but a program can't do without: handed on as we have them. */
static const char *const passed_on[] = {
    "PATH", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"};

enum passing { PASS_READY, PASS_COUNTERS, PASS_LISTENER, PASS_CONTROL, PASS_HEALTH, PASS_COUNT };

static const char *const passing_variables[PASS_COUNT] = {[PASS_READY] = "FILEMILL_READY_FD",
                                                          [PASS_COUNTERS] = "FILEMILL_COUNTERS_FD",
                                                          [PASS_LISTENER] = "FILEMILL_LISTEN_FD",
                                                          [PASS_CONTROL] = "FILEMILL_CONTROL_FD",
                                                          [PASS_HEALTH] = "FILEMILL_HEALTH_FD"};

/* The child's ends; -1: not passed. All but listener and health are closed here once it has started. */
struct ends {
    int fds[PASS_COUNT];
    int input;
};

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Text in memory, to be a child's standard input; -1 with errno. */
static int memory_file(const char *text) {
    int fd = memfd_create("filemill-input", MFD_CLOEXEC);

    if (fd >= 0 && (write(fd, text, strlen(text)) != (ssize_t)strlen(text) || lseek(fd, 0, SEEK_SET) != 0))
        close_fd(&fd);
    return fd;
}

static int open_ready_pipe(struct run *run, struct ends *ends) {
    int both[2];

    if (pipe2(both, O_CLOEXEC) != 0)
        return -1;
    (void)fcntl(both[0], F_SETFL, O_NONBLOCK); /* our end only */
    run->ready_fd = both[0];
    ends->fds[PASS_READY] = both[1];
    return 0;
}

static int open_control(struct run *run, struct ends *ends) {
    int both[2];

    if (control_pair(both) != 0)
        return -1;
    run->control = control_new(run->launch->loop, both[0], NULL, NULL);
    ends->fds[PASS_CONTROL] = both[1];
    return 0;
}

static int open_ends(struct run *run, int listen_fd, struct ends *ends) {
    unsigned needs = run->service->needs;

    if (run->service->is_ready == NULL && run->service->ending == ENDING_RESTARTS &&
        open_ready_pipe(run, ends) != 0)
        return -1;
    if ((needs & NEEDS_COUNTERS) != 0) {
        run->counters = counters_create(&ends->fds[PASS_COUNTERS]);
        if (run->counters == NULL)
            return -1;
    }
    if ((needs & NEEDS_CONTROL) != 0 && open_control(run, ends) != 0)
        return -1;
    if ((needs & NEEDS_BOOTSTRAP) != 0) {
        char *statements = embedded_bootstrap(run->launch->secrets);
        ends->input = memory_file(statements);
        explicit_bzero(statements, strlen(statements));
        free(statements);
        if (ends->input < 0)
            return -1;
    }
    ends->fds[PASS_LISTENER] = (needs & NEEDS_LISTENER) != 0 ? listen_fd : -1;
    ends->fds[PASS_HEALTH] = (needs & NEEDS_HEALTH) != 0 ? run->launch->health_fd : -1;
    return 0;
}

static void close_ends(struct ends *ends) {
    close_fd(&ends->fds[PASS_READY]);
    close_fd(&ends->fds[PASS_COUNTERS]);
    close_fd(&ends->fds[PASS_CONTROL]);
    close_fd(&ends->input);
}

/* Connections for every pool of every process, twice over while generations overlap, and some for people. */
static char *connections_needed(const struct settings *settings) {
    int64_t pools = 2 * (settings->gateway_processes + 1);

    return memory_format("%lld", (long long)(20 + pools * (settings->database_pool + 1)));
}

static void make_environment(const struct run *run, const struct ends *ends, struct variables *variables) {
    char **settings = settings_environment(&run->launch->configuration->settings, run->service->audience);
    int number = FIRST_FD;

    variables_merge(variables, settings);
    options_free_environment(settings);
    variables_set(variables, "LANG", "C.UTF-8");
    for (size_t i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++) {
        const char *value = getenv(passed_on[i]);
        if (value != NULL)
            variables_set(variables, passed_on[i], value);
    }
    for (size_t i = 0; i < PASS_COUNT; i++) {
        char text[16];
        if (ends->fds[i] < 0)
            continue;
        (void)text_format(text, sizeof text, "%d", number++);
        variables_set(variables, passing_variables[i], text);
    }
}

static size_t make_descriptors(const struct ends *ends, struct process_descriptor *descriptors) {
    size_t count = 0;
    int number = FIRST_FD;

    for (size_t i = 0; i < PASS_COUNT; i++) {
        if (ends->fds[i] >= 0)
            descriptors[count++] = (struct process_descriptor){.from = ends->fds[i], .to = number++};
    }
    if (ends->input >= 0)
        descriptors[count++] = (struct process_descriptor){.from = ends->input, .to = STDIN_FILENO};
    return count;
}

static int spawn(struct run *run, const struct ends *ends) {
    const struct layout *layout = run->launch->layout;
    struct process_descriptor descriptors[PASS_COUNT + 1];
    struct variables variables = {0};
    char *path = memory_format("%s/%s", process_own_directory(), run->service->program);
    char *connections = connections_needed(&run->launch->configuration->settings);
    char index[16];
    char *plain[] = {path, (run->service->needs & NEEDS_INDEX) != 0 ? index : NULL, NULL};
    char *embedded[] = {path,
                        memory_copy_text(run->service->verb != NULL ? run->service->verb : ""),
                        layout->postgres,
                        layout->sockets,
                        connections,
                        NULL};

    (void)text_format(index, sizeof index, "%u", run->index);
    make_environment(run, ends, &variables);
    const struct process_plan plan = {.path = path,
                                      .arguments = run->service->verb != NULL ? embedded : plain,
                                      .environment = variables.list,
                                      .descriptors = descriptors,
                                      .descriptor_count = make_descriptors(ends, descriptors),
                                      .set_user = layout->set_user,
                                      .user = layout->user,
                                      .group = layout->group,
                                      .directory = "/",
                                      .own_session = true};
    run->pid = process_spawn(&plan, &run->pidfd);
    int saved_errno = errno;
    variables_clear(&variables);
    free(embedded[1]);
    free(connections);
    free(path);
    errno = saved_errno;
    return run->pid > 0 ? 0 : -1;
}

static void run_free(struct run *run) {
    loop_watch_free(run->death);
    loop_watch_free(run->readiness);
    loop_timer_free(run->probe);
    loop_timer_free(run->deadline);
    close_fd(&run->ready_fd);
    close_fd(&run->pidfd);
    control_free(run->control);
    counters_free(run->counters);
    free(run);
}

static void become_ready(struct run *run) {
    loop_watch_free(run->readiness);
    run->readiness = NULL;
    close_fd(&run->ready_fd);
    loop_timer_stop(run->deadline);
    if (run->probe != NULL)
        loop_timer_stop(run->probe);
    run->is_ready = true;
    run->ready_ms = clock_monotonic_ms();
    run->launch->on_ready(run->context, run);
}

static void on_readiness(void *context, uint32_t events) {
    struct run *run = context;
    char text[16];

    ssize_t size = read(run->ready_fd, text, sizeof text);
    if (size > 0) {
        become_ready(run);
    } else if (size == 0) { /* it closed the pipe in silence: its death or the deadline will tell */
        loop_watch_free(run->readiness);
        run->readiness = NULL;
    }
}

static void on_probe(void *context) {
    struct run *run = context;

    if (run->service->is_ready(run->launch->layout, run->pid))
        become_ready(run);
    else
        loop_timer_set(run->probe, PROBE_MS);
}

static void on_exit_seen(void *context, uint32_t events) {
    (void)run_reap(context);
}

static void signal_run(const struct run *run, int signal_number) {
    if (syscall(SYS_pidfd_send_signal, run->pidfd, signal_number, NULL, 0) != 0 && errno != ESRCH)
        log_warn_errno("service=%s child=%d event=not_signalled", run->service->name, (int)run->pid);
}

static void on_deadline(void *context) {
    struct run *run = context;
    bool gently = run->service->force_signal != 0 && !run->forced;

    log_warn("service=%s child=%d event=deadline signal=%s", run->service->name, (int)run->pid,
             gently ? sigabbrev_np(run->service->force_signal) : "KILL");
    run->forced = true;
    signal_run(run, gently ? run->service->force_signal : SIGKILL);
    if (gently)
        loop_timer_set(run->deadline, FORCED_MS);
}

void run_stop(struct run *run, int signal_number, int64_t grace_ms) {
    signal_run(run, signal_number);
    if (grace_ms >= 0)
        loop_timer_set(run->deadline, grace_ms);
    else
        loop_timer_stop(run->deadline);
}

struct run *run_start(const struct launch *launch, const struct service *service, unsigned index,
                      int listen_fd, unsigned generation, void *context) {
    struct ends ends = {.fds = {-1, -1, -1, -1, -1}, .input = -1};
    struct run *run = memory_new(sizeof *run);

    run->launch = launch;
    run->service = service;
    run->context = context;
    run->index = index;
    run->generation = generation;
    run->ready_fd = -1;
    run->pidfd = -1;
    run->started_ms = clock_monotonic_ms();
    if (open_ends(run, listen_fd, &ends) != 0 || spawn(run, &ends) != 0) {
        int saved_errno = errno;
        log_error_errno("service=%s state=not_started program=%s/%s", service->name, process_own_directory(),
                        service->program);
        close_ends(&ends);
        run_free(run);
        errno = saved_errno;
        return NULL;
    }
    close_ends(&ends);
    run->death = loop_watch_new(launch->loop, run->pidfd, LOOP_READ, on_exit_seen, run);
    run->deadline = loop_timer_new(launch->loop, on_deadline, run);
    loop_timer_set(run->deadline, service->ready_within_ms);
    if (run->ready_fd >= 0)
        run->readiness = loop_watch_new(launch->loop, run->ready_fd, LOOP_READ, on_readiness, run);
    if (service->is_ready != NULL) {
        run->probe = loop_timer_new(launch->loop, on_probe, run);
        loop_timer_set(run->probe, PROBE_MS);
    }
    return run;
}

bool run_reap(struct run *run) {
    siginfo_t info = {0};
    int status;

    if (waitid(P_PIDFD, (id_t)run->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
        return false;
    if (waitpid(run->pid, &status, WNOHANG) != run->pid)
        return false;
    /* A quick one may have said ready and died in the same turn. */
    run->launch->on_death(run->context, run, status);
    run_free(run);
    return true;
}
