/* SPDX-License-Identifier: MIT
 * Probes: sockets, programs, processes and memory. */
#include "workers/processors/selftest_probes_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096

#define SOCKET_PROBE(label, family, type, protocol)                                                          \
    static int probe_##label(void) {                                                                         \
        return probe_opened(socket(family, type, protocol));                                                 \
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

    return probe_reached(connect(0, (struct sockaddr *)&address, sizeof address), EBADF);
}

/* --- programs and processes ------------------------------------------------------------------------------
 */

/* Reaches exec when it complains about the file. */
static int probe_execve(void) {
    char name[] = "/nonexistent";
    char *arguments[] = {name, NULL};

    return probe_reached(execve(name, arguments, environ), ENOENT);
}

static int probe_execveat(void) {
    char name[] = "/nonexistent";
    char *arguments[] = {name, NULL};

    return probe_reached(syscall(SYS_execveat, AT_FDCWD, name, arguments, environ, 0), ENOENT);
}

static int probe_fexecve_memory(void) {
    char name[] = "memory";
    char *arguments[] = {name, NULL};
    int fd = memfd_create("probe", 0);

    if (fd < 0)
        return errno;
    int error = probe_reached(syscall(SYS_execveat, fd, "", arguments, environ, AT_EMPTY_PATH), ENOEXEC);
    close(fd);
    return error;
}

static int probe_fork(void) {
    pid_t pid = (pid_t)syscall(SYS_fork);

    if (pid == 0)
        _exit(0);
    return probe_wait_for(pid);
}

static int probe_vfork(void) {
    /* NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.vfork): whether it works is the question */
    pid_t pid = vfork();

    if (pid == 0)
        _exit(0);
    return probe_wait_for(pid);
}

static int probe_clone(void) {
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0)
        _exit(0);
    return probe_wait_for(pid);
}

static int probe_clone_untraced(void) {
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0)
        _exit(0);
    return probe_wait_for(pid);
}

static int probe_clone_newuser(void) {
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0)
        _exit(0);
    return probe_wait_for(pid);
}

static int probe_clone3(void) {
    return probe_reached(syscall(SYS_clone3, NULL, 0), EINVAL);
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
    return probe_result_of(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int probe_ptrace_attach(void) {
    return probe_reached(ptrace(PTRACE_SEIZE, getppid(), NULL, (void *)-1), EIO);
}

static int probe_process_vm_readv(void) {
    char byte = 1, copy = 0;
    struct iovec from = {&byte, 1}, to = {&copy, 1};

    return probe_result_of(syscall(SYS_process_vm_readv, getpid(), &to, 1, &from, 1, 0));
}

static int probe_process_vm_writev(void) {
    char byte = 1, copy = 0;
    struct iovec from = {&byte, 1}, to = {&copy, 1};

    return probe_result_of(syscall(SYS_process_vm_writev, getpid(), &from, 1, &to, 1, 0));
}

static int probe_pidfd_open(void) {
    return probe_opened(syscall(SYS_pidfd_open, getpid(), 0));
}

static int probe_pidfd_getfd(void) {
    return probe_reached(syscall(SYS_pidfd_getfd, -1, 0, 0), EBADF);
}

static int probe_kcmp(void) {
    return probe_result_of(syscall(SYS_kcmp, getpid(), getpid(), 1, 0, 0));
}

static int probe_kill_self(void) {
    return probe_result_of(kill(getpid(), 0));
}

static int probe_kill_all(void) {
    return probe_result_of(kill(-1, 0));
}

static int probe_tgkill(void) {
    return probe_result_of(syscall(SYS_tgkill, getpid(), getpid(), 0));
}

static int probe_rt_sigqueueinfo(void) {
    siginfo_t info = {.si_code = SI_QUEUE};

    return probe_result_of(syscall(SYS_rt_sigqueueinfo, getpid(), 0, &info));
}

static int probe_pidfd_send_signal(void) {
    return probe_reached(syscall(SYS_pidfd_send_signal, -1, 0, NULL, 0), EBADF);
}

static int probe_fcntl_setown(void) {
    return probe_reached(fcntl(0, F_SETOWN, getpid()), EBADF);
}

/* --- memory ----------------------------------------------------------------------------------------------
 */

static int probe_memfd_create(void) {
    return probe_opened(memfd_create("probe", 0));
}

static int probe_mmap_exec(void) {
    void *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? errno : munmap(memory, PAGE);
}

/* The same with a bit that the kernel cuts off. */
static int probe_mmap_exec_high(void) {
    long memory = syscall(SYS_mmap, NULL, PAGE, PROBE_HIGH_BIT | PROT_READ | PROT_EXEC,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == -1 ? errno : 0;
}

static int change_protection(long call, long key) {
    void *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int error;

    if (memory == MAP_FAILED)
        return errno;
    error = probe_result_of(syscall(call, memory, PAGE, PROT_READ | PROT_EXEC, key));
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
    return probe_opened(syscall(SYS_userfaultfd, O_CLOEXEC));
}

static int probe_remap_file_pages(void) {
    return probe_reached(syscall(SYS_remap_file_pages, 0, 0, 0, 0, 0), EINVAL);
}

static int probe_move_pages(void) {
    return probe_result_of(syscall(SYS_move_pages, 0, 0, NULL, NULL, NULL, 0));
}

#define ROW(label)                                                                                           \
    { .name = #label, .attempt = probe_##label }

/* clang-format off: several to a line */
const struct selftest_probe selftest_probes_process[] = {ROW(socket_inet),
                                                         ROW(socket_inet6),
                                                         ROW(socket_udp),
                                                         ROW(socket_unix),
                                                         ROW(socket_netlink),
                                                         ROW(socket_packet),
                                                         ROW(socket_vsock),
                                                         ROW(socketpair),
                                                         ROW(connect),
                                                         ROW(execve),
                                                         ROW(execveat),
                                                         ROW(fexecve_memory),
                                                         ROW(fork),
                                                         ROW(vfork),
                                                         ROW(clone),
                                                         ROW(clone_untraced),
                                                         ROW(clone_newuser),
                                                         ROW(clone3),
                                                         ROW(thread),
                                                         ROW(ptrace_traceme),
                                                         ROW(ptrace_attach),
                                                         ROW(process_vm_readv),
                                                         ROW(process_vm_writev),
                                                         ROW(pidfd_open),
                                                         ROW(pidfd_getfd),
                                                         ROW(kcmp),
                                                         ROW(kill_self),
                                                         ROW(kill_all),
                                                         ROW(tgkill),
                                                         ROW(rt_sigqueueinfo),
                                                         ROW(pidfd_send_signal),
                                                         ROW(fcntl_setown),
                                                         ROW(memfd_create),
                                                         ROW(mmap_exec),
                                                         ROW(mmap_exec_high),
                                                         ROW(mprotect_exec),
                                                         ROW(pkey_mprotect_exec),
                                                         ROW(shmat_exec),
                                                         ROW(userfaultfd),
                                                         ROW(remap_file_pages),
                                                         ROW(move_pages),
                                                         {.name = NULL}};
/* clang-format on */
