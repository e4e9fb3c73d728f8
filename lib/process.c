/* SPDX-License-Identifier: MIT
 * Starting children. fork and not clone3, which containers answer with ENOSYS. Between fork and exec the
 * child only makes system calls; whatever fails there comes back as an errno over a close-on-exec pipe. A
 * child must never inherit a descriptor, a signal setting or a group that its plan does not name. */
#include "lib/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/memory.h"
#include "lib/text.h"

static void reset_signals(void) {
    /* The kernel's struct sigaction, all zero: SIG_DFL. Not by signal(2), which keeps glibc's own 32 and 33 from
     * being changed, and with them an "ignored" that some ancestor may have left. */
    static const uint64_t to_default[8];
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        (void)syscall(SYS_rt_sigaction, number, to_default, NULL, sizeof(uint64_t)); /* KILL and STOP refuse */
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Where close_range is missing (an old sandbox): by the list of what is open, not by the limit, which may be
 * a billion. */
static int close_from_listed(int first) {
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;
    uint64_t fd;

    if (directory == NULL)
        return -1;
    while ((entry = readdir(directory)) != NULL) {
        if (text_parse_u64(entry->d_name, 0, INT_MAX, &fd) == 0 && (int)fd >= first &&
            (int)fd != dirfd(directory))
            close((int)fd);
    }
    closedir(directory);
    return 0;
}

static bool is_planned(const struct process_plan *plan, int fd) {
    for (size_t i = 0; i < plan->descriptor_count; i++) {
        if (plan->descriptors[i].to == fd)
            return true;
    }
    return false;
}

static int open_null(int target) {
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return -1;
    if (fd == target)
        return fcntl(fd, F_SETFD, 0);
    int result = dup2(fd, target);
    close(fd);
    return result < 0 ? -1 : 0;
}

/* Lays out the planned descriptors and closes all others but *report_fd, which moves out of the way.
 * Sources are first copied above every target, so that no target can overwrite a source still needed. */
static int place_descriptors(const struct process_plan *plan, int *scratch, int *report_fd) {
    int last_target = STDERR_FILENO;

    for (size_t i = 0; i < plan->descriptor_count; i++) {
        if (plan->descriptors[i].to > last_target)
            last_target = plan->descriptors[i].to;
    }
    int report = last_target + 1;
    for (size_t i = 0; i < plan->descriptor_count; i++) {
        scratch[i] = fcntl(plan->descriptors[i].from, F_DUPFD_CLOEXEC, report + 1);
        if (scratch[i] < 0)
            return -1;
    }
    if (*report_fd != report) {
        if (dup3(*report_fd, report, O_CLOEXEC) < 0)
            return -1;
        *report_fd = report;
    }
    for (size_t i = 0; i < plan->descriptor_count; i++) {
        if (dup2(scratch[i], plan->descriptors[i].to) < 0)
            return -1;
    }
    if (!is_planned(plan, STDIN_FILENO) && open_null(STDIN_FILENO) != 0)
        return -1;
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
        if (!is_planned(plan, fd) && fcntl(fd, F_GETFD) < 0 && open_null(fd) != 0)
            return -1;
    }
    for (int fd = STDERR_FILENO + 1; fd < report; fd++) {
        if (!is_planned(plan, fd))
            close(fd);
    }
    if (syscall(SYS_close_range, (unsigned)report + 1, UINT_MAX, 0) != 0)
        return close_from_listed(report + 1);
    return 0;
}

/* Drops to the planned user for good, and checks that nothing of the old one is left. */
static int drop_user(const struct process_plan *plan) {
    uid_t real_user, user, saved_user;
    gid_t real_group, group, saved_group;

    if (setgroups(0, NULL) != 0 || setresgid(plan->group, plan->group, plan->group) != 0 ||
        setresuid(plan->user, plan->user, plan->user) != 0)
        return -1;
    if (getresuid(&real_user, &user, &saved_user) != 0 || getresgid(&real_group, &group, &saved_group) != 0)
        return -1;
    if (real_user != plan->user || user != plan->user || saved_user != plan->user ||
        real_group != plan->group || group != plan->group || saved_group != plan->group ||
        getgroups(0, NULL) != 0 || (plan->user != 0 && setuid(0) == 0)) {
        errno = EPERM;
        return -1;
    }
    return 0;
}

/* The child's life up to its exec. Returns only on failure, with errno. */
static void become(const struct process_plan *plan, int *scratch, int *report_fd, pid_t parent) {
    static char *const nothing[] = {NULL};

    reset_signals();
    if (place_descriptors(plan, scratch, report_fd) != 0)
        return;
    if (plan->own_session && setsid() < 0)
        return;
    if (plan->set_user && drop_user(plan) != 0)
        return;
    if (plan->directory != NULL && chdir(plan->directory) != 0)
        return;
    /* After the change of user, which clears it; a parent that died before this line is seen by getppid. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return;
    if (getppid() != parent) {
        errno = ESRCH;
        return;
    }
    execve(plan->path, plan->arguments, plan->environment != NULL ? plan->environment : nothing);
}

static void report_and_exit(int report_fd, int error) {
    (void)!write(report_fd, &error, sizeof(error));
    _exit(127);
}

/* 0 when the child's exec worked, else its errno. */
static int read_report(int fd) {
    int error = 0;
    ssize_t size;

    do
        size = read(fd, &error, sizeof(error));
    while (size < 0 && errno == EINTR);
    if (size == 0)
        return 0;
    return size == (ssize_t)sizeof(error) && error != 0 ? error : EIO;
}

static void end_child(pid_t pid) {
    (void)kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* Forks with all signals blocked, so that no handler of ours runs in the child. */
static pid_t fork_child(const struct process_plan *plan, int *scratch, const int report[2]) {
    pid_t parent = getpid();
    sigset_t all, before;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        int report_fd = report[1];
        become(plan, scratch, &report_fd, parent);
        report_and_exit(report_fd, errno);
    }
    int saved_errno = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = saved_errno;
    return pid;
}

pid_t process_spawn(const struct process_plan *plan, int *pidfd) {
    int report[2];
    int error = 0;

    if (pipe2(report, O_CLOEXEC) != 0)
        return -1;
    int *scratch = memory_new_array(plan->descriptor_count, sizeof(*scratch));
    pid_t pid = fork_child(plan, scratch, report);
    if (pid < 0)
        error = errno;
    free(scratch);
    close(report[1]);
    if (pid > 0) {
        error = read_report(report[0]);
        if (error == 0) {
            *pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
            error = *pidfd < 0 ? errno : 0;
        }
        if (error != 0)
            end_child(pid);
    }
    close(report[0]);
    if (error == 0)
        return pid;
    errno = error;
    return -1;
}

void process_describe_status(char *target, size_t size, int wait_status) {
    if (WIFEXITED(wait_status)) {
        text_format(target, size, "exit %d", WEXITSTATUS(wait_status));
    } else if (WIFSIGNALED(wait_status)) {
        const char *name = sigabbrev_np(WTERMSIG(wait_status));
        text_format(target, size, "signal %d (%s)", WTERMSIG(wait_status), name != NULL ? name : "?");
    } else {
        text_format(target, size, "status %d", wait_status);
    }
}

int process_find_user(const char *name, uid_t *user, gid_t *group) {
    struct passwd entry;
    struct passwd *found = NULL;
    char memory[16384];

    if (getpwnam_r(name, &entry, memory, sizeof(memory), &found) != 0 || found == NULL)
        return -1;
    *user = found->pw_uid;
    *group = found->pw_gid;
    return 0;
}

void process_report_ready(void) {
    const char *variable = getenv("FILEMILL_READY_FD");
    uint64_t fd;

    if (variable == NULL)
        return;
    if (text_parse_u64(variable, 3, INT_MAX, &fd) == 0) {
        if (write((int)fd, "ready\n", 6) != 6)
            log_warn_errno("event=ready_not_reported");
        close((int)fd);
    } else {
        log_warn("event=ready_not_reported variable=FILEMILL_READY_FD");
    }
    unsetenv("FILEMILL_READY_FD");
}

void process_raise_open_files(void) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

const char *process_own_directory(void) {
    static char directory[PATH_MAX];

    if (directory[0] != '\0')
        return directory;
    ssize_t size = readlink("/proc/self/exe", directory, sizeof(directory) - 1);
    if (size <= 0)
        fatal_errno("event=own_directory_unknown");
    directory[size] = '\0';
    char *slash = strrchr(directory, '/');
    if (slash == NULL)
        fatal("event=own_directory_unknown");
    slash[slash == directory ? 1 : 0] = '\0';
    return directory;
}
