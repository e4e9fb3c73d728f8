/* SPDX-License-Identifier: MIT
 * The probes. None leaves anything behind when it works outside: files are made under /tmp and removed, signals
 * are number 0, and what would change the machine is called with arguments that its handler refuses with an
 * errno of its own (that the call reached its handler is then what the control shows). */
#include "workers/processors/selftest_probes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define HIGH_BIT (UINT64_C(1) << 32)
#define PAGE 4096

/* 0 when the result is not negative; closes a descriptor that came out. */
static int opened(long fd) {
    if (fd < 0)
        return errno;
    close((int)fd);
    return 0;
}

static int result_of(long status) {
    return status < 0 ? errno : 0;
}

/* The call reached its handler, which refused the arguments. Descriptor 0 is closed, here and in the control:
 * EBADF is such an answer. */
static int reached(long status, int expected) {
    return status >= 0 || errno == expected ? 0 : errno;
}

#define SOCKET_PROBE(label, family, type, protocol)                                                          \
    static int probe_##label(void) {                                                                         \
        return opened(socket(family, type, protocol));                                                       \
    }
SOCKET_PROBE(socket_inet, AF_INET, SOCK_STREAM, 0)
SOCKET_PROBE(socket_inet6, AF_INET6, SOCK_STREAM, 0)
SOCKET_PROBE(socket_udp, AF_INET, SOCK_DGRAM, 0)
SOCKET_PROBE(socket_unix, AF_UNIX, SOCK_STREAM, 0)
SOCKET_PROBE(socket_netlink, AF_NETLINK, SOCK_RAW, 0)
SOCKET_PROBE(socket_packet, AF_PACKET, SOCK_RAW, 0)
SOCKET_PROBE(socket_vsock, AF_VSOCK, SOCK_STREAM, 0)

static int probe_socketpair(void) {
    int sockets[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0)
        return errno;
    close(sockets[0]);
    close(sockets[1]);
    return 0;
}

static int probe_connect(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/nonexistent"};

    return reached(connect(0, (struct sockaddr *)&address, sizeof address), EBADF);
}

/* --- programs and processes ------------------------------------------------------------------------------ */

static int wait_for(pid_t pid) {
    int status;

    return pid < 0 ? errno : waitpid(pid, &status, 0) == pid ? 0 : errno;
}

/* Reaches exec when it complains about the file. */
static int probe_execve(void) {
    char name[] = "/nonexistent";
    char *arguments[] = {name, NULL};

    return reached(execve(name, arguments, environ), ENOENT);
}

static int probe_execveat(void) {
    char name[] = "/nonexistent";
    char *arguments[] = {name, NULL};

    return reached(syscall(SYS_execveat, AT_FDCWD, name, arguments, environ, 0), ENOENT);
}

static int probe_fexecve_memory(void) {
    char name[] = "memory";
    char *arguments[] = {name, NULL};
    int fd = memfd_create("probe", 0);

    if (fd < 0)
        return errno;
    int error = reached(syscall(SYS_execveat, fd, "", arguments, environ, AT_EMPTY_PATH), ENOEXEC);
    close(fd);
    return error;
}

static int probe_fork(void) {
    pid_t pid = (pid_t)syscall(SYS_fork);

    if (pid == 0)
        _exit(0);
    return wait_for(pid);
}

static int probe_vfork(void) {
    pid_t pid = vfork();

    if (pid == 0)
        _exit(0);
    return wait_for(pid);
}

static int probe_clone(void) {
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0)
        _exit(0);
    return wait_for(pid);
}

static int probe_clone_untraced(void) {
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0)
        _exit(0);
    return wait_for(pid);
}

static int probe_clone_newuser(void) {
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0)
        _exit(0);
    return wait_for(pid);
}

static int probe_clone3(void) {
    return reached(syscall(SYS_clone3, NULL, 0), EINVAL);
}

static void *do_nothing(void *argument) {
    return argument;
}

static int probe_thread(void) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, do_nothing, NULL);

    return error != 0 ? error : pthread_join(thread, NULL);
}

static int probe_ptrace_traceme(void) {
    return result_of(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int probe_ptrace_attach(void) {
    return reached(ptrace(PTRACE_SEIZE, getppid(), NULL, (void *)-1), EIO);
}

static int probe_process_vm_readv(void) {
    char byte = 1, copy = 0;
    struct iovec from = {&byte, 1}, to = {&copy, 1};

    return result_of(syscall(SYS_process_vm_readv, getpid(), &to, 1, &from, 1, 0));
}

static int probe_process_vm_writev(void) {
    char byte = 1, copy = 0;
    struct iovec from = {&byte, 1}, to = {&copy, 1};

    return result_of(syscall(SYS_process_vm_writev, getpid(), &from, 1, &to, 1, 0));
}

static int probe_pidfd_open(void) {
    return opened(syscall(SYS_pidfd_open, getpid(), 0));
}

static int probe_pidfd_getfd(void) {
    return reached(syscall(SYS_pidfd_getfd, -1, 0, 0), EBADF);
}

static int probe_kcmp(void) {
    return result_of(syscall(SYS_kcmp, getpid(), getpid(), 1, 0, 0));
}

static int probe_kill_self(void) {
    return result_of(kill(getpid(), 0));
}

static int probe_kill_all(void) {
    return result_of(kill(-1, 0));
}

static int probe_tgkill(void) {
    return result_of(syscall(SYS_tgkill, getpid(), getpid(), 0));
}

static int probe_rt_sigqueueinfo(void) {
    siginfo_t info = {.si_code = SI_QUEUE};

    return result_of(syscall(SYS_rt_sigqueueinfo, getpid(), 0, &info));
}

static int probe_pidfd_send_signal(void) {
    return reached(syscall(SYS_pidfd_send_signal, -1, 0, NULL, 0), EBADF);
}

static int probe_fcntl_setown(void) {
    return reached(fcntl(0, F_SETOWN, getpid()), EBADF);
}

/* --- memory ---------------------------------------------------------------------------------------------- */

static int probe_memfd_create(void) {
    return opened(memfd_create("probe", 0));
}

static int probe_mmap_exec(void) {
    void *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? errno : munmap(memory, PAGE);
}

/* The same with a bit that the kernel cuts off. */
static int probe_mmap_exec_high(void) {
    long memory = syscall(SYS_mmap, NULL, PAGE, HIGH_BIT | PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == -1 ? errno : 0;
}

static int change_protection(long call, long key) {
    void *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int error;

    if (memory == MAP_FAILED)
        return errno;
    error = result_of(syscall(call, memory, PAGE, PROT_READ | PROT_EXEC, key));
    munmap(memory, PAGE);
    return error;
}

static int probe_mprotect_exec(void) {
    return change_protection(SYS_mprotect, 0);
}

static int probe_pkey_mprotect_exec(void) {
    return change_protection(SYS_pkey_mprotect, -1);
}

static int probe_shmat_exec(void) {
    int id = shmget(IPC_PRIVATE, PAGE, 0700);
    void *memory;
    int error;

    if (id < 0)
        return errno;
    memory = shmat(id, NULL, SHM_EXEC);
    error = memory == (void *)-1 ? errno : shmdt(memory);
    shmctl(id, IPC_RMID, NULL);
    return error;
}

static int probe_userfaultfd(void) {
    return opened(syscall(SYS_userfaultfd, O_CLOEXEC));
}

static int probe_remap_file_pages(void) {
    return reached(syscall(SYS_remap_file_pages, 0, 0, 0, 0, 0), EINVAL);
}

static int probe_move_pages(void) {
    return result_of(syscall(SYS_move_pages, 0, 0, NULL, NULL, NULL, 0));
}

/* --- files ----------------------------------------------------------------------------------------------- */

static int open_for_reading(const char *path) {
    return opened(open(path, O_RDONLY | O_CLOEXEC));
}

#define OPEN_PROBE(label, path)                                                                              \
    static int probe_##label(void) {                                                                         \
        return open_for_reading(path);                                                                       \
    }
OPEN_PROBE(open_passwd, "/etc/passwd")
OPEN_PROBE(open_passwd_dots, "/usr/share/fonts/../../../etc/passwd")
OPEN_PROBE(open_root, "/")
OPEN_PROBE(open_environ, "/proc/self/environ")
OPEN_PROBE(open_memory, "/proc/self/mem")
OPEN_PROBE(open_maps, "/proc/self/maps")
OPEN_PROBE(open_descriptors, "/proc/self/fd")
OPEN_PROBE(open_init, "/proc/1/status")
OPEN_PROBE(open_sys, "/sys/kernel")
OPEN_PROBE(open_zero, "/dev/zero")
OPEN_PROBE(open_own_program, "/proc/self/exe")

static int probe_open_parent(void) {
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/%d/environ", (int)getppid());
    return open_for_reading(path);
}

static int probe_openat2(void) {
    uint64_t how[3] = {O_RDONLY, 0, 0};

    return opened(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", how, sizeof how));
}

static int probe_open_by_handle(void) {
    return reached(syscall(SYS_open_by_handle_at, -1, NULL, 0), EFAULT);
}

static int probe_name_to_handle(void) {
    return reached(syscall(SYS_name_to_handle_at, AT_FDCWD, "/", NULL, NULL, 0), EFAULT);
}

static int probe_stat_passwd(void) {
    struct stat status;

    return result_of(syscall(SYS_stat, "/etc/passwd", &status));
}

static int probe_readlink(void) {
    char target[64];

    return result_of(readlink("/proc/self/exe", target, sizeof target));
}

static int probe_create(void) {
    const char *path = "/tmp/filemill-selftest-probe";
    int error = opened(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));

    if (error == 0)
        unlink(path);
    return error;
}

static int probe_create_font(void) {
    const char *path = "/usr/share/fonts/filemill-selftest-probe";
    int error = opened(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));

    if (error == 0)
        unlink(path);
    return error;
}

static int probe_open_unnamed(void) {
    return opened(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

static int probe_mkdir(void) {
    const char *path = "/tmp/filemill-selftest-folder";
    int error = result_of(mkdir(path, 0700));

    if (error == 0)
        rmdir(path);
    return error;
}

static int probe_unlink(void) {
    return reached(unlink("/tmp/filemill-selftest-missing"), ENOENT);
}

static int probe_rename(void) {
    return reached(rename("/tmp/filemill-selftest-missing", "/tmp/filemill-selftest-other"), ENOENT);
}

static int probe_link(void) {
    return reached(link("/tmp/filemill-selftest-missing", "/tmp/filemill-selftest-other"), ENOENT);
}

static int probe_symlink(void) {
    const char *path = "/tmp/filemill-selftest-link";
    int error = result_of(symlink("/etc/passwd", path));

    if (error == 0)
        unlink(path);
    return error;
}

static int probe_truncate(void) {
    return reached(truncate("/tmp/filemill-selftest-missing", 0), ENOENT);
}

static int probe_chmod(void) {
    return reached(chmod("/tmp/filemill-selftest-missing", 0600), ENOENT);
}

/* --- the kernel's doors ----------------------------------------------------------------------------------- */

static int probe_unshare(void) {
    return result_of(unshare(CLONE_FS));
}

static int probe_unshare_user(void) {
    pid_t pid = fork();

    if (pid < 0)
        return errno;
    if (pid == 0)
        _exit(unshare(CLONE_NEWUSER) == 0 ? 0 : 1);
    return wait_for(pid);
}

static int probe_setns(void) {
    return reached(setns(-1, 0), EBADF);
}

static int probe_mount(void) {
    return reached(syscall(SYS_mount, NULL, NULL, NULL, 0, NULL), EFAULT);
}

static int probe_pivot_root(void) {
    return reached(syscall(SYS_pivot_root, NULL, NULL), EFAULT);
}

static int probe_chroot(void) {
    return reached(chroot("/nonexistent"), ENOENT);
}

static int probe_io_uring_setup(void) {
    struct io_uring_params parameters = {0};

    return opened(syscall(SYS_io_uring_setup, 1, &parameters));
}

static int probe_io_uring_enter(void) {
    return reached(syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0), EBADF);
}

static int probe_io_setup(void) {
    unsigned long context = 0;
    int error = result_of(syscall(SYS_io_setup, 1, &context));

    if (error == 0)
        (void)syscall(SYS_io_destroy, context);
    return error;
}

static int probe_bpf(void) {
    union bpf_attr attributes;

    memset(&attributes, 0, sizeof attributes);
    return reached(syscall(SYS_bpf, BPF_PROG_GET_NEXT_ID, &attributes, sizeof attributes), ENOENT);
}

static int probe_perf_event_open(void) {
    struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attributes,
                                         .config = PERF_COUNT_SW_DUMMY};

    return opened(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}

static int probe_keyctl(void) {
    return result_of(syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -2, 0));
}

static int probe_add_key(void) {
    return reached(syscall(SYS_add_key, NULL, NULL, NULL, 0, 0), EFAULT);
}

static int probe_seccomp(void) {
    uint32_t action = 0x7fff0000u; /* SECCOMP_RET_ALLOW */

    return result_of(syscall(SYS_seccomp, 2 /* SECCOMP_GET_ACTION_AVAIL */, 0, &action));
}

static int probe_landlock(void) {
    return result_of(syscall(SYS_landlock_create_ruleset, NULL, 0, 1));
}

static int probe_fanotify_init(void) {
    return opened(syscall(SYS_fanotify_init, 0, 0));
}

static int probe_inotify_init(void) {
    return opened(syscall(SYS_inotify_init1, 0));
}

static int probe_kexec_load(void) {
    return reached(syscall(SYS_kexec_load, 0, 0, NULL, ~0ul), EINVAL);
}

static int probe_init_module(void) {
    return reached(syscall(SYS_init_module, NULL, 0, NULL), ENOEXEC);
}

static int probe_quotactl(void) {
    return reached(syscall(SYS_quotactl, ~0u, NULL, 0, NULL), EINVAL);
}

static int probe_acct(void) {
    return reached(syscall(SYS_acct, "/nonexistent"), ENOENT);
}

static int probe_swapon(void) {
    return reached(syscall(SYS_swapon, "/nonexistent", 0), ENOENT);
}

static int probe_reboot(void) {
    return reached(syscall(SYS_reboot, 0, 0, 0, NULL), EINVAL);
}

static int probe_syslog(void) {
    return result_of(syscall(SYS_syslog, 10 /* SYSLOG_ACTION_SIZE_BUFFER */, NULL, 0));
}

static int probe_sethostname(void) {
    return reached(syscall(SYS_sethostname, NULL, -1), EINVAL);
}

static int probe_mq_open(void) {
    return reached(syscall(SYS_mq_open, NULL, 0, 0, NULL), EFAULT);
}

static int probe_ioctl(unsigned long request) {
    char byte = 0;

    return reached(syscall(SYS_ioctl, 0, request, &byte), EBADF);
}

static int probe_ioctl_tiocsti(void) {
    return probe_ioctl(TIOCSTI);
}

static int probe_ioctl_tiocsti_high(void) {
    return probe_ioctl(TIOCSTI + HIGH_BIT);
}

static int probe_ioctl_tioclinux(void) {
    return probe_ioctl(TIOCLINUX);
}

static int probe_ioctl_tioclinux_high(void) {
    return probe_ioctl(TIOCLINUX + HIGH_BIT);
}

static int probe_ioctl_tcgets_high(void) {
    return probe_ioctl(TCGETS + HIGH_BIT);
}

static int probe_fcntl_high(void) {
    return reached(syscall(SYS_fcntl, 0, F_GETFD + HIGH_BIT, 0), EBADF);
}

static int probe_call_32bit(void) {
    long result = 20; /* getpid of i386 */

    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    return result > 0 ? 0 : (int)-result;
}

/* --- oneself ---------------------------------------------------------------------------------------------- */

static int probe_prctl_dumpable(void) {
    return result_of(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int probe_prctl_name(void) {
    return result_of(prctl(PR_SET_NAME, "probe", 0, 0, 0));
}

static int probe_prctl_mm(void) {
    return reached(prctl(PR_SET_MM, PR_SET_MM_START_CODE, 0, 0, 0), EINVAL);
}

static int probe_prctl_capbset(void) {
    return result_of(prctl(PR_CAPBSET_READ, 0, 0, 0, 0));
}

static int probe_personality(void) {
    return result_of(syscall(SYS_personality, 0xffffffffu));
}

static int probe_arch_prctl(void) {
    unsigned long base;

    return result_of(syscall(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, &base));
}

static int probe_setuid(void) {
    return result_of(syscall(SYS_setuid, getuid()));
}

static int probe_setgid(void) {
    return result_of(syscall(SYS_setgid, getgid()));
}

static int probe_capset(void) {
    return reached(syscall(SYS_capset, NULL, NULL), EFAULT);
}

static int probe_setrlimit(void) {
    uint64_t limit[2] = {0, 0};

    return result_of(syscall(SYS_prlimit64, 0, 4 /* RLIMIT_CORE */, limit, NULL));
}

static int probe_setpriority(void) {
    return result_of(syscall(SYS_setpriority, 0, 0, 19));
}

static int probe_setsid(void) {
    return reached(setsid(), EPERM);
}

#define ROW(label) {.name = #label, .attempt = probe_##label}

const struct selftest_probe selftest_probes[] = {
    ROW(socket_inet), ROW(socket_inet6), ROW(socket_udp), ROW(socket_unix), ROW(socket_netlink),
    ROW(socket_packet), ROW(socket_vsock), ROW(socketpair), ROW(connect),
    ROW(execve), ROW(execveat), ROW(fexecve_memory), ROW(fork), ROW(vfork), ROW(clone), ROW(clone_untraced),
    ROW(clone_newuser), ROW(clone3), ROW(thread), ROW(ptrace_traceme), ROW(ptrace_attach),
    ROW(process_vm_readv), ROW(process_vm_writev), ROW(pidfd_open), ROW(pidfd_getfd), ROW(kcmp),
    ROW(kill_self), ROW(kill_all), ROW(tgkill), ROW(rt_sigqueueinfo), ROW(pidfd_send_signal), ROW(fcntl_setown),
    ROW(memfd_create), ROW(mmap_exec), ROW(mmap_exec_high), ROW(mprotect_exec), ROW(pkey_mprotect_exec),
    ROW(shmat_exec), ROW(userfaultfd), ROW(remap_file_pages), ROW(move_pages),
    ROW(open_passwd), ROW(open_passwd_dots), ROW(open_root), ROW(open_environ), ROW(open_memory),
    ROW(open_maps), ROW(open_descriptors), ROW(open_init), ROW(open_sys), ROW(open_zero),
    ROW(open_own_program), ROW(open_parent), ROW(openat2), ROW(open_by_handle), ROW(name_to_handle),
    ROW(stat_passwd), ROW(readlink), ROW(create), ROW(create_font), ROW(open_unnamed), ROW(mkdir), ROW(unlink),
    ROW(rename), ROW(link), ROW(symlink), ROW(truncate), ROW(chmod),
    ROW(unshare), ROW(unshare_user), ROW(setns), ROW(mount), ROW(pivot_root), ROW(chroot),
    ROW(io_uring_setup), ROW(io_uring_enter), ROW(io_setup), ROW(bpf), ROW(perf_event_open), ROW(keyctl),
    ROW(add_key), ROW(seccomp), ROW(landlock), ROW(fanotify_init), ROW(inotify_init), ROW(kexec_load),
    ROW(init_module), ROW(quotactl), ROW(acct), ROW(swapon), ROW(reboot), ROW(syslog), ROW(sethostname),
    ROW(mq_open), ROW(ioctl_tiocsti), ROW(ioctl_tiocsti_high), ROW(ioctl_tioclinux), ROW(ioctl_tioclinux_high),
    ROW(ioctl_tcgets_high), ROW(fcntl_high), ROW(call_32bit),
    ROW(prctl_dumpable), ROW(prctl_name), ROW(prctl_mm), ROW(prctl_capbset), ROW(personality),
    ROW(arch_prctl), ROW(setuid), ROW(setgid), ROW(capset), ROW(setrlimit), ROW(setpriority), ROW(setsid),
};
const size_t selftest_probe_count = sizeof selftest_probes / sizeof selftest_probes[0];

const struct selftest_probe *selftest_probe_find(const char *name) {
    for (size_t i = 0; i < selftest_probe_count; i++) {
        if (strcmp(selftest_probes[i].name, name) == 0)
            return &selftest_probes[i];
    }
    return NULL;
}
