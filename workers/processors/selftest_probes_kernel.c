/* SPDX-License-Identifier: MIT
 * Probes: the doors of the kernel that no document needs, and what a process may do to itself. */
#include "workers/processors/selftest_probes_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int probe_unshare(void) {
    return probe_result_of(unshare(CLONE_FS));
}

static int probe_unshare_user(void) {
    pid_t pid = fork();

    if (pid < 0)
        return errno;
    if (pid == 0)
        _exit(unshare(CLONE_NEWUSER) == 0 ? 0 : 1);
    return probe_wait_for(pid);
}

static int probe_setns(void) {
    return probe_reached(setns(-1, 0), EBADF);
}

static int probe_mount(void) {
    return probe_reached(syscall(SYS_mount, NULL, NULL, NULL, 0, NULL), EFAULT);
}

static int probe_pivot_root(void) {
    return probe_reached(syscall(SYS_pivot_root, NULL, NULL), EFAULT);
}

static int probe_chroot(void) {
    return probe_reached(chroot("/nonexistent"), ENOENT);
}

static int probe_io_uring_setup(void) {
    struct io_uring_params parameters = {0};

    return probe_opened(syscall(SYS_io_uring_setup, 1, &parameters));
}

static int probe_io_uring_enter(void) {
    return probe_reached(syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0), EBADF);
}

static int probe_io_setup(void) {
    unsigned long context = 0;
    int error = probe_result_of(syscall(SYS_io_setup, 1, &context));

    if (error == 0)
        (void)syscall(SYS_io_destroy, context);
    return error;
}

static int probe_bpf(void) {
    union bpf_attr attributes;

    memset(&attributes, 0, sizeof attributes);
    return probe_reached(syscall(SYS_bpf, BPF_PROG_GET_NEXT_ID, &attributes, sizeof attributes), ENOENT);
}

static int probe_perf_event_open(void) {
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof attributes, .config = PERF_COUNT_SW_DUMMY};

    return probe_opened(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}

static int probe_keyctl(void) {
    return probe_result_of(syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -2, 0));
}

static int probe_add_key(void) {
    return probe_reached(syscall(SYS_add_key, NULL, NULL, NULL, 0, 0), EFAULT);
}

static int probe_seccomp(void) {
    uint32_t action = 0x7fff0000u; /* SECCOMP_RET_ALLOW */

    return probe_result_of(syscall(SYS_seccomp, 2 /* SECCOMP_GET_ACTION_AVAIL */, 0, &action));
}

static int probe_landlock(void) {
    return probe_result_of(syscall(SYS_landlock_create_ruleset, NULL, 0, 1));
}

static int probe_fanotify_init(void) {
    return probe_opened(syscall(SYS_fanotify_init, 0, 0));
}

static int probe_inotify_init(void) {
    return probe_opened(syscall(SYS_inotify_init1, 0));
}

static int probe_kexec_load(void) {
    return probe_reached(syscall(SYS_kexec_load, 0, 0, NULL, ~0ul), EINVAL);
}

static int probe_init_module(void) {
    return probe_reached(syscall(SYS_init_module, NULL, 0, NULL), ENOEXEC);
}

static int probe_quotactl(void) {
    return probe_reached(syscall(SYS_quotactl, ~0u, NULL, 0, NULL), EINVAL);
}

static int probe_acct(void) {
    return probe_reached(syscall(SYS_acct, "/nonexistent"), ENOENT);
}

static int probe_swapon(void) {
    return probe_reached(syscall(SYS_swapon, "/nonexistent", 0), ENOENT);
}

static int probe_reboot(void) {
    return probe_reached(syscall(SYS_reboot, 0, 0, 0, NULL), EINVAL);
}

static int probe_syslog(void) {
    return probe_result_of(syscall(SYS_syslog, 10 /* SYSLOG_ACTION_SIZE_BUFFER */, NULL, 0));
}

static int probe_sethostname(void) {
    return probe_reached(syscall(SYS_sethostname, NULL, -1), EINVAL);
}

static int probe_mq_open(void) {
    return probe_reached(syscall(SYS_mq_open, NULL, 0, 0, NULL), EFAULT);
}

static int probe_ioctl(unsigned long request) {
    char byte = 0;

    return probe_reached(syscall(SYS_ioctl, 0, request, &byte), EBADF);
}

static int probe_ioctl_tiocsti(void) {
    return probe_ioctl(TIOCSTI);
}

static int probe_ioctl_tiocsti_high(void) {
    return probe_ioctl(TIOCSTI + PROBE_HIGH_BIT);
}

static int probe_ioctl_tioclinux(void) {
    return probe_ioctl(TIOCLINUX);
}

static int probe_ioctl_tioclinux_high(void) {
    return probe_ioctl(TIOCLINUX + PROBE_HIGH_BIT);
}

static int probe_ioctl_tcgets_high(void) {
    return probe_ioctl(TCGETS + PROBE_HIGH_BIT);
}

static int probe_fcntl_high(void) {
    return probe_reached(syscall(SYS_fcntl, 0, F_GETFD + PROBE_HIGH_BIT, 0), EBADF);
}

static int probe_call_32bit(void) {
    long result = 20; /* getpid of i386 */

    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    return result > 0 ? 0 : (int)-result;
}

/* --- oneself ----------------------------------------------------------------------------------------------
 */

static int probe_prctl_dumpable(void) {
    return probe_result_of(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int probe_prctl_name(void) {
    return probe_result_of(prctl(PR_SET_NAME, "probe", 0, 0, 0));
}

static int probe_prctl_mm(void) {
    return probe_reached(prctl(PR_SET_MM, PR_SET_MM_START_CODE, 0, 0, 0), EINVAL);
}

static int probe_prctl_capbset(void) {
    return probe_result_of(prctl(PR_CAPBSET_READ, 0, 0, 0, 0));
}

static int probe_personality(void) {
    return probe_result_of(syscall(SYS_personality, 0xffffffffu));
}

static int probe_arch_prctl(void) {
    unsigned long base;

    return probe_result_of(syscall(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, &base));
}

static int probe_setuid(void) {
    return probe_result_of(syscall(SYS_setuid, getuid()));
}

static int probe_setgid(void) {
    return probe_result_of(syscall(SYS_setgid, getgid()));
}

static int probe_capset(void) {
    return probe_reached(syscall(SYS_capset, NULL, NULL), EFAULT);
}

static int probe_setrlimit(void) {
    uint64_t limit[2] = {0, 0};

    return probe_result_of(syscall(SYS_prlimit64, 0, 4 /* RLIMIT_CORE */, limit, NULL));
}

static int probe_setpriority(void) {
    return probe_result_of(syscall(SYS_setpriority, 0, 0, 19));
}

static int probe_setsid(void) {
    return probe_reached(setsid(), EPERM);
}

#define ROW(label)                                                                                           \
    { .name = #label, .attempt = probe_##label }

/* clang-format off: several to a line */
const struct selftest_probe selftest_probes_kernel[] = {ROW(unshare),
                                                        ROW(unshare_user),
                                                        ROW(setns),
                                                        ROW(mount),
                                                        ROW(pivot_root),
                                                        ROW(chroot),
                                                        ROW(io_uring_setup),
                                                        ROW(io_uring_enter),
                                                        ROW(io_setup),
                                                        ROW(bpf),
                                                        ROW(perf_event_open),
                                                        ROW(keyctl),
                                                        ROW(add_key),
                                                        ROW(seccomp),
                                                        ROW(landlock),
                                                        ROW(fanotify_init),
                                                        ROW(inotify_init),
                                                        ROW(kexec_load),
                                                        ROW(init_module),
                                                        ROW(quotactl),
                                                        ROW(acct),
                                                        ROW(swapon),
                                                        ROW(reboot),
                                                        ROW(syslog),
                                                        ROW(sethostname),
                                                        ROW(mq_open),
                                                        ROW(ioctl_tiocsti),
                                                        ROW(ioctl_tiocsti_high),
                                                        ROW(ioctl_tioclinux),
                                                        ROW(ioctl_tioclinux_high),
                                                        ROW(ioctl_tcgets_high),
                                                        ROW(fcntl_high),
                                                        ROW(call_32bit),
                                                        ROW(prctl_dumpable),
                                                        ROW(prctl_name),
                                                        ROW(prctl_mm),
                                                        ROW(prctl_capbset),
                                                        ROW(personality),
                                                        ROW(arch_prctl),
                                                        ROW(setuid),
                                                        ROW(setgid),
                                                        ROW(capset),
                                                        ROW(setrlimit),
                                                        ROW(setpriority),
                                                        ROW(setsid),
                                                        {.name = NULL}};
/* clang-format on */
