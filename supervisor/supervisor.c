/* SPDX-License-Identifier: MIT
 * Wiring of a node: makes its places, starts them stage by stage, reaps, and hands signals on. It parses
 * nothing from outside but the configuration and the operators' socket. */
#include "supervisor/supervisor.h"

#include "lib/clock.h"
#include "lib/counters.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/process.h"
#include "lib/text.h"
#include "supervisor/embedded.h"
#include "supervisor/listener.h"
#include "supervisor/notify.h"
#include "supervisor/operators.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

const char *const phase_names[PHASE_COUNT] = {
    [PHASE_STARTING] = "starting",
    [PHASE_SERVING] = "serving",
    [PHASE_DRAINING] = "draining",
    [PHASE_STOPPED] = "stopped",
};

void supervisor_each(struct supervisor *supervisor,
                     void (*fn)(struct supervisor *supervisor, struct child *child)) {
    for (unsigned i = 0; i < SERVICE_COUNT; i++) {
        for (unsigned j = 0; j < CHILDREN_MAX; j++) {
            if (supervisor->children[i][j] != NULL)
                fn(supervisor, supervisor->children[i][j]);
        }
    }
}

unsigned supervisor_failed(const struct supervisor *supervisor) {
    unsigned failed = 0;

    for (unsigned i = 0; i < SERVICE_COUNT; i++) {
        for (unsigned j = 0; j < CHILDREN_MAX; j++) {
            const struct child *child = supervisor->children[i][j];
            failed += child != NULL && child->state == CHILD_FAILED ? 1 : 0;
        }
    }
    return failed;
}

const char *supervisor_health(const struct supervisor *supervisor) {
    if (supervisor->phase != PHASE_SERVING)
        return phase_names[supervisor->phase];
    for (unsigned i = 0; i < SERVICE_COUNT; i++) {
        for (unsigned j = 0; j < supervisor->counts[i]; j++) {
            const struct child *child = supervisor->children[i][j];
            if (child != NULL && child->state != CHILD_READY && child->state != CHILD_DONE)
                return "degraded";
        }
    }
    return "ready";
}

struct child *supervisor_add_child(struct supervisor *supervisor, unsigned service, unsigned index,
                                   char *error, size_t error_size) {
    const struct service *row = &services[service];
    const char *settings = (const char *)&supervisor->configuration.settings;
    char detail[256];
    int fd = -1;

    if ((row->needs & NEEDS_LISTENER) != 0) {
        const char *address = *(char *const *)(settings + row->address_offset);
        int64_t port = *(const int64_t *)(settings + row->port_offset);
        fd = listener_open(address, (uint16_t)port, index == 0, detail, sizeof detail);
        if (fd < 0) {
            (void)text_format(error, error_size, "%s-port: %s", row->name, detail);
            return NULL;
        }
    }
    struct child *child = child_new(&supervisor->host, row, index);
    child->listen_fd = fd;
    supervisor->children[service][index] = child;
    return child;
}

static int make_children(struct supervisor *supervisor, char *error, size_t error_size) {
    for (unsigned i = 0; i < SERVICE_COUNT; i++) {
        supervisor->counts[i] = service_count(&services[i], &supervisor->configuration);
        for (unsigned j = 0; j < supervisor->counts[i]; j++) {
            if (supervisor_add_child(supervisor, i, j, error, error_size) == NULL)
                return -1;
        }
    }
    return 0;
}

/* Starts `filemill VERB` beside the node, as the user who started us; -1 with a line. It is reaped as any
 * orphan. */
static pid_t start_verb(const struct supervisor *supervisor, char *verb) {
    char *path = memory_format("%s/filemill", process_own_directory());
    char *arguments[] = {path, verb, "--state-directory", supervisor->layout.state, NULL};
    const struct process_plan plan = {.path = path, .arguments = arguments, .environment = environ};
    int pidfd = -1;
    pid_t pid = process_spawn(&plan, &pidfd);

    if (pid < 0)
        log_error_errno("program=%s state=not_started", path);
    else
        close(pidfd);
    free(path);
    return pid;
}

static void become_serving(struct supervisor *supervisor) {
    const struct settings *settings = &supervisor->configuration.settings;

    supervisor->phase = PHASE_SERVING;
    notify_send("READY=1\nSTATUS=serving");
    log_info("state=%s after_ms=%lld url=http://%s:%lld", supervisor_health(supervisor),
             (long long)(clock_monotonic_ms() - supervisor->started_ms), settings->gateway_address,
             (long long)settings->gateway_port);
    if (supervisor->runs_demo) /* a client like any other */
        supervisor->demo_pid = start_verb(supervisor, "demo");
    supervisor->runs_demo = false;
}

/* Starts what may start; true when every wanted child is settled. */
static bool start_stages(struct supervisor *supervisor) {
    for (enum stage stage = 0; stage < STAGE_COUNT; stage++) {
        bool settled = true;
        for (unsigned i = 0; i < SERVICE_COUNT; i++) {
            for (unsigned j = 0; services[i].stage == stage && j < supervisor->counts[i]; j++) {
                struct child *child = supervisor->children[i][j];
                if (child->state == CHILD_STOPPED)
                    child_start(child);
                settled = settled && child_is_settled(child);
            }
        }
        if (!settled)
            return false;
    }
    return true;
}

static void publish_failures(struct supervisor *supervisor) {
    unsigned failed = supervisor_failed(supervisor);

    counter_set(COUNT_SUPERVISOR_FAILED, failed);
    if (failed == supervisor->last_failed || supervisor->phase != PHASE_SERVING)
        return;
    notify_send(failed > 0 ? "STATUS=degraded: a service died too often" : "STATUS=serving");
    supervisor->last_failed = failed;
}

static void on_turn(void *context) {
    struct supervisor *supervisor = context;

    if (supervisor->phase == PHASE_STARTING && start_stages(supervisor))
        become_serving(supervisor);
    if (supervisor->phase == PHASE_SERVING)
        renewal_advance(supervisor);
    publish_failures(supervisor);
    if (supervisor->phase == PHASE_DRAINING)
        drain_advance(supervisor);
}

static void on_child_changed(void *context, struct child *child) {
    struct supervisor *supervisor = context;

    loop_timer_set(supervisor->turn, 0);
}

static void on_stop_signal(void *context, int signal_number) {
    log_info("signal=%s", sigabbrev_np(signal_number));
    drain_request(context);
}

/* A terminal that was closed sends the same signal as an operator who wants the configuration reread. */
static bool has_lost_terminal(const struct supervisor *supervisor) {
    int fd = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd >= 0)
        close(fd);
    return supervisor->had_terminal && fd < 0;
}

static void on_hangup_signal(void *context, int signal_number) {
    struct supervisor *supervisor = context;
    char error[512];

    if (has_lost_terminal(supervisor)) {
        log_info("signal=HUP event=terminal_closed");
        drain_request(supervisor);
    } else {
        (void)renewal_reload(supervisor, error, sizeof error);
    }
}

static bool reap_own(struct supervisor *supervisor, pid_t pid) {
    for (unsigned i = 0; i < SERVICE_COUNT; i++) {
        for (unsigned j = 0; j < CHILDREN_MAX; j++) {
            if (supervisor->children[i][j] != NULL && child_reap(supervisor->children[i][j], pid))
                return true;
        }
    }
    return false;
}

/* Prints the console's address with a one-time code, as the user who started us could. */
static void print_console(const struct supervisor *supervisor) {
    printf("Its console, signed in once, within five minutes (`filemill console` makes another link):\n");
    (void)fflush(stdout);
    (void)start_verb(supervisor, "console");
}

/* The lines of ours that are for the person who watches the demo. */
static void end_demo(struct supervisor *supervisor) {
    const struct settings *settings = &supervisor->configuration.settings;

    supervisor->demo_pid = 0;
    if (supervisor->phase != PHASE_SERVING)
        return;
    printf("\nFilemill serves at http://%s:%lld until Ctrl-C.\n", settings->gateway_address,
           (long long)settings->gateway_port);
    (void)fflush(stdout);
    if (settings->console)
        print_console(supervisor);
}

/* Reaps everything that has died: our children by their place, orphans that fell to us by the way. */
static void on_child_signal(void *context, int signal_number) {
    struct supervisor *supervisor = context;
    siginfo_t info = {0};

    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
        pid_t pid = info.si_pid;
        info.si_pid = 0;
        if (reap_own(supervisor, pid))
            continue;
        if (waitpid(pid, NULL, WNOHANG) != pid)
            break;
        if (pid == supervisor->demo_pid)
            end_demo(supervisor);
        else
            counter_set(COUNT_SUPERVISOR_STRANGERS, ++supervisor->strangers);
    }
}

/* Our own counters, which gateways may read: returns a descriptor that can't be written through. */
static int share_own_counters(void) {
    char text[64];
    int fd = -1;

    struct counters *counters = counters_create(&fd);
    if (counters == NULL)
        fatal_errno("event=counters_not_made");
    (void)text_format(text, sizeof text, "/proc/self/fd/%d", fd);
    int read_only = open(text, O_RDONLY | O_CLOEXEC);
    if (read_only < 0)
        fatal_errno("event=counters_not_shared");
    (void)text_format(text, sizeof text, "%d", fd);
    (void)setenv("FILEMILL_COUNTERS_FD", text, 1);
    counters_attach(); /* closes fd */
    (void)unsetenv("FILEMILL_COUNTERS_FD");
    counters_free(counters);
    return read_only;
}

static void set_up(struct supervisor *supervisor) {
    int terminal = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY);

    supervisor->had_terminal = terminal >= 0;
    if (terminal >= 0)
        close(terminal);
    (void)signal(SIGCHLD, SIG_DFL);
    if (getpid() != 1 && prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        log_warn_errno("event=no_subreaper");
    supervisor->loop = loop_new();
    supervisor->started_ms = clock_monotonic_ms();
    supervisor->turn = loop_timer_new(supervisor->loop, on_turn, supervisor);
    supervisor->host = (struct child_host){.loop = supervisor->loop,
                                           .generation = 1,
                                           .context = supervisor,
                                           .changed = on_child_changed,
                                           .launch = {.loop = supervisor->loop,
                                                      .configuration = &supervisor->configuration,
                                                      .layout = &supervisor->layout,
                                                      .secrets = &supervisor->secrets,
                                                      .health_fd = share_own_counters()}};
    child_host_init(&supervisor->host);
    loop_signal_new(supervisor->loop, SIGTERM, on_stop_signal, supervisor);
    loop_signal_new(supervisor->loop, SIGINT, on_stop_signal, supervisor);
    loop_signal_new(supervisor->loop, SIGHUP, on_hangup_signal, supervisor);
    loop_signal_new(supervisor->loop, SIGCHLD, on_child_signal, supervisor);
}

/* What no child's death took with it: orphans that left their session. Up to a second of patience. */
static void kill_leftovers(void) {
    char path[64];
    char text[4096];
    int64_t deadline_ms = clock_monotonic_ms() + 1000;

    (void)text_format(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    while (clock_monotonic_ms() < deadline_ms) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid > 0)
            continue;
        if (pid < 0)
            return; /* none left */
        FILE *stream = fopen(path, "re");
        if (stream == NULL)
            return;
        text[fread(text, 1, sizeof text - 1, stream)] = '\0';
        fclose(stream);
        for (char *word = text, *end; (pid = (pid_t)strtol(word, &end, 10)) > 0; word = end)
            (void)kill(pid, SIGKILL);
        usleep(2000);
    }
}

static void free_child(struct supervisor *supervisor, struct child *child) {
    child_free(child);
}

/* Everything that may refuse a start, before any process is started; -1 with one line. */
static int prepare(struct supervisor *supervisor, int *lock, char *error, size_t error_size) {

    *lock = -1;
    if (configuration_load(&supervisor->configuration, supervisor->sources, error, error_size) != 0)
        return -1;
    settings_apply_log(&supervisor->configuration.settings);
    if (layout_find(&supervisor->layout, &supervisor->configuration.settings, error, error_size) != 0)
        return -1;
    *lock = layout_prepare(&supervisor->layout, error, error_size);
    if (*lock < 0 || embedded_secrets(&supervisor->secrets, &supervisor->layout, error, error_size) != 0)
        return -1;
    embedded_fill(&supervisor->configuration, &supervisor->layout, &supervisor->secrets);
    set_up(supervisor);
    return make_children(supervisor, error, error_size);
}

int supervisor_publish_settings(const struct supervisor *supervisor, char *error, size_t error_size) {
    char **settings = settings_environment(&supervisor->configuration.settings, FOR_ALL);
    int result = variables_write(settings, supervisor->layout.instance);

    if (result != 0)
        (void)text_format(error, error_size, "%s: %s", supervisor->layout.instance, strerror(errno));
    options_free_environment(settings);
    return result;
}

int supervisor_serve(struct sources *sources, bool runs_demo) {
    struct supervisor *supervisor = memory_new(sizeof *supervisor);
    struct operators *operators = NULL;
    char error[512];
    int lock = -1;
    int status = 2;

    supervisor->sources = sources;
    supervisor->runs_demo = runs_demo;
    log_init("supervisor", LOG_INFO);
    process_raise_open_files();
    if (prepare(supervisor, &lock, error, sizeof error) != 0 ||
        supervisor_publish_settings(supervisor, error, sizeof error) != 0 ||
        (operators = operators_new(supervisor, error, sizeof error)) == NULL) {
        log_error("state=refused error=\"%s\"", error);
        goto free_all;
    }
    log_info("state=starting version=%s directory=%s", FILEMILL_VERSION, supervisor->layout.state);
    notify_watchdog_start(supervisor->loop);
    loop_timer_set(supervisor->turn, 0);
    status = loop_run(supervisor->loop);
    kill_leftovers();
    log_info("state=stopped");

free_all:
    operators_free(operators);
    supervisor_each(supervisor, free_child);
    if (supervisor->loop != NULL) {
        loop_free(supervisor->loop);
        close(supervisor->host.launch.health_fd);
    }
    variables_clear(&supervisor->secrets);
    layout_clear(&supervisor->layout);
    configuration_clear(&supervisor->configuration);
    if (lock >= 0)
        close(lock);
    free(supervisor);
    return status;
}
